import dataclasses
import tracemalloc
import types
import weakref

import numpy as np
import pytest

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Gaussian, Precomputed
from kernelfit.solvers import auto
from kernelfit.solvers import ridges as module
from kernelfit.solvers.auto import Auto, Choice
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.eigen import Eigen
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates
from kernelfit.solvers.ridges import checked_ridges, eigen_bytes, ridge_path
from kernelfit.solvers.solution import leave_one_out
from kernelfit.solvers.spectrum import Spectrum, spectrum
from tests.support.problems import as_gram, symmetric_matrix

BOTH = ["eigendecomposition", "refactoring"]
RIDGES = (0.0, 1e-6, 1e-3, 1.0)
RATES = Rates(float64=1e11, float32=2e11, entry=1e-9)
N = 60


@pytest.fixture(autouse=True)
def known_rates(monkeypatch):
    monkeypatch.setattr(auto, "measure_rates", lambda *_: RATES)
    auto._rates.cache_clear()
    yield
    auto._rates.cache_clear()


def choice(n=N, precision="float64", memory=None):
    """What Auto chooses."""
    problem = Problem(n, 0, 0, 3, np.float64)
    plan = plan_solve(problem, precision=precision, rates=RATES)
    memory = plan.free["memory"] if memory is None else memory
    plan = dataclasses.replace(plan, free=plan.free | {"memory": memory})
    return Choice(plan, plan.ways[0], "", {})


def targets(n=N, outputs=3, seed=1):
    return np.random.default_rng(seed).standard_normal((n, outputs))


def solved(K, Y, ridges=RIDGES, **options):
    """Return pairs of a Solution and an inverse diagonal."""
    path = ridge_path(K, Y, ridges, Cholesky(), **{"loo": True} | options)
    return list(zip(path.solutions, path.inverse_diagonals, strict=True))


def singular_gram(duplicate=False):
    rng = np.random.default_rng(3)
    if duplicate:
        X = rng.integers(0, 256, (30, 6), dtype=np.uint8)
        X[17] = X[4]
        return gram(X, Gaussian(0.5))
    F = rng.standard_normal((30, 12))
    return as_gram(F @ F.T)


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("condition", [1e2, 1e4])  # an error of at most condition n eps = 1e-10
def test_each_solution_solves_its_own_system(method, condition):
    K, _ = symmetric_matrix(N, condition)
    Y = targets()
    for ridge, (found, diagonal) in zip(RIDGES, solved(as_gram(K), Y, method=method), strict=True):
        A = K + ridge * np.eye(N)
        coef = np.linalg.solve(A, Y)
        assert found.ridge == ridge
        np.testing.assert_allclose(found.coef, coef, rtol=0, atol=1e-9 * np.abs(coef).max())
        np.testing.assert_allclose(diagonal, np.linalg.inv(A).diagonal(), rtol=1e-9)
        np.testing.assert_allclose(found.fitted, K @ coef, rtol=0, atol=1e-9 * np.abs(Y).max())
        np.testing.assert_allclose(found.norm_1, np.linalg.norm(A, 1), rtol=1e-12)
        assert found.relative_residual < 1e-11
        np.testing.assert_allclose(found.norm.total, np.sqrt(np.trace(coef.T @ K @ coef)), rtol=1e-9)
        assert found.norm.disagreement < 1e-9


@pytest.mark.parametrize("method", BOTH)
def test_leave_one_out_against_really_leaving_one_out(method):
    K, _ = symmetric_matrix(N, 1e3, seed=2)
    Y = targets()
    for found, diagonal in solved(as_gram(K), Y, method=method):
        closed = leave_one_out(Y, found.coef, diagonal)
        for i in range(N):
            rest = np.delete(np.arange(N), i)
            coef = np.linalg.solve(K[np.ix_(rest, rest)] + found.ridge * np.eye(N - 1), Y[rest])
            np.testing.assert_allclose(closed[i], K[i, rest] @ coef, rtol=0, atol=1e-9)


