"""A float32 factor multiplied as products of float16 halves: as good a preconditioner as one of float32.

On the CPU the same arithmetic is done in NumPy; on a GPU tensor cores do it.
"""

import dataclasses

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian, Linear, Polynomial
from kernelfit.solvers.cholesky import Cholesky
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.planning.plan import plan_solve
from kernelfit.solvers.planning.problem import Problem
from tests.support import fake_cuda
from tests.support.gpu import RATES, SETTINGS, opened


@pytest.fixture
def card():
    with fake_cuda.installed() as card:
        yield card


@pytest.fixture(params=["cpu", *SETTINGS])
def device(request):
    return backend.CPU if request.param == "cpu" else opened(request, request.param)


@pytest.mark.parametrize(
    ("kernel", "ridge"),
    [(Gaussian(1.0), 0.0), (Gaussian(2.0), 1e-4), (Polynomial(degree=3), 1e-3), (1e12 * Gaussian(1.0), 0.0)],
    ids=str,
)
def test_corrections_gain_what_those_of_float32_gain(device, kernel, ridge):
    """Also where the diagonal is far from 1, which float16 could not hold as it is."""
    digits = load("digits")
    K, Y = gram(digits.X_train[:700], kernel, device=device), one_hot(digits.y_train[:700], 10)
    found = {}
    for halves in (False, True):
        solver = Cholesky(precision="mixed", halves=halves, width=128, device=device)
        with solver.factor(K, ridge=ridge) as factor:
            solution = factor.solve(Y)
            pivots = factor.L.pivots()
        assert solution.relative_residual <= 1e-10 and halves == ("halves" in solution.method)
        found[halves] = solution.report["residuals"], solution.coef, pivots
    (usual, coef, pivots), (residuals, same, others) = found[False], found[True]
    assert len(residuals) <= len(usual) + 2
    assert residuals[0] <= 2 * usual[0], "the gain of the first correction"
    np.testing.assert_allclose(same, coef, rtol=0, atol=1e-5 * np.abs(coef).max())
    assert np.median(np.abs(others / pivots - 1)) < 1e-4


def test_mnist_is_solved_in_as_many_corrections():
    try:
        mnist = load("mnist")
    except Exception as error:
        pytest.skip(str(error))
    K, Y, steps = gram(mnist.X_train[:1500], Gaussian(5.0)), one_hot(mnist.y_train[:1500], 10), []
    for halves in (False, True):
        with Cholesky(precision="mixed", halves=halves).factor(K) as factor:
            steps.append(factor.solve(Y).report["residuals"])
    assert len(steps[1]) <= len(steps[0]) + 2 and steps[1][0] <= 2 * steps[0][0]


def test_they_are_of_float32_in_memory_alone():
    for options in ({}, {"precision": "mixed", "storage": "disk"}):
        with pytest.raises(InputError, match="`halves` are for a mixed factor in memory"):
            Cholesky(halves=True, **options)
    with pytest.raises(InputError, match="`halves` are of float32"):
        cholesky(gram(np.eye(3), Linear()), halves=True)


def test_a_plan_takes_them_where_they_are_quicker():
    problem = Problem(60_000, 10_000, 784, 10)
    for rate, taken in ((0.0, False), (1e13, False), (1e14, True)):
        plan = plan_solve(problem, rates=dataclasses.replace(RATES, halves=rate), precision="mixed", memory=10**11)
        way = next(way for way in plan.ways if way.storage == "memory")
        assert way.halves == way.solver().halves == taken and ("halves" in str(way)) == taken
    slow = plan_solve(problem, rates=RATES, precision="mixed").ways[0]
    assert way.seconds < slow.seconds
