"""Where a solve is done: in this process, or by an engine of kernelfit.solvers.distributed."""

from kernelfit.errors import InputError, suggestion

# The fields of a SolveSpec that an engine has no use for, with the values that say nothing.
_DO_NOT_APPLY = {
    "local": {"grid": (None,), "block": (None,)},
    "mpi": {"loo": (False,), "scratch": (None,), "resume": (False,), "device": ("auto", "cpu")},
}
ENGINES = tuple(_DO_NOT_APPLY)


def check_engine(spec):
    """Raise InputError for an engine that there is not, or an option that the engine of a SolveSpec has no use for."""
    if spec.engine not in ENGINES:
        raise InputError(f"engine {spec.engine!r}; known are {', '.join(ENGINES)}{suggestion(spec.engine, ENGINES)}")
    for name, silent in _DO_NOT_APPLY[spec.engine].items():
        value = getattr(spec, name)
        if value not in silent:
            raise InputError(f"{name} = {value!r} does not apply to --engine {spec.engine}; leave it out")


def open_engine(spec):
    """Return the Engine of a SolveSpec that is not solved in this process; raises InputError if its extra is missing.

    An engine's module is imported only here: it needs libraries that a solve on one machine does not.
    """
    from kernelfit.solvers.distributed.mpi import MpiEngine

    return MpiEngine(precision=spec.precision, memory=spec.memory, grid=spec.grid, block=spec.block)
