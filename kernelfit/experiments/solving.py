"""Which Solver a spec names: in this process, over MPI, or over Dask; and how an experiment gets it."""

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.stopwatch import Stopwatch
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.protocol import memory_explained

# The options that an engine has no use for, with the values that say nothing.
_MPI = {"grid": (None,), "block": (None,)}
_DASK = {"scheduler": (None,), "workers": (None,), "tolerance": (None,), "rank": (None,), "steps": (None,)}
_DO_NOT_APPLY = {
    "local": _MPI | _DASK,
    "mpi": _DASK | {"scratch": (None,), "resume": (False,), "device": ("auto", "cpu")},
    "dask": _MPI | {"loo": (False,), "precision": ("auto", "float64")},
}


def check_engine(spec):
    """Raise InputError for an option that the engine of a spec has no use for."""
    for name, silent in _DO_NOT_APPLY[spec.engine].items():
        value = getattr(spec, name, silent[0])
        if value not in silent:
            raise InputError(f'{name} = {value!r} does not apply to `engine="{spec.engine}"`; leave it out')


def experiment(run):
    """Return run(spec, *, progress=None, ...) of an experiment on a kernel, run(spec, solver, watch, progress, ...).

    In a process that only follows another's lead it does nothing, and returns None.
    """

    @memory_explained()
    def whole(spec, *, progress=None, **options):
        watch = Stopwatch()
        with solver_of(spec).opened() as solver:
            return run(spec, solver, watch, progress or Progress(), **options) if solver.is_root else None

    whole.__doc__, whole.__name__, whole.__module__ = run.__doc__, run.__name__, run.__module__
    return whole


def solver_of(spec):
    """Return the Solver of a spec; the module of an engine is imported only here."""
    if spec.engine == "dask":
        from kernelfit.solvers.dask.solver import Dask

        given = _given(spec, "scheduler", "workers", "memory", "tolerance", "rank", "steps", "scratch")
        return Dask(**given, resume=spec.resume, seed=spec.seed, worker_device=spec.device)
    same = {"precision": spec.precision, "loo": spec.loo}
    if spec.engine == "mpi":
        from kernelfit.solvers.mpi.solver import Mpi

        return Mpi(**_given(spec, "memory", "grid", "block"), **same)
    return Auto(**_given(spec, "memory", "scratch"), device=spec.device, resume=spec.resume, seed=spec.seed, **same)


def _given(spec, *names):
    return {name: getattr(spec, name) for name in names if getattr(spec, name) is not None}
