"""Corruptions: the rates of the paper, the same draws for every p, one permutation or many, inputs left alone."""

import inspect
import itertools

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.corruption import PIXEL_SETTINGS, corrupt, corrupt_labels, corrupt_pixels, label_probability

SHAPES = {"grey": (6, 5), "colour": (6, 5, 3), "vectors": (30,)}


def read_only(array):
    array = array.view()
    array.flags.writeable = False
    return array


@pytest.fixture(params=SHAPES, ids=str)
def images(request):
    """READ-ONLY uint8 training and test images."""
    rng = np.random.default_rng(0)
    shape = SHAPES[request.param]
    return tuple(read_only(rng.integers(0, 256, (n, *shape), np.uint8)) for n in (40, 25))


def labels_of(n, k, seed=7):
    return read_only(np.random.default_rng(seed).integers(0, k, n))


def tagged(n, shape):
    """Float32 images that tell where a value comes from: 8 (1000 image + pixel) + channel; below 2^24, so exact."""
    channels = shape[2] if len(shape) == 3 else 1
    pixels = int(np.prod(shape[:2]))
    image, pixel, channel = np.ix_(range(n), range(pixels), range(channels))
    return read_only((8 * (1000 * image + pixel) + channel).astype(np.float32).reshape(n, *shape))


