"""The networks of Theorem 1 and its corollary against exact arithmetic and dense solves; what must fail, fails."""

import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from scipy.linalg import solve_triangular

from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.theory.expressivity import apply_layers, deepen, fit_network, project

EPS = np.finfo(float).eps
SHAPES = {"one point": (1, 3), "two": (2, 1), "few": (7, 40), "wide": (20, 6, 7, 3), "many": (400, 12), "line": (90, 1)}


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return SHAPES[request.param]


@pytest.fixture(name="X", params=["uint8", "float64", "float32"])
def points(request, shape):
    """Distinct READ-ONLY points."""
    rng = np.random.default_rng(0)
    if request.param != "uint8":
        return read_only(rng.standard_normal(shape).astype(request.param))
    X = rng.integers(0, 256, shape, np.uint8)
    if shape[1:] == (1,):
        X[:, 0] = rng.permutation(256)[: len(X)]
    return read_only(X)


@pytest.fixture(name="Y", params=[None, 1, 4], ids=["vector", "one column", "four columns"])
def targets(request, shape):
    return read_only(np.random.default_rng(1).standard_normal((shape[0], *([request.param] if request.param else []))))


def spread(Y):
    """Largest difference of neighbouring targets that a network can meet, zero left of the first one included."""
    return 2 * np.abs(Y).max()


def rounding_of_sums(network, X):
    """A bound of the error of any float64 evaluation of the sum over j, as Network.summed_outputs states it.

    n + 10 roundings of terms |w_j| relu(z - b_j): those of the sum, the weight, the difference, and the few bypasses.
    Positions handed on as u = relu(z - b_1) are rounded to eps of the whole range.
    """
    z, n = project(X, network.direction), len(network.knots)
    reach = np.maximum(z - network.knots[0], 0).max() + np.ptp(network.knots) + np.abs(network.knots).max()
    return (n + 10) * EPS * np.abs(network.weights).sum() * reach


def exact_sum(network, z):
    """sum_j w_j relu(z - b_j) in rational arithmetic, with w_j the exact differences of slopes; first output."""
    slopes = [Fraction(0), *map(Fraction, network.slopes[:, 0].tolist())]
    knots = list(map(Fraction, network.knots.tolist()))
    weights = [right - left for left, right in itertools.pairwise(slopes)]
    return float(sum(w * max(Fraction(z) - b, 0) for w, b in zip(weights, knots, strict=True)))


# ---- Theorem 1 -----------------------------------------------------------------------------------------------------


def test_any_targets_are_fitted(X, Y):
    network = fit_network(X, Y)
    outputs = network.outputs(X)
    assert outputs.shape == Y.shape
    # v_j + s_j (z_j - b_j) with s_j = (y_j - v_j) / (z_j - b_j): four roundings of numbers up to |y_j| + |y_j - v_j|.
    assert network.residual <= 4 * EPS * 3 * spread(Y)
    assert network.residual == np.abs(outputs - Y).max()
    d = X[0].size
    assert network.n_weights == d + len(X) + Y.size
    assert network.n_weights == 2 * len(X) + d or Y.size > len(X)


def test_the_triangular_system_by_a_dense_solver(X, Y):
    network = fit_network(X, Y)
    z = project(X, network.direction)
    order = np.argsort(z)
    z = z[order]
    assert (network.knots < z).all() and (z[:-1] < network.knots[1:]).all()
    A = np.maximum(z[:, None] - network.knots, 0)
    assert (np.triu(A, 1) == 0).all() and (np.diag(A) > 0).all()
    expected = solve_triangular(A, Y[order].reshape(len(Y), -1), lower=True)
    # Substitution is backward stable row by row: off by n eps |A^-1| |A| |w|, entry by entry.
    bound = len(X) * EPS * np.abs(solve_triangular(A, np.eye(len(A)), lower=True)) @ A @ np.abs(expected)
    assert (np.abs(network.weights - expected) <= 4 * bound).all()
    assert network.smallest_eigenvalue == np.min(z - network.knots)


def test_the_lemma_on_eigenvalues():
    """The smallest eigenvalue of A is min_i (z_i - b_i), by a solver that does not know that A is triangular."""
    rng = np.random.default_rng(2)
    for n in range(1, 7):  # eigenvalues of a matrix so far from normal soon lose their digits
        X = rng.standard_normal((n, 3))
        network = fit_network(X, np.ones(n))
        z = np.sort(project(X, network.direction))
        shuffle = rng.permutation(n)
        A = np.maximum(z[:, None] - network.knots, 0)[np.ix_(shuffle, shuffle)]
        eigenvalues = np.linalg.eigvals(A)
        assert np.abs(eigenvalues.imag).max() < 1e-6
        assert eigenvalues.real.min() == pytest.approx(network.smallest_eigenvalue, rel=1e-6)


