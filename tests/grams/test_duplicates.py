"""Duplicates: which rows are equal does not depend on dtype or layout, and unequal targets of equal rows are named."""

import dataclasses

import numpy as np
import pytest

from kernelfit.common.errors import SingularMatrixError
from kernelfit.grams import duplicates
from kernelfit.grams.duplicates import find_copies, merge_duplicates
from tests.support.arrays import pixels, vectors


def repeated(X):
    X = X.copy()
    X[17], X[12], X[20], X[25] = X[5], X[9], X[5], X[12]
    return X


FIRST = np.arange(30)
FIRST[[17, 20]], FIRST[[12, 25]] = 5, 9


@pytest.mark.parametrize(
    "X",
    [
        repeated(pixels(30, 12)),
        repeated(pixels(30, 12)).reshape(30, 2, 2, 3),
        repeated(pixels(30, 12)).astype(float),
        np.asfortranarray(repeated(vectors(30, 12))),
        np.repeat(repeated(vectors(30, 12)), 2, axis=1)[:, ::2],
        repeated(vectors(30, 1)).astype(np.float32),
        repeated(vectors(30, 12)).astype(np.longdouble),
        np.repeat(repeated(vectors(30, 1)), 80_000, axis=1),  # more than is looked at together
    ],
    ids=lambda X: f"{X.dtype}{X.shape}",
)
def test_equal_rows_are_found(X):
    X.flags.writeable = False
    found = merge_duplicates(X)
    assert np.array_equal(found.first, FIRST) and found.merged == 4
    assert np.array_equal(found.support, np.setdiff1d(np.arange(30), [12, 17, 20, 25]))
    assert np.array_equal(np.flatnonzero(found.repeated), [5, 9, 12, 17, 20, 25])
    assert np.array_equal(found.distinct(X), X[found.support])
    assert np.array_equal(found.distinct(X)[np.searchsorted(found.support, found.first)], X)


@pytest.mark.parametrize("make", [pixels, vectors])
def test_distinct_rows_are_left_as_they_are(make):
    X = make(30, 12)
    found = merge_duplicates(X, np.arange(30))
    found.require_equal_targets()
    assert found.merged == 0 and not found.repeated.any() and found.distinct(X) is X


def test_zeros_of_both_signs_are_equal_and_nearly_equal_numbers_are_not():
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [0.0, np.nextafter(1.0, 2.0)], [5e-324, 1.0]])
    assert np.array_equal(merge_duplicates(X).first, [0, 0, 2, 3])


def test_equal_targets_are_merged_and_others_name_both_rows():
    X = repeated(vectors(30, 12))
    merge_duplicates(X, FIRST).require_equal_targets()
    merge_duplicates(X, vectors(30, 3)[FIRST]).require_equal_targets(), merge_duplicates(X, FIRST % 2)
    for Y in (np.arange(30), np.arange(30.0)[:, None] * [1, 0, 0], np.where(np.arange(30) == 12, 1, 0)):
        with pytest.raises(
            SingularMatrixError, match="points 9 and 12 are identical but their targets are not,"
        ) as caught:
            merge_duplicates(X, Y).require_equal_targets()
        assert (caught.value.duplicate, caught.value.row) == (9, 12)
    called = dataclasses.replace(merge_duplicates(X, np.arange(30)), numbers=100 + np.arange(30))
    with pytest.raises(SingularMatrixError, match="points 109 and 112") as caught:
        called.require_equal_targets()
    assert (caught.value.duplicate, caught.value.row) == (9, 12) == called.contradiction
    labels = np.where(np.arange(30) == 20, 2, 1)
    with pytest.raises(SingularMatrixError, match=r"points 5 and 20 are .* \('cat' and 'dog'\)") as caught:
        merge_duplicates(X, labels).require_equal_targets(("ape", "cat", "dog"))
    assert (caught.value.duplicate, caught.value.row) == (5, 20)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_points_of_a_matrix_are_equal_where_rows_and_columns_are(dtype):
    X = repeated(vectors(30, 5))
    A = (X[:, None] * X).sum(axis=2).astype(dtype)
    found = merge_duplicates(A, pairwise=True)
    assert np.array_equal(found.first, FIRST)
    assert np.array_equal(found.distinct(A), A[np.ix_(found.support, found.support)])
    rounded = A.copy()
    rounded[:, 17] *= 1 + np.finfo(dtype).eps  # of column 17, and so of the diagonal too, but not of all its row
    rounded[17] = rounded[5]
    assert 17 not in merge_duplicates(rounded, pairwise=True).support
    A[3, 17] += 1  # no symmetric matrix, which merging must not hide
    assert merge_duplicates(A, pairwise=True).first[17] == 17 and merge_duplicates(A).first[17] == 5


@pytest.mark.parametrize("X", [vectors(40, 6), vectors(40, 6).astype(np.float32), pixels(40, 700), pixels(1200, 2) % 3])
def test_copies_are_found_where_rows_are_equal(X):
    new = np.concatenate([X[3:8], X[:2] + 1, X[30:31]])
    equal = (new[:, None] == X).all(axis=2)
    expected = np.where(equal.any(axis=1), equal.argmax(axis=1), -1)
    assert (find_copies(new, X) == expected).all() and expected.max() >= 0


def test_zeros_of_both_signs_are_one_number_and_nothing_has_no_copy():
    assert find_copies(np.array([[-0.0, 1.0]]), np.array([[2.0, 1.0], [0.0, 1.0]])).tolist() == [1]
    assert find_copies(np.zeros((0, 3)), np.ones((2, 3))).tolist() == []


def test_rows_whose_sums_are_equal_are_still_compared(monkeypatch):
    X = np.random.default_rng(0).integers(0, 2, (2000, 40)).astype(float)  # of few bits
    X = np.unique(X, axis=0)
    assert merge_duplicates(X).merged == 0
    monkeypatch.setattr("kernelfit.grams.duplicates._sums", lambda rows: np.zeros(len(rows), np.uint64))
    assert merge_duplicates(X).merged == 0
    again = merge_duplicates(np.vstack([X, X[7:8]]))
    assert again.merged == 1 and again.first[-1] == 7


def test_sums_tell_rows_of_whole_numbers_apart():
    for most in (1, 255):
        X = np.unique(np.random.default_rng(0).integers(0, most + 1, (5000, 40)).astype(float), axis=0)
        assert len(np.unique(duplicates._sums(X))) > 0.99 * len(X), "else nearly all are hashed"


@pytest.mark.parametrize("shape", [(0, 5), (0,), (3, 0)])
def test_nothing_has_no_duplicates_and_rows_of_nothing_are_equal(shape):
    assert merge_duplicates(np.zeros(shape)).merged == (2 if shape == (3, 0) else 0)
