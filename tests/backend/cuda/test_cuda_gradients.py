"""Block conjugate gradients on a GPU, and what mixed precision does where corrections do not converge."""

import numpy as np
import pytest

from kernelfit.common.errors import NotConvergedError
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.cg import block_cg
from kernelfit.solvers.cholesky import Cholesky
from tests.support.problems import as_gram, symmetric_matrix


def solve(device, A, Y, inverse=None, **options):
    A = device.array(A)
    M = device.xp.linalg.solve(A + 1e-5 * device.array(np.eye(len(A))), device.array(np.eye(len(A))))
    return block_cg(lambda V: A @ V, lambda R: M @ R, device.array(Y), xp=device.xp, **options)


@pytest.mark.parametrize("kind", ["some", "one", "dependent", "with zeros"])
def test_the_solution_of_the_cpu(device, kind):
    condition = 1e3
    A, inverse = symmetric_matrix(60, condition)
    Y = np.random.default_rng(0).standard_normal((60, 4))
    Y = {"some": Y, "one": Y[:, :1], "dependent": Y[:, [0, 0, 1]], "with zeros": Y * [0, 1, 0, 1]}[kind]
    done = solve(device, A, Y, tolerance=1e-11)
    assert done.residuals[-1] <= 1e-11
    # |X - A^-1 Y| <= |A^-1| |R|
    assert np.linalg.norm(device.host(done.X) - inverse @ Y) <= 2 * condition * 1e-11 * np.linalg.norm(Y)


def test_nothing_to_solve(device):
    A, _ = symmetric_matrix(20, 10.0)
    for Y in (np.zeros((20, 2)), np.empty((20, 0))):
        done = solve(device, A, Y)
        assert not done.residuals and not device.host(done.X).any()


def test_a_singular_matrix_ends_it_without_a_step(device):
    """CuPy raises nothing: the step is no number, and must not reach the solution."""
    Y = device.array(np.eye(4)[:, :2])
    done = block_cg(lambda V: device.xp.zeros_like(V), lambda V: V, Y, xp=device.xp)
    assert done.residuals == [1.0] and not device.host(done.X).any()


@pytest.mark.parametrize(("condition", "steps"), [(1e6, True), (1e12, False)])
def test_conjugate_gradients_take_over_from_corrections_and_float64_from_them(device, planned, condition, steps):
    """A float32 factor of condition 1e6 gains too little a correction; of 1e12 it is no preconditioner any more."""
    K, inverse = symmetric_matrix(120, condition)
    K = as_gram(K, device=device)
    Y = np.random.default_rng(0).standard_normal((120, 3))
    with Cholesky(precision="mixed", device=device).factor(K) as factor:
        if steps:
            assert factor.solve(Y).relative_residual < 1e-10
        else:
            with pytest.raises(NotConvergedError, match="too coarse a preconditioner"):
                factor.solve(Y)
    with Auto(precision="auto", device=device).factor(K) as factor:
        solution = factor.solve(Y)
    # A backward stable solve is off by about n eps cond.
    bound = 120 * np.finfo(float).eps * condition if not steps else 2e-10 * condition
    assert np.linalg.norm(solution.coef - inverse @ Y) <= 10 * bound * np.linalg.norm(inverse @ Y)
