"""Mixed precision: the float64 answer, or an error that says what to do; every departure from plain float32 is told."""

import gc
import weakref

import numpy as np
import pytest

from kernelfit.common.errors import InputError, NotConvergedError, SingularMatrixError, UnsupportedError
from kernelfit.common.progress import Progress
from kernelfit.grams.inner_products import InnerProducts
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import Gaussian, Linear, Polynomial, Precomputed
from kernelfit.solvers.auto import Auto, Choice
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.mixed import TOLERANCE, MixedFactor, shifts
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from kernelfit.solvers.planning.rates import Rates
from tests.support.problems import as_gram, corrected, symmetric_matrix

EPS = np.finfo(float).eps
RATES = Rates(1e11, 2e11, 1e-9)


def spectrum(n, eigenvalues, seed=0):
    """Return a symmetric matrix with these eigenvalues, repeated until there are n."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    K = (Q * np.resize(eigenvalues, n)) @ Q.T
    return (K + K.T) / 2


def energy(Y, coef):
    return np.sqrt(np.einsum("ij,ij->", Y, coef))


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("right_hand_sides", [1, 10, 80, 130])
def test_the_float64_answer(condition, right_hand_sides):
    n = 120
    K, inverse = symmetric_matrix(n, condition)
    Y = np.random.default_rng(1).standard_normal((n, right_hand_sides))
    done = corrected(K, Y)
    # Where the coefficients are large, K coef alone rounds to eps |K| |coef|, for every solver in float64.
    rounding = EPS * np.linalg.norm(K, 1) * np.linalg.norm(done.coef) / np.linalg.norm(Y)
    assert done.relative_residual <= max(TOLERANCE, rounding) and done.report["breakdowns"] == []
    truth = np.linalg.norm(Y - K @ done.coef) / np.linalg.norm(Y)
    assert abs(truth - done.relative_residual) <= n * rounding
    reference = cholesky(as_gram(K)).solve(Y)
    # | |x| - |x'| | in the K-norm is at most the residual over the root of the smallest eigenvalue: to first order its
    # square cancels, and what is left is below 1e-8 for every condition here.
    np.testing.assert_allclose(energy(Y, done.coef), energy(Y, reference), rtol=1e-8)
    # |A^-1| times the residual; `inverse` itself is off by n eps of its condition
    error = np.linalg.norm(done.coef - inverse @ Y)
    assert error <= condition * (max(TOLERANCE, rounding) + 10 * n * EPS) * np.linalg.norm(Y)


@pytest.mark.parametrize("condition", [1e7, 1e9])
def test_ten_digits_where_the_coefficients_are_small(condition):
    """Y = K x with |x| of order 1, as smooth targets are: then 1e-10 is within the reach of float64, if not easily."""
    K = spectrum(100, [1.0, 0.5, 1 / condition])
    Y = K @ np.random.default_rng(2).standard_normal((100, 5))
    done = corrected(K, Y)
    assert done.relative_residual <= TOLERANCE


@pytest.mark.parametrize("units", [[1e6, 1.0], [1e-6, 1.0], [1e-165, 1e155]], ids=str)
def test_every_output_is_solved(units):
    """Pooled, the residual of a small output would be lost beside that of a large one."""
    K, _ = symmetric_matrix(90, 1e6)
    Y = np.c_[K @ np.ones(90), K @ np.random.default_rng(1).standard_normal(90)]
    done = corrected(K, Y * units)
    truth = np.linalg.norm(Y - K @ (done.coef / units), axis=0) / np.linalg.norm(Y, axis=0)
    assert truth.max() <= 2 * TOLERANCE and done.relative_residual <= TOLERANCE
    np.testing.assert_allclose(done.fitted / units, Y, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_kept_inner_products_lead_to_the_same_answer(ridge):
    X = np.random.default_rng(3).integers(0, 256, (150, 300), dtype=np.uint8)
    Y = np.random.default_rng(4).standard_normal((150, 4))
    K = gram(X, Gaussian(6.0))
    plain, kept = (corrected(K, Y, ridge=ridge, cached=cached) for cached in (False, True))
    assert np.array_equal(plain.coef, kept.coef), "pixels: the same bits in every block"
    assert kept.relative_residual <= TOLERANCE
    assert kept.report["kept_bytes"] > plain.report["kept_bytes"] == 0
    assert "check" in kept.seconds, "by blocks that are made again"


def test_the_points_are_asked_at_once_where_the_last_gain_promises_enough(monkeypatch):
    """One product with what is kept for each correction but the last, whose residual the points alone tell."""
    made, product = [], Gram._product

    def counted(K, V, *arguments, **options):
        made.append(K.points.products is not None)
        return product(K, V, *arguments, **options)

    X = np.random.default_rng(3).integers(0, 256, (150, 300), dtype=np.uint8)
    K, Y = gram(X, Gaussian(6.0)), np.random.default_rng(4).standard_normal((150, 4))
    monkeypatch.setattr(Gram, "_product", counted)
    found = corrected(K, Y, cached=True)
    steps = found.report["residuals"]
    assert len(steps) > 1 and steps[-2] ** 2 / (steps[-3] if len(steps) > 2 else 1.0) < TOLERANCE / 3
    assert made == [True] * (len(steps) - 1) + [False]
    assert found.relative_residual == steps[-1] <= TOLERANCE


def test_what_is_kept_is_not_trusted_in_the_end(monkeypatch):
    """One wrong inner product solves another problem, and the check from blocks that are made again tells."""
    honest = InnerProducts.of.__func__

    def wrong(cls, points, **options):
        made = honest(cls, points, **options)
        made.panels[0][100, 3] -= 5e5
        return made

    monkeypatch.setattr(InnerProducts, "of", classmethod(wrong))
    X = np.random.default_rng(3).integers(0, 256, (150, 300), dtype=np.uint8)
    with pytest.raises(NotConvergedError):
        corrected(gram(X, Gaussian(6.0)), np.random.default_rng(4).standard_normal((150, 4)), cached=True)


def test_large_coefficients_are_no_excuse():
    """No coefficients fit; those that the iteration ends with are so large that rounding would explain anything."""
    with pytest.raises(SingularMatrixError, match="numerically singular"):
        corrected(np.ones((40, 40)), np.eye(40)[:, :2])


@pytest.mark.parametrize("n", [1, 2])
def test_tiny_problems(n):
    K, inverse = symmetric_matrix(n, 2.0)
    done = corrected(K, np.eye(n))
    np.testing.assert_allclose(done.coef, inverse, atol=1e-10)


def test_nothing_to_fit():
    done = corrected(np.eye(5), np.zeros((5, 3)))
    assert not done.coef.any() and done.report["residuals"] == [0.0] and done.relative_residual == 0


def test_a_ridge_is_part_of_the_problem_and_a_shift_is_not():
    K, _ = symmetric_matrix(80, 1e12)
    Y = np.random.default_rng(3).standard_normal((80, 4))
    for ridge in (1e-6, 1.0, 1e6):
        done = corrected(K, Y, ridge=ridge)
        rounding = EPS * np.linalg.norm(K + ridge * np.eye(80), 1) * np.linalg.norm(done.coef) / np.linalg.norm(Y)
        assert done.ridge == ridge and done.report["shift"] == 0
        assert done.relative_residual <= max(TOLERANCE, rounding)  # what float64 allows
        expected = np.linalg.solve(K + ridge * np.eye(80), Y)
        # cond (tolerance + n eps), and the condition is at most 1 + 1 / ridge
        np.testing.assert_allclose(
            done.coef, expected, rtol=0, atol=(1 + 1 / ridge) * 2 * TOLERANCE * np.abs(expected).max()
        )


def test_shifts_grow_and_make_up_for_what_the_ridge_lacks():
    K = as_gram(3.0 * np.eye(500))
    unit = 4 * np.sqrt(500) * 2.0**-24 * 3.0
    np.testing.assert_allclose(shifts(K, 0.0), [0, unit, 4 * unit, 16 * unit])
    np.testing.assert_allclose(shifts(K, 2 * unit), [0, 2 * unit, 14 * unit])
    assert shifts(K, 20 * unit) == [0.0]


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


# A third of the eigenvalues are a thousandth of what float32 resolves: it finds pivots that are not positive, and with
# a shift the matrix has two clusters of eigenvalues, so that a few steps do.
BEYOND_FLOAT32 = [1.0, 0.5, 1e-10]


def test_a_breakdown_of_float32_is_mended_by_a_shift_and_told():
    K = spectrum(150, BEYOND_FLOAT32)
    Y = K @ np.random.default_rng(4).standard_normal((150, 5))
    notes = Notes()
    done = corrected(K, Y, progress=notes)
    shift, breakdowns = done.report["shift"], done.report["breakdowns"]
    assert breakdowns[0] == 0 and shift == shifts(as_gram(K), 0.0)[len(breakdowns)] > 0
    assert done.relative_residual <= TOLERANCE, "of the problem without the shift"
    assert all("float32 breaks down at training point" in note for note in notes.notes)
    assert len(notes.notes) == len(breakdowns)
    again = begun_at(shift, K)
    assert (again.report["breakdowns"], again.L.shift) == (breakdowns, shift)
    assert np.array_equal(again.solve(Y).coef, done.coef)
    assert begun_at(123.0, np.eye(4)).L.shift == 0, "some other problem's"


def begun_at(shift, K):
    return MixedFactor.of(as_gram(K), lambda shift: MemoryPanels(len(K), 32, np.float32), first_shift=shift)


def test_an_indefinite_matrix_breaks_down_with_every_shift():
    K = spectrum(60, [1.0, -0.5])
    with pytest.raises(NotConvergedError, match=r"float32 cannot factor .*`precision=.float64.`"):
        corrected(K, np.eye(60))


def test_a_preconditioner_that_is_too_coarse_is_said_to_be():
    K = symmetric_matrix(200, 1e12)[0]
    with pytest.raises(NotConvergedError, match=r"too coarse .*`precision=.float64.`"):
        corrected(K, np.random.default_rng(5).standard_normal((200, 1)))


@pytest.mark.parametrize("consistent", [True, False])
def test_a_singular_matrix_is_told_whether_or_not_the_targets_have_a_solution(consistent):
    X = np.random.default_rng(1).standard_normal((200, 10))
    with pytest.raises(SingularMatrixError):
        corrected(gram(X, Linear()), X[:, :1] if consistent else np.sin(X[:, :1]))


def test_a_kernel_that_is_not_finite_is_named_by_its_row():
    class Broken(Gram):
        def block(self, rows, columns, out=None):
            block = super().block(rows, columns, out=out)
            if rows[0] <= 37 < rows[1] and columns[0] <= 37 < columns[1]:
                block[37 - rows[0], 37 - columns[0]] = np.nan
            return block

    with pytest.raises(InputError, match="not finite at training point 37"):
        corrected(Broken(np.eye(50), Precomputed()), np.ones((50, 1)))


def test_a_kernel_beyond_float32_is_left_to_float64():
    """(x z)^5 of coordinates of 1e9 reaches 1e90; float32 ends at 3e38, and no overflow is a property of the kernel."""
    X = np.random.default_rng(6).uniform(0.5, 1.0, (40, 60)) * 1e9
    K = gram(X, Polynomial(degree=5))
    with pytest.raises(NotConvergedError, match="float32 cannot hold"):
        corrected(K, np.ones((40, 1)))
    assert np.isfinite(solved(K, "mixed", fallback=True).coef).all()


def test_a_kernel_that_underflows_in_float32_is_left_to_float64():
    K = as_gram(1e-60 * symmetric_matrix(40, 10.0)[0])
    with pytest.raises(NotConvergedError, match="float32 cannot hold"):
        corrected(K, np.ones((40, 1)))
    solution = solved(K, "mixed", fallback=True)
    assert solution.relative_residual < 1e-13 and solution.report["precision"] == "float64"


# ---- with a plan -----------------------------------------------------------------------------------------------------


def ways(n, precision="auto"):
    return {way.precision: way for way in plan_solve(Problem(n, 0, 0, 2), precision=precision, rates=RATES).ways}


def solved(K, precision, *, fallback=False, ridge=0.0, progress=None):
    """Solve in the way of a plan for this precision, with the other to fall back on or without."""
    n = K.shape[0]
    plan = plan_solve(Problem(n, 0, 0, 2), precision="auto" if fallback else precision, rates=RATES)
    [way] = [way for way in plan.ways if way.precision == precision]
    choice = Choice(plan, way, "asked for", {})
    with Auto().take(choice, K, ridge=ridge, progress=progress) as factor:
        solution = factor.solve(np.eye(n)[:, :2])
        told = factor.method, factor.precision, factor.report["fallback"]
    assert told == (solution.method, solution.report["precision"], solution.report["fallback"])
    return solution


def test_a_report_tells_what_was_done():
    K = as_gram(spectrum(90, [1.0, 0.1]))
    report = solved(K, "mixed").report
    assert (report["precision"], report["storage"], report["fallback"]) == ("mixed", "memory", None)
    assert report["reason"] == "asked for" and report["kept_bytes"] == 0
    assert report["steps"] == len(report["residuals"]) > 0 and report["breakdowns"] == [] and report["shift"] == 0
    plain = solved(K, "float64").report
    assert (plain["precision"], plain["steps"], plain["residuals"]) == ("float64", 0, [])


def test_what_float32_cannot_do_float64_does_and_says_so():
    K = as_gram(symmetric_matrix(200, 1e12)[0])
    notes = Notes()
    solution = solved(K, "mixed", fallback=True, progress=notes)
    assert solution.report["precision"] == "float64" and "in float64" in solution.method
    assert "too coarse" in solution.report["fallback"] and any("going on" in note for note in notes.notes)
    assert np.array_equal(solution.coef, solved(K, "float64").coef)
    with pytest.raises(NotConvergedError, match=r"`precision=.float64.`"):
        solved(K, "mixed")


def test_a_factor_that_float64_has_taken_over_inverts_too():
    K = as_gram(symmetric_matrix(200, 1e12)[0])
    plan = plan_solve(Problem(200, 0, 0, 2), rates=RATES)
    [way] = [way for way in plan.ways if way.precision == "mixed"]
    with Auto().take(Choice(plan, way, "asked for", {}), K) as factor:
        with pytest.raises(UnsupportedError, match="leave-one-out needs"):
            factor.inverse_diagonal()
        factor.solve(np.eye(200)[:, :2])
        plain = Cholesky().factor(K)
        assert np.array_equal(factor.inverse_diagonal(), plain.inverse_diagonal())
        assert factor.log_determinant() == plain.log_determinant()
        assert np.array_equal(factor.apply_inverse(np.eye(200)), plain.apply_inverse(np.eye(200)))


def test_the_plan_offers_float64_only_where_it_fits_and_was_not_ruled_out():
    problem = Problem(5000, 0, 0, 2)
    plan = plan_solve(problem, rates=RATES)
    found = ways(5000)
    assert plan.fallback(found["mixed"]).precision == "float64" and plan.fallback(found["float64"]) is None
    small = plan_solve(problem, rates=RATES, memory=found["mixed"].memory)
    assert small.chosen.precision == "mixed" and small.fallback(small.chosen) is None
    asked = plan_solve(problem, precision="mixed", rates=RATES)
    assert asked.fallback(asked.chosen) is None


@pytest.mark.parametrize("ridge", [0.0, 1e-300])
def test_singular_matrices_are_singular_in_the_end(ridge):
    """Where no coefficients fit. (Twins with one target leave some that do, and mixed precision may find them.)"""
    X = np.random.default_rng(7).integers(0, 256, (120, 5, 5), dtype=np.uint8)
    X[77] = X[1]
    for kernel in (Gaussian(2.0), Linear()):
        K = gram(X, kernel)
        with pytest.raises(SingularMatrixError) as plain:
            solved(K, "float64", ridge=ridge)
        with pytest.raises(SingularMatrixError) as caught:
            solved(K, "mixed", fallback=True, ridge=ridge)
        assert caught.value.duplicate == plain.value.duplicate
        # Of a twin both name the later; else float64 the first point that depends on earlier ones, float32 one of them.
        assert caught.value.row == plain.value.row == 77 or caught.value.row >= plain.value.row >= 25


def test_the_memory_of_a_failed_float32_factor_is_free_for_the_float64_one(monkeypatch):
    """The plan counts one of them; half as much again would be what kills a run that was said to fit."""
    made = []
    allocate = MemoryPanels.allocate

    def watched(self, advance):
        gc.collect()
        assert not any(reference() for reference in made), "an earlier factor is still held"
        made.append(weakref.ref(self))
        allocate(self, advance)

    monkeypatch.setattr(MemoryPanels, "allocate", watched)
    solved(as_gram(symmetric_matrix(200, 1e12)[0]), "mixed", fallback=True)
    assert len(made) >= 2
