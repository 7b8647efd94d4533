"""What every solver promises, as checks of one Case each; tests/solvers/test_contract.py runs them over all cases.

The matrix is X X^T of points with known singular values, since every way to solve can make it from points. A residual
of `relative` per output leaves coefficients within `relative` times the condition number of the exact ones.
"""

import dataclasses
import gc
import json
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.common.errors import InputError, NotConvergedError, SingularMatrixError, UnsupportedError
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Linear

N, CONDITION, UNITS = 150, 100.0, (1e-165, 1.0, 1e155)
EPS = np.finfo(float).eps


@dataclasses.dataclass(frozen=True)
class Case:
    """A solver, and what is to be expected of it.

    Attributes
    ----------
    name : str
    make : callable
        Scratch folder -> Solver.
    precision : str
        In which it says that it solved.
    tolerance : float
        Of the relative residual, where that is not what rounding leaves or mixed precision promises.
    has_factor : bool
        Whether there is a factor of K that says where K is singular.
    on_disk : bool
        Whether the factor lies in the scratch folder.
    """

    name: str
    make: Callable
    precision: str = "float64"
    tolerance: float | None = None
    has_factor: bool = True
    on_disk: bool = False

    def __str__(self):
        return f"{self.name}-{self.precision}"

    @property
    def relative(self):
        """The largest relative residual of an output that is expected."""
        return self.tolerance or (N * EPS if self.precision == "float64" else 1e-10)

    @property
    def inverts(self):
        """Whether the factor serves for more than targets: inverse diagonals, determinants."""
        return self.has_factor and self.precision == "float64"


def points(n=N, condition=CONDITION):
    """Return X whose X X^T has eigenvalues spaced geometrically from 1 / condition to 1."""
    Q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
    return Q * np.sqrt(np.geomspace(1 / condition, 1, n))


def made(case, folder, *, ridge=0.0, X=None):
    """Return (solver, K on its device, dense K + ridge I)."""
    solver = case.make(folder)
    X = points() if X is None else X
    K = gram(X, Linear(), device=solver.device if not isinstance(solver.device, str) else CPU)
    return solver, K, X @ X.T + ridge * np.eye(len(X))


def targets(outputs=3, seed=1):
    Y = np.random.default_rng(seed).standard_normal((N, outputs))
    Y.flags.writeable = False
    return Y


def close(found, expected, relative):
    np.testing.assert_allclose(found, expected, rtol=0, atol=relative * np.abs(expected).max(initial=1e-300))


def right(case, solution, A, Y, ridge=0.0):
    """Check all that a Solution says against dense linear algebra."""
    coef, relative = np.linalg.solve(A, Y), 10 * case.relative * CONDITION
    K = A - ridge * np.eye(N)
    assert solution.coef.dtype == np.float64 and solution.coef.shape == Y.shape
    assert np.array_equal(solution.targets, Y) and solution.ridge == ridge
    close(solution.coef, coef, relative)
    close(solution.fitted, K @ solution.coef, 100 * EPS * CONDITION)
    residual = np.linalg.norm(Y - A @ solution.coef, axis=0) / np.linalg.norm(Y, axis=0)
    # A residual of rounding is rounding.
    np.testing.assert_allclose(solution.residual_per_output, residual, rtol=1e-3, atol=100 * EPS * CONDITION)
    assert solution.relative_residual == solution.residual_per_output.max() <= 10 * case.relative
    close(solution.quadratic, Y.T @ coef, relative)
    np.testing.assert_allclose(solution.norm_1, np.linalg.norm(A, 1), rtol=1e-12)
    squares = np.einsum("ij,ij->j", coef, K @ coef)
    # An error of coef enters squared into the norm of the interpolant, and once with a ridge.
    np.testing.assert_allclose(solution.norm.per_output, np.sqrt(squares), rtol=relative)
    np.testing.assert_allclose(solution.norm.total, np.sqrt(squares.sum()), rtol=relative)
    assert solution.norm.disagreement <= relative and solution.doubts() == []
    if solution.condition_estimate is not None:
        exact = np.linalg.cond(A, 1)
        assert exact / 30 <= solution.condition_estimate <= 1.001 * exact
    json.dumps([solution.report, solution.seconds])
    assert solution.report["precision"] == case.precision and solution.report["fallback"] is None
    assert solution.method and {"reason", "shift", "breakdowns"} <= set(solution.report)