def test_outputs_against_exact_arithmetic_also_between_and_beyond_the_points():
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((60, 5)), rng.standard_normal(60)
    network = fit_network(X, y)
    new = np.vstack([X, rng.standard_normal((60, 5)), 5 * rng.standard_normal((20, 5))])
    z = project(new, network.direction)
    exact = np.array([exact_sum(network, value) for value in z.tolist()])
    # The exact sum follows the slopes from v_1 on, each rounded: 4 eps |s_j| (b_j+1 - b_j) accumulate over n intervals.
    path = np.abs(network.slopes[:-1, 0]) @ np.diff(network.knots)
    beyond = np.abs(network.slopes[-1, 0]) * max(z.max() - network.knots[-1], 0)
    assert np.abs(network.outputs(new) - exact).max() < 4 * EPS * (path + beyond + 3 * spread(y))
    assert np.abs(network.summed_outputs(new) - exact).max() < rounding_of_sums(network, new)
    left = z < network.knots[0]
    assert left.any() and (z > network.knots[-1]).any() and not network.outputs(new)[left].any()


def test_both_routes_fit_the_labels(X, Y):
    network = fit_network(X, Y)
    summed = network.summed_outputs(X)
    assert summed.shape == Y.shape
    assert np.abs(summed - Y).max() <= rounding_of_sums(network, X)


def test_the_network_stays_near_its_targets():
    """However close two projections come, c runs past the targets by half of their largest difference at most."""
    rng = np.random.default_rng(4)
    X = np.concatenate([rng.standard_normal(200), 1e-12 * rng.standard_normal(200)])[:, None]
    y = rng.choice([-1.0, 1.0], 400)
    network = fit_network(X, y)
    assert np.abs(network.slopes).max() > 1e12
    assert np.abs(network.values).max() <= 2 * (1 + 1e-12)
    dense = np.linspace(X.min(), X.max(), 10_001)[:, None]
    assert np.abs(network.outputs(dense)).max() <= 2 * (1 + 1e-12)