def test_both_methods_agree_on_a_kernel_of_images():
    rng = np.random.default_rng(0)
    K = gram(rng.integers(0, 256, (150, 4, 4), dtype=np.uint8), Gaussian(1.0))
    Y = one_hot(rng.integers(0, 3, 150), 3)
    for (one, left), (other, right) in zip(*(solved(K, Y, method=method) for method in BOTH), strict=True):
        np.testing.assert_allclose(one.coef, other.coef, rtol=0, atol=1e-9 * np.abs(Y).max())
        np.testing.assert_allclose(left, right, rtol=0, atol=1e-9 * np.abs(Y).max())


@pytest.mark.parametrize("method", BOTH)
def test_a_huge_ridge_is_no_kernel_at_all(method):
    """coef -> Y / ridge, with a relative error of |K| / ridge, and predictions -> 0."""
    K, _ = symmetric_matrix(N, 1e3)
    Y = targets()
    found, diagonal = solved(as_gram(K), Y, (0.0, 1e9), method=method)[1]
    np.testing.assert_allclose(1e9 * found.coef, Y, rtol=0, atol=2e-9 * np.linalg.norm(Y))
    assert np.abs(leave_one_out(Y, found.coef, diagonal)).max() < 1e-7
    assert found.norm.total < 1e-7


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("duplicate", [False, True])
def test_a_singular_matrix_is_an_error_that_names_the_ridge(method, duplicate):
    with pytest.raises(SingularMatrixError, match=r"K \+ 0 I is numerically singular") as caught:
        solved(singular_gram(duplicate), targets(30), (0.0, 1e-3), method=method)
    assert (caught.value.duplicate, caught.value.row) == (4, 17) if duplicate else caught.value.duplicate is None


@pytest.mark.parametrize("method", BOTH)
def test_a_ridge_below_the_rounding_error_does_not_help(method):
    with pytest.raises(SingularMatrixError, match=r"1e-20"):
        solved(singular_gram(), targets(30), (1e-20, 1e-3), method=method)


@pytest.mark.parametrize("method", BOTH)
def test_duplicates_with_a_ridge_share_their_weight(method):
    Y = targets(30)
    Y[17] = Y[4]
    for found, _ in solved(singular_gram(duplicate=True), Y, (1e-3, 1e-1), method=method):
        np.testing.assert_allclose(found.coef[17], found.coef[4], rtol=0, atol=1e-9 * np.abs(found.coef).max())
        assert found.relative_residual < 1e-12


def test_an_indefinite_matrix_is_an_error():
    K, _ = symmetric_matrix(N, 1e2)
    with pytest.raises(SingularMatrixError, match="smallest eigenvalue is -") as caught:
        solved(as_gram(K - 0.5 * np.eye(N)), targets(), (0.0, 0.1), method="eigendecomposition")
    assert caught.value.pivot == pytest.approx(0.01 - 0.5, rel=1e-9)


def test_which_ridges_a_spectrum_resolves():
    """The bound is n eps lambda_max."""
    bound = 4 * np.finfo(float).eps * 8.0
    for smallest, resolved in ((2 * bound, True), (bound, False), (0.0, False), (-1.0, False)):
        made = Spectrum(np.array([smallest, 1.0, 2.0, 8.0]), np.eye(4))
        assert made.resolves(0.0) is resolved
    assert Spectrum(np.array([-1e-18, 1.0, 2.0, 8.0]), np.eye(4)).resolves(1e-12)


def test_the_residual_is_not_taken_from_the_decomposition():
    """One pass over a recomputed K serves all ridges, and sees what is wrong with the factor."""
    K, _ = symmetric_matrix(N, 1e2)

    class Other(Gram):
        products = 0

        def block(self, rows, columns, out=None):
            made = super().block(rows, columns, out)
            if out is not None:
                out[3, 3] += 0.1
            return made

        def _product(self, *arguments, **options):
            type(self).products += 1
            return super()._product(*arguments, **options)

    Y = targets()
    found = solved(Other(K, Precomputed()), Y, method="eigendecomposition")
    assert Other.products == 1
    for each, _ in found:
        expected = 0.1 * np.max(np.abs(each.coef[3]) / np.linalg.norm(Y, axis=0))
        assert each.relative_residual == pytest.approx(expected, rel=1e-6)