def check_a_solution(case, folder):
    """coef of several right-hand sides, and all that is said of them, with and without a ridge."""
    for ridge in (0.0, 0.3):
        solver, K, A = made(case, folder, ridge=ridge)
        with solver.factor(K, ridge=ridge) as factor:
            right(case, factor.solve(targets()), A, targets(), ridge)
            assert (factor.n, factor.ridge, factor.precision) == (N, ridge, case.precision)
            assert factor.device == K.device.name and factor.peak_memory() > 0
            json.dumps([factor.report, factor.seconds])


def check_other_targets(case, folder):
    """Any number of times, of any number of outputs, each as accurate as the first, which stays what it was."""
    solver, K, A = made(case, folder)
    with solver.factor(K) as factor:
        first = factor.solve(targets())
        before = first.coef.copy()
        for outputs in (1, 40):
            right(case, factor.solve(targets(outputs, seed=2)), A, targets(outputs, seed=2))
        integers = np.random.default_rng(3).integers(0, 2, (N, 2))
        right(case, factor.solve(integers), A, integers.astype(float))
        with_zeros = targets() * [1.0, 0.0, 1.0]
        solution = factor.solve(with_zeros)
        assert not solution.coef[:, 1].any() and solution.residual_per_output[1] == 0
        close(solution.coef, np.linalg.solve(A, with_zeros), 10 * case.relative * CONDITION)
    right(case, first, A, targets())
    assert np.array_equal(first.coef, before)


def check_combined(case, folder):
    """combined(T) is the solution of Y T, for which nothing is solved."""
    T = np.random.default_rng(4).standard_normal((3, 5))
    T[1] = 0.0
    for ridge in (0.0, 0.3):
        solver, K, A = made(case, folder, ridge=ridge)
        with solver.factor(K, ridge=ridge) as factor:
            combined = factor.solve(targets()).combined(T)
        close(combined.targets, targets() @ T, 100 * EPS)
        right(case, combined, A, combined.targets, ridge)


def check_units(case, folder):
    """Targets in extreme units lose no digit, each column in its own."""
    solver, K, A = made(case, folder)
    with solver.factor(K) as factor:
        plain, scaled = factor.solve(targets()), factor.solve(targets() * UNITS)
    right(case, plain, A, targets())
    relative = 10 * case.relative * CONDITION
    close(scaled.coef / UNITS, plain.coef, relative)
    close(scaled.fitted / UNITS, plain.fitted, relative)
    np.testing.assert_allclose(np.divide(scaled.norm.per_output, UNITS), plain.norm.per_output, rtol=relative)
    np.testing.assert_allclose(scaled.norm.total, 1e155 * plain.norm.per_output[2], rtol=relative)
    assert scaled.relative_residual <= 10 * case.relative and scaled.doubts() == []


def check_too_large(case, folder):
    """Coefficients beyond the largest number are an error that says so, not infinite."""
    solver, K, _ = made(case, folder)
    with pytest.raises(InputError, match="beyond the largest number"), solver.factor(K) as factor:
        factor.solve(np.full((N, 1), 1.5e308))


def check_inverses(case, folder):
    """What a factor gives beside solutions, or a typed error that says what to take."""
    for ridge in (0.0, 0.3):
        solver, K, A = made(case, folder, ridge=ridge)
        inverse, V = np.linalg.inv(A), targets(2, seed=5)
        with solver.factor(K, ridge=ridge) as factor:
            solution = factor.solve(targets())
            if not case.inverts:
                refused(factor, V)
                continue
            half = factor.half_solve(V)
            close(half.T @ half, V.T @ inverse @ V, 1e-11)
            close(factor.half_solve_transposed(half), inverse @ V, 1e-11)
            close(factor.half_solve_transposed(V).T @ targets(), V.T @ factor.half_solve(targets()), 1e-11)
            close(factor.apply_inverse(V), inverse @ V, 1e-11)
            diagonal = factor.inverse_diagonal()
            close(diagonal, inverse.diagonal(), 1e-11)
            np.testing.assert_allclose(factor.log_determinant(), np.linalg.slogdet(A)[1], rtol=1e-11)
            smallest = np.linalg.eigvalsh(A)[0]
            assert smallest * (1 - 1e-10) <= factor.smallest_pivot() <= A.diagonal().min() * (1 + 1e-10)
        left_out = solution.left_out(diagonal)
        for i in (0, 77):
            rest = np.delete(np.arange(N), i)
            coef = np.linalg.solve(A[np.ix_(rest, rest)], targets()[rest])
            np.testing.assert_allclose(left_out[i], A[i, rest] @ coef, rtol=1e-9, atol=1e-9)