def pixel_origins(X):
    """Where each pixel of tagged images comes from, (n, pixels), after checking images and channels stayed in place."""
    channels = X.shape[3] if X.ndim == 4 else 1
    tags = X.reshape(len(X), -1, channels).astype(np.int64)
    assert (tags % 8 == np.arange(channels)).all()
    assert (tags // 8000 == np.arange(len(X))[:, None, None]).all()
    origins = tags // 8 % 1000
    assert (origins == origins[..., :1]).all()  # the channels of a pixel move together
    assert (np.sort(origins[..., 0], axis=1) == np.arange(origins.shape[1])).all()  # each pixel once
    return origins[..., 0]


# ---- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9, 1.0])
def test_labels_change_at_the_rate_p_times_one_minus_one_over_k(p, k):
    n = 20_000
    y = labels_of(n, k)
    corrupted, replaced = corrupt_labels(y, k, p, seed=3)
    # Counts of n independent draws; 5 standard deviations are exceeded by chance once in 1.7 million.
    for count, rate in [(replaced.sum(), p), ((corrupted != y).sum(), p * (1 - 1 / k))]:
        assert abs(count - n * rate) <= 5 * np.sqrt(n * rate * (1 - rate))
    counts = np.bincount(corrupted[replaced], minlength=k)
    assert len(counts) == k
    assert (abs(counts - counts.sum() / k) <= 5 * np.sqrt(counts.sum() / k * (1 - 1 / k))).all()


def test_the_drawn_class_does_not_depend_on_the_true_one():
    y = labels_of(20_000, 10)
    corrupted, replaced = corrupt_labels(y, 10, 0.5)
    others, replaced_too = corrupt_labels((y + 3) % 10, 10, 0.5)
    assert np.array_equal(replaced, replaced_too) and np.array_equal(corrupted[replaced], others[replaced])
    same = (corrupted == y)[replaced]
    assert abs(same.sum() - len(same) / 10) <= 5 * np.sqrt(len(same) * 0.1 * 0.9)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_only_masked_labels_are_drawn_anew(p):
    y = labels_of(500, 10)
    corrupted, replaced = corrupt_labels(y, 10, p)
    assert replaced.dtype == bool and corrupted.dtype == np.int64
    assert np.array_equal(corrupted[~replaced], y[~replaced])
    assert replaced.any() == (p > 0) and replaced.all() == (p == 1)


def test_draws_are_nested_in_p():
    y = labels_of(2000, 10)
    draws = [corrupt_labels(y, 10, p, seed=5) for p in (0.0, 0.05, 0.2, 0.21, 0.8, 1.0)]
    for (small, replaced), (large, replaced_more) in itertools.pairwise(draws):
        assert (replaced <= replaced_more).all() and replaced.sum() < replaced_more.sum()
        assert np.array_equal(small[replaced], large[replaced])


def test_which_of_the_first_labels_are_replaced_does_not_depend_on_how_many_follow():
    # True of the mask alone: the classes are drawn after all n numbers of the mask, so they differ with n.
    y = labels_of(3000, 10)
    assert np.array_equal(corrupt_labels(y[:700], 10, 0.4)[1], corrupt_labels(y, 10, 0.4)[1][:700])


def test_test_labels_are_not_an_argument():
    parameters = set(inspect.signature(corrupt).parameters)
    assert parameters == {"X_train", "y_train", "X_test", "n_classes", "labels", "pixels", "seed"}


@pytest.mark.parametrize(
    ("labels", "probability"), [("true", 0.0), ("random", 1.0), (0, 0.0), (0.25, 0.25), ("0.25", 0.25), (1, 1.0)]
)
def test_names_and_numbers_of_label_settings(labels, probability):
    assert label_probability(labels) == probability


@pytest.mark.parametrize("labels", [-0.1, 1.0001, float("nan"), float("inf"), "half", "", None, [0.5]])
def test_a_label_setting_that_is_no_probability(labels):
    with pytest.raises(InputError, match="labels ="):
        label_probability(labels)


# ---- pixels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", PIXEL_SETTINGS)
def test_inputs_are_never_modified_and_shapes_stay(images, pixels):
    before = [X.copy() for X in images]
    y = labels_of(40, 10)
    result = corrupt(images[0], y, images[1], n_classes=10, labels=0.5, pixels=pixels)
    for X, old, new in zip(images, before, (result.X_train, result.X_test), strict=True):
        assert np.array_equal(X, old)
        assert new.shape == X.shape
        assert new.dtype == (np.float32 if pixels == "gaussian" else np.uint8)
        assert np.array_equal(new, X) == (pixels == "true")


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shuffled_is_one_permutation_for_both_splits(shape):
    X_train, X_test = tagged(20, shape), tagged(11, shape)
    moved = [pixel_origins(X) for X in corrupt_pixels(X_train, X_test, "shuffled", seed=1)]
    order = moved[0][0]
    assert not np.array_equal(order, np.arange(len(order)))
    assert all((origins == order).all() for origins in moved)


def test_shuffled_keeps_all_distances(images):
    def distances(X, Z):
        X, Z = (part.reshape(len(part), -1).astype(np.int64) for part in (X, Z))
        return ((X[:, None] - Z) ** 2).sum(axis=2)

    X_train, X_test = corrupt_pixels(*images, "shuffled", seed=2)
    assert np.array_equal(distances(X_test, X_train), distances(images[1], images[0]))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_random_is_one_permutation_for_each_image(shape):
    splits = corrupt_pixels(tagged(400, shape), tagged(300, shape), "random", seed=1)
    origins = np.concatenate([pixel_origins(X) for X in splits])
    # Two of 700 permutations of 30 pixels are equal with probability 700^2 / 2 / 30! = 1e-27.
    assert len(np.unique(origins, axis=0)) == 700
    # Where pixel 0 lands is uniform; 30 places at 5 standard deviations.
    landed = np.bincount(np.nonzero(origins == 0)[1], minlength=30)
    assert (abs(landed - 700 / 30) <= 5 * np.sqrt(700 / 30 * (1 - 1 / 30))).all()


def test_random_keeps_the_multiset_of_each_image(images):
    for X, moved in zip(images, corrupt_pixels(*images, "random"), strict=True):
        X, moved = (np.sort(part.reshape(len(part), -1), axis=1) for part in (X, moved))
        assert np.array_equal(X, moved)


@pytest.mark.parametrize("pixels", ["shuffled", "random"])
def test_the_layout_in_memory_does_not_matter(pixels):
    """Arrays read from MATLAB files are in Fortran order; slices and flips have gaps and negative strides."""
    X = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 3), np.uint8)
    layouts = [
        np.asfortranarray(X),
        np.ascontiguousarray(X.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1),
        np.asfortranarray(X.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2),
        np.ascontiguousarray(X[::-1])[::-1],
        np.repeat(X, 2, axis=2)[:, :, ::2],
    ]
    expected = corrupt_pixels(X, X[:7], pixels)
    for other in layouts:
        assert np.array_equal(other, X)
        for result, wanted in zip(corrupt_pixels(read_only(other), other[:7], pixels), expected, strict=True):
            assert np.array_equal(result, wanted), other.strides


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64, ">f8", np.longdouble])
def test_gaussian_has_the_moments_of_the_training_pixels(dtype):
    rng = np.random.default_rng(0)
    X_train = rng.integers(0, 256, (1500, 8, 8), np.uint8) ** 2 // 3
    X_test = rng.integers(0, 20, (1400, 8, 8), np.uint8)  # of quite other moments, which must not matter
    unit = 255 if dtype == np.uint8 else 1
    X_train, X_test = (read_only(X.astype(dtype)) for X in (X_train, X_test))
    mean, deviation = X_train.mean(dtype=float) / unit, X_train.std(dtype=float) / unit
    for noise in corrupt_pixels(X_train, X_test, "gaussian"):
        assert noise.dtype == (np.float32 if dtype == np.uint8 else dtype)
        # Standard errors of N normal numbers: mean s / sqrt(N), deviation s / sqrt(2 N), kurtosis sqrt(24 / N).
        N, noise = noise.size, noise.astype(float)
        assert abs(noise.mean() - mean) <= 5 * deviation / np.sqrt(N)
        assert abs(noise.std() - deviation) <= 5 * deviation / np.sqrt(2 * N)
        assert abs(np.mean(((noise - noise.mean()) / noise.std()) ** 4) - 3) <= 5 * np.sqrt(24 / N)


