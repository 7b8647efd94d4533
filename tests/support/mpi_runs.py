"""What tests of solving over MPI run in every process: `mpiexec -n 4 python -m tests.support.mpi_runs MODE FOLDER`.

The leader prints one JSON value with what it saw. Every process leaves a file with its number in FOLDER.
"""

import copy
import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np

from kernelfit import backend
from kernelfit.backend import CPU
from kernelfit.common.errors import KernelfitError
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Gaussian, Linear, NeuralTangent, Precomputed
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.mpi import factor
from kernelfit.solvers.mpi.solver import Mpi
from tests.support import contract as suite
from tests.support.tally import Tally

CONDITION = 1e4
N = 149  # no multiple of any block


def points(eigenvalues, seed=0):
    """Return X with these eigenvalues of X X^T, up to rounding."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    return Q * np.sqrt(eigenvalues)


def problem(eigenvalues=None):
    """Return (K, against): a linear kernel of known spectrum, and 37 test points."""
    X = points(np.geomspace(1 / CONDITION, 1, N) if eigenvalues is None else eigenvalues)
    K = gram(X, Linear())
    return K, gram(np.random.default_rng(1).standard_normal((37, X.shape[1])), K.kernel, K.points)


def far_problem():
    """Return (K, against) of points that lie near to each other, and far from the origin and in two clusters."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 9, (N + 37, 12)) + 1e6 * np.append(np.ones(11), 0) + 1e5 * rng.integers(0, 2, (N + 37, 1))
    K = gram(X[:N], Gaussian(20.0) + 1e-13 * NeuralTangent(1))
    return K, gram(X[N:], K.kernel, K.points)


