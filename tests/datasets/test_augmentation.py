import itertools

import numpy as np
import pytest

from kernelfit import datasets
from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.augmentation import augment, parse_augment
from kernelfit.experiments.solve import SolveSpec
from kernelfit.grams.duplicates import merge_duplicates
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.panel_cholesky import cholesky

# rows that an image becomes, itself included, if none is left out
WAYS = {"flip": 2, "shift(1)": 5, "shift(2)": 9, "flip + shift(1)": 10, "shift(1) + flip": 10, "shift(1)+shift(1)": 25}


def images(shape=(7, 6, 5), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, shape).astype(dtype)


def moved(image, dy, dx):
    """One pixel after the other, as the definition says."""
    out = np.zeros_like(image)
    h, w = image.shape[:2]
    for i, j in itertools.product(range(h), range(w)):
        if 0 <= i - dy < h and 0 <= j - dx < w:
            out[i, j] = image[i - dy, j - dx]
    return out


def expected(image, what):
    """All copies of one image, itself first, as a set of bytes."""
    made = [image]
    for step in what.split("+"):
        if step.strip() == "flip":
            own = [lambda x: x[:, ::-1]]
        else:
            reach = range(1, int(step.strip()[6:-1]) + 1)
            moves = [(s * dy, s * dx) for s in reach for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            own = [lambda x, move=move: moved(x, *move) for move in moves]
        made += [change(x) for change in own for x in made]
    return {np.ascontiguousarray(x).tobytes() for x in made}


@pytest.mark.parametrize("what", WAYS)
@pytest.mark.parametrize(("shape", "dtype"), [((4, 6, 5), np.uint8), ((3, 5, 5, 3), np.float32)])
def test_the_rows_of_an_image_are_those_of_the_definition(what, shape, dtype):
    X = images(shape, dtype)
    y = np.arange(len(X)) * 10
    made = augment(X, y, what)
    assert made.X.dtype == dtype and made.X.shape[1:] == shape[1:]
    np.testing.assert_array_equal(made.X[: len(X)], X)
    np.testing.assert_array_equal(made.groups[: len(X)], np.arange(len(X)))
    np.testing.assert_array_equal(made.y, y[made.groups])
    for i, image in enumerate(X):
        rows = [row.tobytes() for row in made.X[made.groups == i]]
        assert len(rows) == len(set(rows)) and set(rows) == expected(image, what)
    assert len(made.X) + made.left_out == len(X) * WAYS[what]


def test_none_is_the_data_themselves():
    X, y = images(), np.arange(7)
    made = augment(X, y, "none")
    assert made.X is X and made.y is y and made.left_out == 0
    vectors = X.reshape(7, -1)
    assert augment(vectors, y, "none").X is vectors, "vectors need no image where nothing is done to them"


def test_a_copy_carries_the_corrupted_label_of_its_original():
    data = datasets.load("digits", n_train=100)
    y, _ = corrupt_labels(data.y_train, 10, 1.0)
    made = augment(data.X_train, y, "flip")
    assert (y != data.y_train).any()
    for row, group in enumerate(made.groups):
        assert made.y[row] == y[group]
        assert row == group or (made.X[row] == data.X_train[group][:, ::-1]).all()


def test_copies_that_equal_another_row_are_left_out_and_counted():
    X = images((5, 4, 4))
    X[1] = np.maximum(X[1], X[1][:, ::-1])  # its own mirror image
    X[3] = X[2][:, ::-1]  # each the mirror image of the other, with labels of their own
    made = augment(X, np.arange(5), "flip")
    assert made.left_out == 3 and list(made.groups) == list(made.y) == [0, 1, 2, 3, 4, 0, 4]
    assert merge_duplicates(made.X).merged == 0
    blank = np.zeros((1, 4, 4), np.uint8)
    assert augment(blank, np.zeros(1), "flip + shift(2)").left_out == 17
    signed = np.array([[[0.0, -0.0], [1.0, 1.0]]])
    assert augment(signed, np.zeros(1), "flip").left_out == 1, "-0.0 equals 0.0"


@pytest.mark.parametrize("what", WAYS)
def test_the_gram_matrix_stays_regular(what):
    """Images that are symmetric, equal after a move, or mirror images of each other would each make it singular."""
    X = images((12, 6, 6))
    X[0], X[1] = np.maximum(X[0], X[0][:, ::-1]), X[2][:, ::-1]
    X[3], X[4] = 0, moved(X[5], 1, 0)
    made = augment(X, np.arange(12), what)
    assert made.left_out > 0
    cholesky(gram(made.X, Gaussian(1.0)))


def test_a_kernel_on_mirrored_data_is_as_good_on_mirrored_images():
    data = datasets.load("digits", n_train=300, n_test=100)
    made = augment(data.X_train, data.y_train, "flip")
    K = gram(made.X, Gaussian(1.0))
    coef = cholesky(K).solve(np.eye(10)[made.y])
    scores, mirrored = (
        gram(X, Gaussian(1.0), K.points).product(coef) for X in (data.X_test, data.X_test[:, :, ::-1].copy())
    )
    # The training set is its own mirror image, so the interpolant is; to rounding times a condition number of 1e4.
    np.testing.assert_allclose(mirrored, scores, atol=1e-9)


@pytest.mark.parametrize("wrong", ["flop", "flip(1)", "shift", "shift(0)", "shift(-1)", "flip +", "", "none + flip"])
def test_what_is_not_understood(wrong):
    with pytest.raises(InputError, match="augment"):
        parse_augment(wrong)
    with pytest.raises(InputError, match="augment"):
        SolveSpec(augment=wrong)


def test_what_cannot_be_augmented():
    with pytest.raises(InputError, match="images"):
        augment(images((3, 16)), np.arange(3), "flip")
    with pytest.raises(InputError, match="out of it"):
        augment(images((3, 4, 9)), np.arange(3), "shift(4)")
    with pytest.raises(InputError, match="labels"):
        augment(images(), np.arange(3), "flip")


def test_the_option():
    spec = SolveSpec(augment="flip + shift(1)")
    assert "--augment 'flip + shift(1)'" in spec.command()
    with pytest.raises(InputError, match="leaves its copies in"):
        SolveSpec(augment="flip", loo=True)
    assert main(["solve", "--augment", "flop"]) == 2
    assert main(["solve", "--augment", "flip", "--loo"]) == 2


def test_shifts_that_empty_images_together_are_refused():
    with pytest.raises(InputError, match="would move all"):
        augment(np.arange(1, 9, dtype=np.uint8).reshape(2, 2, 2), np.array([0, 1]), "shift(1) + shift(1)")