@pytest.mark.parametrize("pixels", ["random", "gaussian"])
def test_training_and_test_images_get_draws_of_their_own(pixels):
    X = tagged(20, (6, 5))
    X_train, X_test = corrupt_pixels(X, X, pixels)
    assert (X_train != X_test).reshape(20, -1).any(axis=1).all()


@pytest.mark.parametrize("pixels", ["shuffled", "random", "gaussian"])
def test_what_happens_to_an_image_does_not_depend_on_how_many_follow(pixels):
    X = np.random.default_rng(0).integers(0, 256, (2100, 3, 3), np.uint8)  # more than two blocks of 1,024
    few, many = (corrupt_pixels(X[:5], X[:n], pixels)[1] for n in (1100, 2100))
    assert np.array_equal(few, many[:1100])
    assert pixels == "shuffled" or not np.array_equal(many[:1024], many[1024:2048])


# ---- seeds and hashes ----------------------------------------------------------------------------------------------


def test_the_same_seed_repeats_everything_and_another_changes_it(images):
    y = labels_of(40, 10)
    for pixels in ("shuffled", "random", "gaussian"):
        first, again, other = (
            corrupt(images[0], y, images[1], n_classes=10, labels=0.5, pixels=pixels, seed=seed) for seed in (4, 4, 5)
        )
        assert first.sha256 == again.sha256 and np.array_equal(first.replaced, again.replaced)
        for name in ("X_train", "y_train", "X_test"):
            assert np.array_equal(getattr(first, name), getattr(again, name))
            assert not np.array_equal(getattr(first, name), getattr(other, name))
        assert first.sha256 != other.sha256