def test_random_labels_of_many_points_are_all_fitted_without_an_n_by_n_array():
    n = 5000
    rng = np.random.default_rng(5)
    X, y = rng.integers(0, 256, (n, 8, 8), np.uint8), rng.integers(0, 10, n)
    Y = one_hot(y, 10)
    tracemalloc.start()
    network = fit_network(X, Y)
    outputs = network.outputs(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 20  # what is of size n, 10 outputs each, takes 5 MB; n x n takes 200
    assert error_rate(outputs, y) == 0 and network.residual < 1e-14
    some = rng.permutation(n)[:300]
    assert error_rate(network.summed_outputs(X[some]), y[some]) == 0


def test_a_point_has_the_same_output_alone_and_among_others(X, Y):
    """To the bit: near a steep piece, another rounding of z would show."""
    network = fit_network(X, Y)
    outputs = network.outputs(X)
    alone = np.concatenate([network.outputs(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_array_equal(alone, outputs)
    np.testing.assert_array_equal(network.outputs(np.asfortranarray(X)), outputs)
    np.testing.assert_array_equal(network.outputs(X[::-1]), outputs[::-1])
    assert network.outputs(X[:0]).shape == (0, *Y.shape[1:])


def test_the_order_of_the_points_does_not_matter(X, Y):
    network = fit_network(X, Y)
    order = np.random.default_rng(6).permutation(len(X))
    again = fit_network(X[order], Y[order])
    np.testing.assert_array_equal(again.knots, network.knots)
    np.testing.assert_array_equal(again.slopes, network.slopes)


@pytest.mark.parametrize("d", [1, 784, 3072])
def test_projections_of_pixels_are_exact(d):
    rng = np.random.default_rng(7)
    X = rng.integers(0, 256, (5, d), np.uint8)
    X[0] = 255
    direction = fit_network(X, np.arange(5.0)).direction
    assert 0 < np.abs(direction).max() < 1
    exact = [sum(Fraction(a) * int(x) / 255 for a, x in zip(direction.tolist(), row, strict=True)) for row in X]
    assert [Fraction(value) for value in project(X, direction).tolist()] == exact
    np.testing.assert_allclose(project(X / 255, direction), project(X, direction), atol=d * EPS)


def test_seeds():
    X = np.random.default_rng(0).standard_normal((9, 4))
    first, same, other = (fit_network(X, np.ones(9), seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.direction, same.direction)
    assert not np.array_equal(first.direction, other.direction)
    assert other.residual < 1e-14


# ---- the corollary -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4, 8])
def test_deep_networks_are_the_same_function(X, Y, depth):
    n, r = len(X), Y.size // len(Y)
    network = fit_network(X, Y)
    if depth > n + 1:
        with pytest.raises(InputError, match=f"depth = {depth}"):
            deepen(network, depth)
        return
    layers = deepen(network, depth)
    assert len(layers) == depth
    assert max(layer.width for layer in layers[:-1]) <= -(-n // (depth - 1)) + 1 + 2 * r
    assert sum(layer.n_weights for layer in layers) <= 2 * n + 2 * n * r + (4 * r + 4) * depth
    targets = Y.reshape(n, r)
    z = project(X, network.direction)
    assert np.abs(apply_layers(layers, z) - targets).max() <= depth * rounding_of_sums(network, X)
    rng = np.random.default_rng(8)
    new = rng.integers(0, 256, X.shape, np.uint8) if X.dtype == np.uint8 else 3 * rng.standard_normal(X.shape)
    deep, shallow = apply_layers(layers, project(new, network.direction)), network.outputs(new).reshape(n, r)
    # The deep one is a function of w, the shallow one of values and slopes: each within its rounding of the other.
    assert np.abs(deep - shallow).max() <= 2 * depth * rounding_of_sums(network, np.concatenate([X, new]))


def test_one_knot_in_each_layer():
    X = np.random.default_rng(9).standard_normal((25, 4))
    Y = np.random.default_rng(10).standard_normal((25, 2))
    network = fit_network(X, Y)
    layers = deepen(network, 26)
    assert {layer.width for layer in layers[1:-2]} == {1 + 1 + 4}
    np.testing.assert_allclose(apply_layers(layers, project(X, network.direction)), Y, atol=1e-10)
    for depth in (0, 1, 27):
        with pytest.raises(InputError, match=r"from 2 .* to 26"):
            deepen(network, depth)


def test_depth_two_is_the_network_of_the_theorem():
    X = np.random.default_rng(11).standard_normal((30, 4))
    network = fit_network(X, np.arange(30.0))
    hidden, last = deepen(network, 2)
    np.testing.assert_array_equal(hidden.matrix.toarray(), np.ones((30, 1)))
    np.testing.assert_array_equal(hidden.bias, -network.knots)
    np.testing.assert_array_equal(last.matrix.toarray(), network.weights.T)
    assert len(network.direction) + 30 + last.n_weights == network.n_weights == 2 * 30 + 4


# ---- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, float])
def test_equal_points_are_named(dtype):
    X = np.random.default_rng(0).integers(0, 256, (30, 5, 5)).astype(dtype)
    X[21] = X[4]
    with pytest.raises(SingularMatrixError, match="points 4 and 21 are equal") as caught:
        fit_network(X, np.arange(30.0))
    assert (caught.value.duplicate, caught.value.row) == (4, 21)


def test_points_too_close_to_tell_apart_are_named():
    """Different points with one projection, and points so close that slopes overflow."""
    for X in (np.array([[1.0, 0], [1, 1e-300], [2, 2]]), np.array([[0.0], [5e-324], [1.0]])):
        with pytest.raises(SingularMatrixError, match=r"points 0 and 1 \(nearly\) coincide.*another seed") as caught:
            fit_network(X, np.array([0.0, 1.0, 0.0]))
        assert caught.value.duplicate is None and caught.value.row == 1


BAD = {
    "vector of points": (np.ones(3), np.ones(3), r"got \(3,\)"),
    "no points": (np.ones((0, 3)), np.ones(0), r"got \(0, 3\)"),
    "targets of another length": (np.eye(3), np.ones(4), r"\(4,\) does not fit 3 points"),
    "targets with three axes": (np.eye(3), np.ones((3, 1, 1)), "does not fit"),
    "no outputs": (np.eye(3), np.ones((3, 0)), "does not fit"),
    "NaN among targets": (np.eye(3), [0, np.nan, 0], "Y of point 1"),
    "NaN among points": (np.array([[1.0], [2.0], [np.nan]]), np.ones(3), "point 2 holds NaN"),
    "infinite points": (np.array([[1.0, 2], [-np.inf, np.inf]]), np.ones(2), "point 1 holds"),
    "integers that are no pixels": (np.eye(3, dtype=int), np.ones(3), "astype"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name):
    X, Y, message = BAD[name]
    with pytest.raises(InputError, match=message):
        fit_network(X, Y)


def test_points_of_another_size_are_refused():
    network = fit_network(np.eye(3), np.ones(3))
    with pytest.raises(InputError, match=r"\(4,\) meet a direction of 3"):
        network.outputs(np.ones((2, 4)))
    with pytest.raises(InputError, match="seed"):
        fit_network(np.eye(3), np.ones(3), seed="zero")
