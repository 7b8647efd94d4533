"""Where a solve is done: in this process, or by an engine of kernelfit.solvers."""

import importlib.util

from kernelfit.common.errors import InputError, suggestion

# The fields of a SolveSpec that an engine has no use for, with the values that say nothing.
_MPI = {"grid": (None,), "block": (None,)}
_DASK = {"scheduler": (None,), "workers": (None,), "tolerance": (None,), "rank": (None,), "steps": (None,)}
_DO_NOT_APPLY = {
    "local": _MPI | _DASK,
    "mpi": _DASK | {"loo": (False,), "scratch": (None,), "resume": (False,), "device": ("auto", "cpu")},
    "dask": _MPI | {"loo": (False,), "precision": ("auto", "float64")},
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
    if spec.engine == "dask":
        _require("distributed", "dask")
        from kernelfit.solvers.dask.solver import DaskEngine

        names = ("scheduler", "workers", "device", "memory", "tolerance", "rank", "steps", "scratch", "resume", "seed")
        return DaskEngine(**{name: getattr(spec, name) for name in names})
    from kernelfit.solvers.mpi.solver import MpiEngine

    return MpiEngine(precision=spec.precision, memory=spec.memory, grid=spec.grid, block=spec.block)


def _require(module, extra):
    if importlib.util.find_spec(module) is None:
        raise InputError(f"--engine {extra} needs {module}: pip install 'kernelfit[{extra}]'")
