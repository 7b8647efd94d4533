"""Block conjugate gradients: the solution of numpy, whatever the right-hand sides are like."""

import numpy as np
import pytest

from kernelfit.solvers.cg import block_cg
from tests.support.problems import symmetric_matrix

EPS = np.finfo(float).eps


def near_inverse(A, shift=1e-2):
    """A preconditioner as mixed precision has it: the inverse of a matrix near A."""
    inverse = np.linalg.inv(A + shift * np.linalg.eigvalsh(A)[0] * np.eye(len(A)))
    return lambda R: inverse @ R


def solve(A, Y, precondition=None, **options):
    return block_cg(lambda V: A @ V, precondition or near_inverse(A), Y, **options)


@pytest.mark.parametrize("condition", [1e0, 1e2, 1e4])
@pytest.mark.parametrize("right_hand_sides", [1, 4, 60, 90])
def test_solution_of_numpy(condition, right_hand_sides):
    """As many right-hand sides as rows span everything in one step; more than rows are dependent."""
    A, inverse = symmetric_matrix(60, condition)
    Y = np.random.default_rng(0).standard_normal((60, right_hand_sides))
    before = Y.copy()
    done = solve(A, Y, tolerance=1e-11)
    assert done.residuals[-1] <= 1e-11 and np.array_equal(Y, before)
    # |X - A^-1 Y| <= |A^-1| |R|
    assert np.linalg.norm(done.X - inverse @ Y) <= 2 * condition * 1e-11 * np.linalg.norm(Y)
    assert len(done.residuals) == 1 or right_hand_sides < 60


def awkward(n):
    rng = np.random.default_rng(1)
    y = rng.standard_normal((n, 1))
    Y = rng.standard_normal((n, 3))
    return {
        "repeated": np.hstack([y, y, y]),
        "dependent": np.hstack([Y, Y @ rng.standard_normal((3, 4))]),
        "with zeros": np.hstack([np.zeros((n, 2)), y]),
        "of all sizes": Y * [1e-200, 1.0, 1e12],
        "one-hot": np.eye(n)[:, :5],
        "constant": np.ones((n, 2)),
        "integers in Fortran order": np.asfortranarray(np.round(Y)),
    }


@pytest.mark.parametrize("kind", awkward(1))
@pytest.mark.parametrize("exact", [False, True])
def test_awkward_right_hand_sides(kind, exact):
    A, inverse = symmetric_matrix(50, 1e3)
    Y = awkward(50)[kind]
    done = solve(A, Y, (lambda R: inverse @ R) if exact else None)
    size = np.linalg.norm(Y)
    assert np.linalg.norm(Y - A @ done.X) <= 2e-10 * size
    assert np.isfinite(done.X).all()
    if exact:
        assert len(done.residuals) == 1
    if kind == "with zeros":  # a combination of nothing: rounding of the shared directions is all there can be
        assert np.abs(done.X[:, :2]).max() <= 1e3 * EPS * size


@pytest.mark.parametrize("n", [1, 2, 3])
def test_tiny_systems_end_after_n_steps(n):
    A, inverse = symmetric_matrix(n, 10.0)
    Y = np.random.default_rng(2).standard_normal((n, 1))
    done = solve(A, Y, tolerance=1e-12)
    assert len(done.residuals) <= n
    np.testing.assert_allclose(done.X, inverse @ Y, rtol=1e-10)


def test_nothing_to_solve():
    done = solve(np.eye(5), np.zeros((5, 2)))
    assert done.residuals == [] and not done.X.any()


def test_steps_and_residuals_are_those_that_were_done():
    A, _ = symmetric_matrix(80, 1e4)
    Y = np.random.default_rng(3).standard_normal((80, 1))
    products = []
    done = block_cg(lambda V: products.append(1) or A @ V, near_inverse(A, shift=10.0), Y, steps=7)
    assert len(products) == len(done.residuals) == 7
    np.testing.assert_allclose(np.linalg.norm(Y - A @ done.X) / np.linalg.norm(Y), done.residuals[-1], rtol=1e-9)


def test_what_cannot_converge_ends_early():
    """A multiplication that is wrong by 1e-4 each time stalls far above the tolerance; NaN ends at once."""
    A, inverse = symmetric_matrix(60, 1e6)
    Y = np.random.default_rng(4).standard_normal((60, 2))
    noise = np.random.default_rng(5)
    done = block_cg(
        lambda V: A @ V + 1e-2 * noise.standard_normal(V.shape), lambda R: inverse @ R, Y, steps=200, tolerance=1e-12
    )
    assert done.residuals[-1] > 1e-12 and len(done.residuals) < 50
    done = block_cg(lambda V: A @ V * np.nan, lambda R: R, Y)
    assert len(done.residuals) == 1 and np.isnan(done.residuals[0])


def test_going_on_is_the_same_as_not_stopping():
    A, _ = symmetric_matrix(80, 1e4)
    Y = np.random.default_rng(6).standard_normal((80, 3))
    whole = solve(A, Y, lambda R: R, steps=60, patience=60)
    part = solve(A, Y, lambda R: R, steps=17, patience=60)
    done = solve(A, Y, lambda R: R, steps=60, patience=60, start=part)
    assert np.array_equal(done.X, whole.X) and done.residuals == whole.residuals


def test_what_was_given_up_may_be_tried_again():
    A, _ = symmetric_matrix(80, 1e4)
    Y = np.random.default_rng(10).standard_normal((80, 1))
    given_up = solve(A, Y, lambda R: R, steps=500, patience=1)
    assert given_up.residuals[-1] > 1e-10
    done = solve(A, Y, lambda R: R, steps=500, patience=100, start=given_up)
    assert done.residuals[-1] <= 1e-10


def test_gains_are_what_the_squared_error_lost():
    A, inverse = symmetric_matrix(60, 1e3)
    Y = np.random.default_rng(7).standard_normal((60, 2))
    errors = [np.diag(Y.T @ inverse @ Y)]

    def after_step(done):
        error = done.X - inverse @ Y
        errors.append(np.diag(error.T @ A @ error))

    done = solve(A, Y, lambda R: R, steps=20, patience=60, after_step=after_step)
    np.testing.assert_allclose(np.array(done.gains), -np.diff(errors, axis=0), atol=1e-10 * errors[0].max())


def test_directions_that_depend_on_others_are_left_out():
    A, _ = symmetric_matrix(60, 1e3)
    rng = np.random.default_rng(8)
    Y = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 6))
    widths = []
    block_cg(lambda V: widths.append(V.shape[1]) or A @ V, near_inverse(A, 10.0), Y, tolerance=1e-8)
    assert set(widths) <= {1, 2}


def test_every_column_is_solved_however_small():
    A, _ = symmetric_matrix(60, 1e3)
    Y = np.random.default_rng(9).standard_normal((60, 3)) * [1e-12, 1.0, 1e12]
    done = solve(A, Y, near_inverse(A, 10.0), tolerance=1e-9)
    assert (np.linalg.norm(Y - A @ done.X, axis=0) <= 2e-9 * np.linalg.norm(Y, axis=0)).all()


def test_a_singular_matrix_ends_it_without_a_step():
    """A direction of no energy at all: what is there is returned, with the residual that it has."""
    Y = np.eye(4)[:, :2]
    done = block_cg(lambda V: np.zeros_like(V), lambda V: V, Y)
    assert done.residuals == [1.0] and not done.X.any()