def test_each_purpose_has_random_numbers_of_its_own():
    X, y = tagged(20, (6, 5)), labels_of(20, 10)
    results = [
        corrupt(X, y, X, n_classes=10, labels=labels, pixels=pixels, seed=6)
        for pixels in PIXEL_SETTINGS
        for labels in (0.5, 0.9)
    ]
    for half, most in zip(results[::2], results[1::2], strict=True):
        assert np.array_equal(half.X_train, most.X_train) and np.array_equal(half.X_test, most.X_test)
        assert np.array_equal(half.y_train, results[0].y_train) and np.array_equal(most.y_train, results[1].y_train)
    shuffled, random = results[2], results[4]
    assert not np.array_equal(shuffled.X_train[0], random.X_train[0])


def test_the_hash_tells_every_change(images):
    def digest(X_train, y, X_test):
        return corrupt(X_train, y, X_test, n_classes=10).sha256

    X_train, X_test, y = *images, labels_of(40, 10)
    other_shape = (15, 2) if X_train.ndim == 2 else (X_train[0].size,)
    changed = [X_train.copy(), X_test.copy()]
    for X in changed:
        X.flat[-1] ^= 1
    others = [
        digest(changed[0], y, X_test),
        digest(X_train, (y + np.eye(40)[39].astype(int)) % 10, X_test),
        digest(X_train, y, changed[1]),
        digest(X_train, y, X_test[:-1]),
        digest(X_train.astype(float), y, X_test),
        digest(X_train.astype(float).view(">f8"), y, X_test),  # the same bytes and shape
        digest(*(part.reshape(len(part), *other_shape) if part.ndim > 1 else part for part in (X_train, y, X_test))),
    ]
    assert len({digest(X_train, y, X_test), *others}) == 1 + len(others)
    copies = np.asfortranarray(X_train), y.astype(np.uint8), X_test.copy()
    assert digest(*copies) == digest(X_train, y, X_test)


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": 1.5},
        {"pixels": "blurred"},
        {"pixels": None},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": "one"},
        {"n_classes": 0},
        {"n_classes": 2.5},
        {"y_train": np.zeros(39, int)},
        {"y_train": np.full(40, 10)},
        {"y_train": np.full(40, -1)},
        {"y_train": np.full(40, 0.7)},
        {"y_train": np.full((40, 1), 5)},
    ],
    ids=lambda wrong: "".join(f"{name}={np.ravel(value)[-1]}" for name, value in wrong.items()),
)
def test_what_makes_no_sense_is_refused(wrong):
    X = np.zeros((40, 6, 5), np.uint8)
    arguments = {"y_train": labels_of(40, 10), "n_classes": 10, "labels": 0.5, "pixels": "true"} | wrong
    with pytest.raises(InputError):
        corrupt(X, arguments.pop("y_train"), X, **arguments)


def test_an_unknown_pixel_setting_never_becomes_noise():
    X = np.zeros((5, 4, 3), np.uint8)
    with pytest.raises(InputError):
        corrupt_pixels(X, X, "Random")


@pytest.mark.parametrize("pixels", ["shuffled", "random", "gaussian"])
def test_images_of_two_shapes_are_refused(pixels):
    X_train, X_test = np.zeros((5, 4, 3), np.uint8), np.zeros((5, 3, 4), np.uint8)
    with pytest.raises(InputError):
        corrupt_pixels(X_train, X_test, pixels)


def test_gaussian_noise_of_integers_that_are_no_pixels_is_refused():
    X = np.zeros((5, 4), np.int16)
    with pytest.raises(InputError):
        corrupt_pixels(X, X, "gaussian")


@pytest.mark.parametrize("pixels", PIXEL_SETTINGS)
def test_no_test_images(pixels):
    X, y = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([0, 1, 0])
    for images in (X, X[..., None], X.reshape(3, 16)):
        made = corrupt(images, y, images[:0], n_classes=2, pixels=pixels)
        assert made.X_test.shape == (0, *images.shape[1:]) and made.X_train.shape == images.shape
    lists = X.astype(float).tolist(), y.tolist(), X.astype(float).tolist()
    assert corrupt(*lists, n_classes=2).y_train.tolist() == [0, 1, 0]