def test_the_decomposition_holds_two_matrices():
    n = 500
    K = gram(np.random.default_rng(0).standard_normal((n, 5)), Gaussian(1.0))
    spectrum(K)  # compiles
    peaks = []
    for _ in range(2):  # Python's table of all attribute names may grow by megabytes in one of them
        tracemalloc.start()
        made = spectrum(K)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert made.vectors.flags.f_contiguous
        del made
    assert min(peaks) < 2.3 * 8 * n * n  # a copy would make it three; LAPACK's workspace is some rows


def test_a_kernel_that_is_not_finite_is_named():
    K = types.SimpleNamespace(**{"shape": (3, 3), "device": gram(np.eye(3), Gaussian(1.0)).device})
    K.block = lambda rows, columns, out: np.copyto(out, np.diag([1.0, np.nan, 1.0]))
    with pytest.raises(InputError, match="training point 1"):
        spectrum(K)


def test_one_factor_at_a_time(monkeypatch):
    alive, make = [], Cholesky.factor

    def watched(*arguments, **options):
        assert all(reference() is None for reference in alive), "an earlier factor is still held"
        factor = make(*arguments, **options)
        alive.append(weakref.ref(factor.L.panels))
        return factor

    monkeypatch.setattr(Cholesky, "factor", watched)
    solved(as_gram(symmetric_matrix(N, 1e2)[0]), targets(), method="refactoring")
    assert len(alive) == len(RIDGES)


def test_leave_one_out_where_it_costs_nothing_or_is_asked_for():
    K, Y = as_gram(symmetric_matrix(N, 1e2)[0]), targets()
    for method, given in (("refactoring", False), ("eigendecomposition", True)):
        found = solved(K, Y, method=method, loo=False)
        assert all((diagonal is not None) is given for _, diagonal in found)


def test_refactoring_in_mixed_precision():
    K, _ = symmetric_matrix(N, 1e4)
    Y = targets()
    path = ridge_path(as_gram(K), Y, (0.0, 1e-2), Cholesky(precision="mixed"), method="refactoring")
    for each in path.solutions:
        coef = np.linalg.solve(K + each.ridge * np.eye(N), Y)
        assert "float32 corrected to float64" in each.method
        # Its residual is below 1e-10 relative, which the condition number may multiply.
        np.testing.assert_allclose(each.coef, coef, rtol=0, atol=1e-6 * np.abs(coef).max())


@pytest.mark.parametrize("n", [1000, 8000])
@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("loo", [False, True])
def test_the_method_predicted_to_be_quicker_is_taken(n, precision, loo):
    """One factorisation is n^3 / 3 operations, half the time in a float32 of twice the rate, and the overhead."""
    one = n**3 / 3 / (1 if precision == "float64" else 2) + loo * n**3 / 3 + module.FACTOR_OVERHEAD * n**2
    equal = module.EIGEN_COST * n**3 / one
    K = types.SimpleNamespace(shape=(n, n), device=as_gram(np.eye(1)).device)
    options = {"outputs": 3, "loo": loo}
    for count, expected in ((int(equal), "refactoring"), (int(equal) + 1, "eigendecomposition")):
        method, reason = module._choose_method(K, choice(n, precision, 10**12), count=count, **options)
        assert method == expected and f"{count} factorisations" in reason
        assert ("inverse diagonals" in reason) is loo


def test_the_path_follows_the_prediction(monkeypatch):
    K, Y = as_gram(symmetric_matrix(N, 1e2)[0]), targets()
    for cost, method in ((1e-9, "eigendecomposition"), (1e9, "refactoring")):
        monkeypatch.setattr(module, "EIGEN_COST", cost)
        path = ridge_path(K, Y, RIDGES, Auto(precision="float64"))
        assert path.method == method and "factorisations" in path.reason
        assert path.eigenvalues is None if method == "refactoring" else path.eigenvalues == pytest.approx((0.01, 1.0))