def refused(factor, V):
    asked = [
        lambda: factor.half_solve(V),
        lambda: factor.half_solve_transposed(V),
        lambda: factor.apply_inverse(V),
        lambda: factor.inverse_diagonal(),
        lambda: factor.log_determinant(),
    ]
    if factor.precision == "mixed":
        assert 0 < factor.smallest_pivot() < 1.5
    else:
        asked.append(factor.smallest_pivot)
    for ask in asked:
        with pytest.raises(UnsupportedError, match=r'Take Cholesky\(\)|Take `precision="float64"`'):
            ask()


def check_predictions(case, folder):
    """predict multiplies the matrix of other points."""
    solver, K, _ = made(case, folder)
    X, coef = np.random.default_rng(6).standard_normal((17, N)), targets()
    with solver.factor(K) as factor:
        close(factor.predict(gram(X, Linear(), K.points), coef), X @ points().T @ coef, 1e-12)


def check_singular(case, folder):
    """A singular matrix is an error that names the row, whatever the targets, and with a ridge it is none."""
    X = points()
    X[77] = X[5]
    solver, K, A = made(case, folder, X=X)
    # Products alone find out only that nothing fits these targets, and nothing where something does.
    error = SingularMatrixError if case.has_factor else NotConvergedError
    for Y in (targets(), A @ targets()) if case.has_factor else (targets(),):
        with pytest.raises(error) as caught, solver.factor(K) as factor:
            factor.solve(Y)
        if case.has_factor:
            assert (caught.value.row, caught.value.duplicate) == (77, 5)
            assert "raining points 5 and 77 are identical" in str(caught.value)
    if case.on_disk:
        assert not list(folder.iterdir()), "it would be singular again"
    solver, K, A = made(case, folder, ridge=0.3, X=X)
    with solver.factor(K, ridge=0.3) as factor:
        right(case, factor.solve(targets()), A, targets(), 0.3)


def check_wrong_input(case, folder):
    """What cannot be targets is refused before anything is solved, and the factor stays good."""
    solver, K, A = made(case, folder)
    wrong = [targets()[1:], targets()[:, 0], targets() + 0j, targets().astype(str), np.full((N, 1), None)]
    for value in (np.nan, np.inf, -np.inf):
        Y = targets().copy()
        Y[100, 1] = value
        wrong.append(Y)
    with solver.factor(K) as factor:
        for Y in wrong:
            with pytest.raises(InputError, match="right-hand sides"):
                factor.solve(Y)
        right(case, factor.solve(targets()), A, targets())
    for ridge in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="ridge"), solver.factor(K, ridge=ridge) as factor:
            factor.solve(targets())
    if case.on_disk:
        assert not list(folder.iterdir())


def check_memory_is_freed(case, folder):
    """When the block ends, not when the last name of the factor does; a scratch folder is as it was."""
    n, Y = 400, np.ones((400, 1))
    solver, K, _ = made(case, folder, X=np.random.default_rng(7).standard_normal((n, 5)))  # points take little
    with solver.factor(K, ridge=1.0) as factor:  # what is loaded and compiled stays
        factor.solve(Y)
    del factor
    tracemalloc.start()
    try:
        with solver.factor(K, ridge=1.0) as factor:
            factor.solve(Y)
        gc.collect()
        of_arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)  # Python's own tables grow when they like
        left = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([of_arrays]).traces)
    finally:
        tracemalloc.stop()
    assert left < 4 * n * n / 4, "half of half the matrix in float32"
    assert factor.n == n
    assert not folder.exists() or not list(folder.iterdir())


def check_two_factors_at_once(case, folder):
    """The earlier one is still of its own matrix, and the later one when the earlier one is closed."""
    if case.on_disk:
        return  # each takes the scratch folder of a solver
    solver, K, A = made(case, folder, ridge=0.5)
    other = gram(2 * points(), Linear(), device=K.device)
    B, Y = 4 * (A - 0.5 * np.eye(N)) + 0.1 * np.eye(N), np.random.default_rng(1).standard_normal((N, 2))
    with solver.factor(other, ridge=0.1) as second:
        with solver.factor(K, ridge=0.5) as first:
            for factor, dense in ((second, B), (first, A), (second, B)):
                assert np.abs(factor.solve(Y).coef - np.linalg.solve(dense, Y)).max() < 1e-5
        assert np.abs(second.solve(Y).coef - np.linalg.solve(B, Y)).max() < 1e-5


CHECKS = [value for name, value in dict(globals()).items() if name.startswith("check_")]
