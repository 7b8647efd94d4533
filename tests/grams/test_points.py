"""Points are cut as arrays are, whatever they are made of."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from kernelfit.common.errors import InputError, UnsupportedError
from kernelfit.grams.matrix import gram
from kernelfit.grams.points import points
from kernelfit.kernels import Custom, Linear, Precomputed
from tests.support.arrays import pixels, symmetric, vectors, whole

DOT = Custom(lambda A, B: A @ B.T)


def of_pixels():
    return points(pixels(20, 9)), Linear()


def of_numbers():
    return points(vectors(20, 9)), DOT


def of_a_matrix():
    return gram(symmetric(20), Precomputed()).points, Precomputed()


@pytest.mark.parametrize("make", [of_pixels, of_numbers, of_a_matrix])
@pytest.mark.parametrize(
    "rows",
    [
        slice(3, 9),
        slice(None, 5),
        slice(-4, None),
        slice(9, 3),
        slice(1, 20, 3),
        slice(None, None, -1),
        [7],
        np.array([4, 19, -1, 0]),
        np.arange(20) % 3 == 0,
    ],
    ids=str,
)
def test_rows_are_those_of_the_array_of_entries(make, rows):
    own, kernel = make()
    whole_matrix = whole(gram(own, kernel))
    cut = own[rows]
    assert len(cut) == len(whole_matrix[rows])
    slack = 1e-12 * np.abs(whole_matrix).max() if kernel is DOT else 0
    np.testing.assert_allclose(whole(gram(cut, kernel, own)), whole_matrix[rows], rtol=0, atol=slack)
    again = cut[1:][:3]
    np.testing.assert_allclose(whole(gram(again, kernel, own)), whole_matrix[rows][1:][:3], rtol=0, atol=slack)


@pytest.mark.parametrize("make", [of_pixels, of_numbers, of_a_matrix])
def test_a_slice_is_a_part_and_indices_are_a_set_of_their_own(make):
    own, _ = make()
    assert own[4:9][1:].offset_to(own) == 5 and own.offset_to(own[4:9]) == -4
    assert own[[4, 5]].offset_to(own) is None and own[[4, 5]].start == 0


@pytest.mark.parametrize("make", [of_pixels, of_a_matrix])
def test_one_point_alone_is_no_set(make):
    own, _ = make()
    for ask in (lambda: own[3], lambda: list(own), lambda: np.asarray(own), lambda: own[[[1]]]):
        with pytest.raises(TypeError, match="slice or a list"):
            ask()
    with pytest.raises(IndexError):
        own[[20]]


@pytest.mark.parametrize(("make", "more"), [(of_pixels, pixels(5, 9) // 2), (of_numbers, vectors(5, 9) / 2)])
def test_joined_points_are_those_of_one_array(make, more):
    own, kernel = make()
    both = own.joined(points(more, beside=own))
    assert len(both) == 25 and both.start == 0 and both.offset_to(own) is None
    entries = whole(gram(both, kernel))
    np.testing.assert_allclose(entries[:20, :20], whole(gram(own, kernel)), rtol=0, atol=1e-13 * np.abs(entries).max())
    alone, slack = whole(gram(points(more, beside=own), kernel, own)), 1e-13 * np.abs(entries).max()
    np.testing.assert_allclose(entries[20:, :20], alone, rtol=0, atol=slack)


def test_points_of_another_kind_are_not_joined():
    own, _ = of_pixels()
    with pytest.raises(InputError):
        own.joined(points(vectors(5, 9)))
    own, _ = of_a_matrix()
    with pytest.raises(UnsupportedError):
        own.joined(own)


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (130, 40)])
def test_distances_are_summed_from_differences(shape, metric):
    """As SciPy's are, to the last bit: an offset of a million takes nothing from them."""
    numbers = np.random.default_rng(0).normal(size=shape)
    for X in (numbers, numbers + 1e6, np.random.default_rng(1).integers(0, 256, shape, np.uint8)):
        exact = X / 255 if X.dtype == np.uint8 else X
        assert np.array_equal(points(X).distances(metric), cdist(exact, exact, metric))