def test_what_is_singular_does_not_depend_on_what_is_quicker(monkeypatch):
    """Rows are independent, and the smallest eigenvalue is below the rounding error of the largest."""
    monkeypatch.setattr(module, "EIGEN_COST", 0.0)
    K, Y = as_gram(np.diag(np.append(np.ones(N - 1), 1e-15))), targets()
    with pytest.raises(SingularMatrixError, match=r"smallest eigenvalue is 1\.0e-15"):
        solved(K, Y, method="eigendecomposition")
    path = ridge_path(K, Y, RIDGES, Auto(precision="float64"))
    assert path.method == "refactoring" and "does not resolve ridge 0" in path.reason
    np.testing.assert_allclose(path.solutions[0].coef[-1], 1e15 * Y[-1], rtol=1e-12)
    with pytest.raises(SingularMatrixError, match="pivot"):
        ridge_path(singular_gram(), targets(30), RIDGES, Auto(precision="float64"))


def test_what_keeps_an_eigendecomposition_away():
    K = as_gram(symmetric_matrix(N, 1e2)[0])
    options = {"count": 1000, "outputs": 3, "loo": True}
    needed = eigen_bytes(N, 1000, 3)
    assert module._choose_method(K, choice(memory=needed), **options)[0] == "eigendecomposition"
    method, reason = module._choose_method(K, choice(memory=needed - 1), **options)
    assert method == "refactoring" and "free memory" in reason
    large = types.SimpleNamespace(shape=(32_001, 32_001), device=K.device)
    assert "32,000" in module._choose_method(large, choice(memory=10**12), **options)[1]
    elsewhere = types.SimpleNamespace(shape=(N, N), device=types.SimpleNamespace(name="cuda"))
    assert module._choose_method(elsewhere, choice(), **options) == (
        "refactoring",
        "an eigendecomposition is done on the cpu only",
    )
    for matrix in (large, elsewhere):
        with pytest.raises(InputError, match=r"Take Cholesky\(\), or refactor"):
            spectrum(matrix)


def test_ridges_are_put_into_order():
    assert checked_ridges([1, 0, 1e-3]) == (0.0, 1e-3, 1.0)
    K, Y = as_gram(symmetric_matrix(N, 1e2)[0]), targets()
    assert [each.ridge for each, _ in solved(K, Y, [1.0, 0.5], method="eigendecomposition")] == [0.5, 1.0]


@pytest.mark.parametrize(
    ("ridges", "message"),
    [
        ([], "at least one"),
        ([0, -1e-9], "-1e-09"),
        ([0, float("nan")], "nan"),
        ([0, float("inf")], "inf"),
        ([0, "1"], "'1'"),
        ([1e-6, 0, 0.000001], "twice"),
        ([0.0, -0.0], "twice"),
    ],
)
def test_what_is_no_path(ridges, message):
    with pytest.raises(InputError, match=message):
        checked_ridges(ridges)


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="known are auto"):
        solved(as_gram(np.eye(3)), np.eye(3), method="svd")


def test_ridges_may_be_numbers_of_numpy():
    for ridges in (np.arange(3), np.arange(3.0), np.float32([2, 0, 1]), [np.int8(1), 0, np.float64(2)]):
        found = checked_ridges(ridges)
        assert found == (0.0, 1.0, 2.0) and all(type(ridge) is float for ridge in found)
    for wrong in (np.array([-1]), np.float32([np.nan]), [1j], np.array(["0"])):
        with pytest.raises(InputError):
            checked_ridges(wrong)


def test_any_solver_refactors_and_only_auto_chooses_between_methods():
    K, Y = as_gram(symmetric_matrix(N, 1e2)[0]), targets()
    for solver in (Cholesky(), Eigen()):
        path = ridge_path(K, Y, RIDGES, solver)
        assert (path.method, path.reason) == ("refactoring", "asked for")
        assert all(each.method == solver.factor(K).method for each in path.solutions)


def test_what_is_planned_is_planned_once(monkeypatch):
    plans, plan = [], Auto.plan
    monkeypatch.setattr(Auto, "plan", lambda self, *args, **options: plans.append(1) or plan(self, *args, **options))
    ridge_path(as_gram(symmetric_matrix(N, 1e2)[0]), targets(), RIDGES, Auto(), method="refactoring")
    assert len(plans) == 1