def difference(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def solved(solver, K, K_test, Y, ridge=0.0):
    """Solve in all processes and in this one; return how far apart they are, and what was told."""
    tally = Tally()
    with solver.factor(K, ridge=ridge, progress=tally) as shared:
        found = shared.solve(Y, progress=tally)
        scores = shared.predict(K_test, found.coef, progress=tally)
        pivot, peak = shared.smallest_pivot(), shared.peak_memory()
        assert peak == max(shared.report["peaks"])
    with Cholesky().factor(K, ridge=ridge) as alone:
        expected = alone.solve(Y)
        return told(shared, found, tally) | {
            "coef": difference(found.coef, expected.coef),
            "fitted": difference(found.fitted, expected.fitted),
            "scores": difference(scores, K_test.product(expected.coef)),
            "norm_1": difference(found.norm_1, expected.norm_1),
            "pivot": difference(pivot, alone.smallest_pivot()),
            "quadratic": difference(found.quadratic.diagonal(), np.einsum("ij,ij->j", Y, expected.coef)),
        }


def told(shared, found, tally):
    return {
        "residual": found.relative_residual,
        "precision": shared.precision,
        "report": found.report | {"peaks": shared.report["peaks"]},
        "condition": found.condition_estimate,
        "phases": tally.names,
        "wrong_phases": tally.wrong(),
    }


def grids(number):
    """Every grid, with 1, 10 and 300 right-hand sides; blocks of which some processes have none; a ridge."""
    found, rng = [], np.random.default_rng(0)
    for grid, block in (("1x4", 32), ("2x2", 32), ("4x1", 32), ("2x2", 100), (None, 1000)):
        with Mpi(grid=grid, block=block).opened() as solver:
            for r in ((1, 10, 300) if block == 32 else (10,)) if solver.is_root else ():
                case = solved(solver, *problem(), rng.standard_normal((N, r)), ridge=0.0 if r > 1 else 0.01)
                found.append({"asked": grid, "r": r} | case)
            if solver.is_root and grid == "2x2" and block == 32:
                case = solved(solver, *far_problem(), rng.standard_normal((N, 1)), ridge=0.1)
                found.append({"asked": grid, "r": 1} | case)
    return found


def mixed(number):
    """A float32 factor corrected in float64."""
    with Mpi(precision="mixed", block=32).opened() as solver:
        return solved(solver, *problem(), np.random.default_rng(0).standard_normal((N, 5))) if solver.is_root else None


def contract(number):
    """What every solver promises, in float64 and in mixed precision."""
    for precision in ("float64", "mixed"):
        with Mpi(precision=precision, block=32).opened() as solver:
            if solver.is_root:
                case = suite.Case("mpi", lambda folder, solver=solver: solver, precision=precision)
                for check in suite.CHECKS:
                    check(case, Path(sys.argv[2], "scratch"))
    return "kept"


def agreed(number):
    """Failures that all processes agree on; they go on to the next. Returns (class, message, row) of each."""
    found = []
    K, _ = problem()

    def attempt(K=K, **options):
        try:
            with Mpi(block=32, **options).opened() as solver:
                if solver.is_root:
                    with solver.factor(K) as shared:
                        shared.solve(np.ones((N, 1)))
        except KernelfitError as error:
            found.append([type(error).__name__, str(error), getattr(error, "row", None)])

    attempt(grid="3x5")
    attempt(memory=1000)
    with patched(number == 2, backend, "free_memory", lambda: 1000):
        attempt()
    with patched(number == 1, factor.FactorShare, "__init__", fails(MemoryError("made up"))):
        attempt()
    with patched(number == 1, CPU, "empty", fails(ZeroDivisionError("made up"))):
        attempt()
    X = K.points.values.copy()
    X[90] = X[20]
    attempt(gram(X, Linear()))
    attempt(problem(np.where(np.arange(N) % 5 == 0, 1e-9, 1.0))[0], precision="mixed")
    attempt()  # and all is well
    found.append("solved")
    return found


def misused(number):
    """What users get wrong; returns what each is told, and how far predictions of other kernels and points are off."""
    K, K_test = problem()
    told, rng = [], np.random.default_rng(0)

    def refused(call):
        try:
            call()
        except KernelfitError as error:
            told.append([type(error).__name__, str(error)])

    with Mpi(block=32).opened() as solver:
        if not solver.is_root:
            refused(lambda: solver.factor(K))
            return None
        others = [
            gram(rng.standard_normal((5, N)), 2.0 * Linear(), K.points),
            gram(np.eye(N)[:5], K.kernel, K.points[:N]),
        ]
        factor = solver.factor(K, ridge=0.1)
        solution = factor.solve(np.ones((N, 1)))
        apart = [
            difference(factor.predict(each, solution.coef), each.product(solution.coef)) for each in (K_test, *others)
        ]
        pixels = gram(np.zeros((5, N), np.uint8), Linear(), gram(np.zeros((N, N), np.uint8), Linear()).points)
        refused(lambda: factor.K.predict(pixels.left, solution.coef, Tally()))
        refused(lambda: solver.factor(gram(np.eye(N), Precomputed())))
        refused(lambda: Mpi().opened().__enter__())
        factor.close()
        for _ in range(400):  # each used to take six communicators, of which there are 2,048
            with solver.factor(K, ridge=0.1):
                pass
        refused(factor.peak_memory)
        assert type(pickle.loads(pickle.dumps(solution)).K) is Gram
        assert pickle.loads(pickle.dumps(solver)).team is None and copy.deepcopy(solver) is solver
        with solver.factor(K, ridge=0.1) as left_open:
            kept = left_open
    kept.close()
    refused(lambda: solver.factor(K))
    return {"apart": apart, "told": told}


def stuck(number):
    """One process fails in the middle of the factorisation, of which the others wait for the end."""

    def late(*arguments):
        while not Path(sys.argv[2], "begun").exists():
            time.sleep(0.01)
        raise ZeroDivisionError("made up")

    with patched(number == 2, factor.FactorShare, "_subtract", late):
        return endless(number)


def endless(number):
    """A factorisation that takes minutes."""
    subtract = factor.FactorShare._subtract

    def slowly(*arguments):
        Path(sys.argv[2], "begun").touch()
        time.sleep(5)
        subtract(*arguments)

    with patched(number == 0, factor.FactorShare, "_subtract", slowly), Mpi(block=4).opened() as solver:
        return solved(solver, *problem(), np.ones((N, 1))) if solver.is_root else None


def fails(error):
    def function(*arguments, **options):
        raise error

    return function


class patched:  # noqa: N801 (a context manager)
    """Replace an attribute in one process."""

    def __init__(self, here, owner, name, value):
        self.here, self.owner, self.name, self.value = here, owner, name, value

    def __enter__(self):
        self.before = getattr(self.owner, self.name)
        if self.here:
            setattr(self.owner, self.name, self.value)

    def __exit__(self, *arguments):
        setattr(self.owner, self.name, self.before)


if __name__ == "__main__":
    CPU.probe = 64  # rates do not matter here
    mode, folder = sys.argv[1:]
    own_number = int(os.environ["PMI_RANK"])
    Path(folder, f"{own_number}").write_text(str(os.getpid()))
    result = globals()[mode](own_number)
    if own_number == 0:
        print(json.dumps(result))
