"""Solvers of (K + ridge I) coef = Y: each makes a Factor of K, and the Factor answers for any Y with a Solution.

A solver is loaded when it is first used: Mpi and Dask need libraries of their own.
"""

from typing import TYPE_CHECKING

from kernelfit.common.lazy import lazy

if TYPE_CHECKING:
    from kernelfit.solvers.auto import Auto, solve
    from kernelfit.solvers.band import Banded
    from kernelfit.solvers.cholesky import Cholesky
    from kernelfit.solvers.conjugate_gradients import ConjugateGradients
    from kernelfit.solvers.dask.solver import Dask
    from kernelfit.solvers.eigen import Eigen
    from kernelfit.solvers.mpi.solver import Mpi
    from kernelfit.solvers.protocol import Factor, Solver
    from kernelfit.solvers.ridges import RidgePath, ridge_path
    from kernelfit.solvers.solution import Norm, Solution

__all__ = [
    "Auto",
    "Banded",
    "Cholesky",
    "ConjugateGradients",
    "Dask",
    "Eigen",
    "Factor",
    "Mpi",
    "Norm",
    "RidgePath",
    "Solution",
    "Solver",
    "ridge_path",
    "solve",
]

_HOME_OF = {
    "Auto": "auto",
    "Banded": "band",
    "Cholesky": "cholesky",
    "ConjugateGradients": "conjugate_gradients",
    "Dask": "dask.solver",
    "Eigen": "eigen",
    "Factor": "protocol",
    "Mpi": "mpi.solver",
    "Norm": "solution",
    "RidgePath": "ridges",
    "Solution": "solution",
    "Solver": "protocol",
    "ridge_path": "ridges",
    "solve": "auto",
}

__getattr__, __dir__ = lazy(__name__, _HOME_OF)
