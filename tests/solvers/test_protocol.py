"""What is given in place of a matrix, a ridge, targets or a solver is refused by name; what is closed stays closed."""

import numpy as np
import pytest

import kernelfit as kf
from kernelfit.common.errors import InputError
from kernelfit.solvers import ridge_path

X = np.linspace(0, 1, 8)[:, None]
Y = np.sin(6 * X)
KERNEL = kf.Gaussian(bandwidth=0.2)
K = kf.gram(X, KERNEL)
SOLVERS = {
    "auto": kf.Auto(),
    "float64": kf.Cholesky(),
    "mixed": kf.Cholesky(precision="mixed"),
    "eigen": kf.Eigen(),
    "gradients": kf.ConjugateGradients(),
}


@pytest.fixture(params=SOLVERS)
def solver(request):
    return SOLVERS[request.param]


@pytest.mark.parametrize("ridge", ["1", None, -1.0, np.nan, True, [0.0]])
def test_a_ridge_that_is_none_is_refused_before_anything_is_factored(solver, ridge):
    with pytest.raises(InputError, match="ridge = "):
        solver.factor(K, ridge=ridge)


def test_a_matrix_of_two_sets_of_points_is_refused(solver):
    with pytest.raises(InputError, match="two sets of points"):
        solver.factor(kf.gram(X[::-1], KERNEL, X))
    with pytest.raises(InputError, match="give a Gram"):
        solver.factor(np.eye(8))


USES = {"solve": Y, "half_solve": Y, "apply_inverse": Y, "half_columns": [0]}
USES |= dict.fromkeys(("inverse_diagonal", "log_determinant", "smallest_pivot"))


def require_closed(factor, use, *arguments):
    with pytest.raises(InputError, match="closed"):
        getattr(factor, use)(*arguments)


@pytest.mark.parametrize("use", USES)
def test_a_closed_factor_says_that_it_is_closed(solver, use):
    with solver.factor(K) as factor:
        factor.solve(Y)
    require_closed(factor, use, *[USES[use]] * (USES[use] is not None))
    factor.close()  # again


def test_a_closed_factor_of_all_ridges_says_so_too():
    with kf.Eigen().factor(K) as of_spectrum, kf.solvers.Banded().factor(K) as of_band:
        of_spectrum.at(0.1).close()
    require_closed(of_spectrum, "solve_path", [0.1])
    for factor in (of_spectrum, of_band):
        require_closed(factor, "at", 0.1)
        require_closed(factor, "half_columns", [0])


@pytest.mark.parametrize("made", [K, kf.solve(K, Y), kf.fit(X, Y, KERNEL), kf.Cholesky().factor(K)])
def test_what_is_shown_is_one_line(made):
    assert len(repr(made)) < 700 and "array" not in repr(made) and "object at" not in repr(made)


def test_what_holds_arrays_is_compared_and_hashed_as_an_object():
    solution, function = kf.solve(K, Y), kf.fit(X, Y, KERNEL).function
    assert solution == solution and solution != kf.solve(K, Y) and len({solution, function}) == 2


@pytest.mark.parametrize("targets", [3, None, "a", [[1.0], [2.0, 3.0]], Y[:5], Y + 0j, Y * np.nan, [None] * 8])
def test_targets_that_are_none_are_refused(targets):
    for ask in (
        lambda: kf.solve(K, targets),
        lambda: kf.fit(X, targets, KERNEL),
        lambda: ridge_path(K, targets, (0.0, 1.0)),
        lambda: ridge_path(K, targets, (0.0, 1.0), method="eigendecomposition"),
    ):
        with pytest.raises(InputError, match="Y "):
            ask()


@pytest.mark.parametrize("wrong", ["cholesky", kf.Cholesky, 3])
def test_a_solver_is_a_solver(wrong):
    for ask in (
        lambda: kf.solve(K, Y, wrong),
        lambda: kf.fit(X, Y, KERNEL, wrong),
        lambda: ridge_path(K, Y, (1.0,), wrong),
    ):
        with pytest.raises(InputError, match="give a Solver"):
            ask()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (kf.Cholesky, {"width": 2.5}),
        (kf.Cholesky, {"width": 0}),
        (kf.Cholesky, {"scratch": 3}),
        (kf.Auto, {"memory": "1GB"}),
        (kf.Auto, {"scratch": []}),
        (kf.Auto, {"outputs": None}),
        (kf.Auto, {"n_test": "x"}),
        (kf.ConjugateGradients, {"tolerance": "x"}),
        (kf.ConjugateGradients, {"rank": 2.5}),
        (kf.ConjugateGradients, {"steps": np.nan}),
        (kf.ConjugateGradients, {"memory": "1GB"}),
        (kf.ConjugateGradients, {"seed": -1}),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_its_name(kind, options):
    [name] = options
    with pytest.raises(InputError, match=f"{name} = "):
        kind(**options)


def test_ridge_paths_take_targets_in_any_units_and_of_one_output():
    for method in ("eigendecomposition", "refactoring"):
        one = ridge_path(K, Y[:, 0], (1e-3, 1.0), method=method)
        for scale in (1e-250, 1e250):
            path = ridge_path(K, Y * scale, (1e-3, 1.0), method=method)
            for mine, other in zip(one.solutions, path.solutions, strict=True):
                assert other.norm.total / scale == pytest.approx(mine.norm.total, rel=1e-12)
                assert other.relative_residual < 1e-10


def test_inner_products_are_kept_only_of_kernels_that_have_them():
    from scipy.spatial.distance import cdist

    K = kf.gram(X, kf.Custom(lambda A, B: np.exp(-cdist(A, B))))
    solution = kf.solve(K, Y, kf.Cholesky(precision="mixed", cached=True))
    assert solution.relative_residual < 1e-10 and solution.report["kept_bytes"] == 0


def test_conjugate_gradients_may_leave_a_residual_of_zero():
    K = kf.gram(np.eye(3) * 1e3, kf.Gaussian(bandwidth=1.0))  # the identity
    solution = kf.solve(K, np.eye(3), kf.ConjugateGradients(rank=0))
    assert np.array_equal(solution.coef, np.eye(3)) and solution.report["norm_error"] == 0
