"""Random convolutional features: recipes, seeds, whitening, invariances, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.features import Pixels, parse_features
from kernelfit.features.gabor import Gabor
from kernelfit.features.random_net import BLOCK, Net
from kernelfit.features.randomconv import PRESETS, RandomConv
from kernelfit.features.wavelet import Wavelet
from kernelfit.features.whitening import Covariance
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Linear
from kernelfit.models.expansion import KernelExpansion, load_model

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 12, 10, 3), np.uint8)
SMALL = {"filters": 40, "patch": 4, "pool": 4, "stride": 3}


def linear(features, X_train, X_test, **options):
    train, test = features.points(X_train, X_test, **options)
    n, m = len(X_train), len(X_test)
    return gram(train, Linear()).block((0, n), (0, n)), gram(test, Linear(), train).block((0, m), (0, n))


@pytest.mark.parametrize("preset", PRESETS)
def test_the_same_seed_gives_the_same_kernel_and_another_seed_another(preset):
    features = RandomConv(preset=preset, **SMALL)
    K, K_test = linear(features, X[:40], X[40:])
    again, _ = linear(features, X[:40], X[40:])
    other, _ = linear(features, X[:40], X[40:], seed=1)
    assert np.array_equal(K, again) and not np.allclose(K, other)
    # Test images decide nothing: their rows do not change with the others.
    fewer = linear(features, X[:40], X[40:45])[1]
    # Products of another shape round in another order: in proportion to the features' norms where "rooted", of mean 0,
    # cancels, by about u sqrt(320 features) = 1e-6 on either side.
    np.testing.assert_allclose(K_test[:5], fewer, rtol=1e-5, atol=2e-6 * K.max())
    assert np.linalg.eigvalsh(K)[0] > -1e-5 * np.trace(K)


@pytest.mark.parametrize("preset", PRESETS)
def test_more_filters_keep_the_first_blocks(preset):
    few, many = (
        Net.prepare(RandomConv(filters=k * BLOCK, preset=preset, patch=4, pool=4, stride=3), X) for k in (1, 3)
    )
    assert np.array_equal(few.filters(0), many.filters(0)) and many.blocks == 3
    assert not np.allclose(many.filters(0), many.filters(1))


def test_the_image_recipe_step_by_step():
    """Mean removed, norm 55, data mean removed, ZCA with 0.1; filters are patches of such images."""
    net = Net.prepare(RandomConv(**SMALL), X)
    flat = X.reshape(60, -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat *= 55 / np.linalg.norm(flat, axis=1, keepdims=True)
    centred = flat - flat.mean(axis=0)
    values, V = np.linalg.eigh(centred.T @ centred / 60)
    expected = centred @ V @ np.diag((values + 0.1) ** -0.5) @ V.T
    images = net.images(X)
    np.testing.assert_allclose(images.reshape(60, -1), expected, atol=2e-4)
    patches = np.lib.stride_tricks.sliding_window_view(images, (4, 4), axis=(1, 2))
    patches = patches.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 48)
    for filter_ in net.filters(0).T[:5]:
        assert np.abs(patches - filter_).max(axis=1).min() < 1e-5


def test_the_patch_recipe_step_by_step():
    """Filters are q W W with q zero-mean and of norm one, and W the ZCA of such patches with 1e-3."""
    net = Net.prepare(RandomConv(preset="patch", **SMALL), X)
    W = net._patch_whitening
    np.testing.assert_allclose(W, W.T, atol=1e-9)
    drawn = np.linalg.solve(W @ W, net.filters(0).astype(np.float64)).T
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1, rtol=1e-3)
    np.testing.assert_allclose(drawn.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(net.images(X), X / 255, rtol=1e-6)


def test_unit_filters_have_unit_norm_where_patches_are_whitened():
    net = Net.prepare(RandomConv(preset="normalised", **SMALL), X)
    whitened = np.linalg.solve(net._patch_whitening, net.filters(0).astype(np.float64))
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=0), 1, rtol=1e-4)


def test_gaussian_filters_are_drawn_at_the_scale_of_patches():
    patches, gaussian = (
        Net.prepare(RandomConv(filters=BLOCK, draw=draw, patch=4, pool=4), X) for draw in ("patches", "gaussian")
    )
    sizes = [np.sqrt(np.mean(net.filters(0) ** 2)) for net in (patches, gaussian)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_flip_makes_a_kernel_that_does_not_see_mirror_images():
    features = RandomConv(preset="patch", flip=True, **SMALL)
    _, K_test = linear(features, X[:40], X[40:])
    _, mirrored = linear(features, X[:40], X[40:, :, ::-1])
    np.testing.assert_allclose(K_test, mirrored, rtol=2e-5)
    _, plain = linear(RandomConv(preset="patch", **SMALL), X[:40], X[40:, :, ::-1])
    assert not np.allclose(plain, mirrored, rtol=1e-2)


@pytest.mark.parametrize("shape", [(12, 10), (12, 10, 1), (9, 13, 4)])
def test_grey_and_many_channels(shape):
    images = RNG.integers(0, 256, (30, *shape), np.uint8)
    K, _ = linear(RandomConv(**SMALL), images, images[:2])
    assert np.isfinite(K).all() and (K.diagonal() > 0).all()
    floats, _ = linear(RandomConv(**SMALL), images / np.float64(255), images[:2] / np.float64(255))
    # Float images are pixels / 255. Whitening 30 images in more dimensions magnifies rounding.
    np.testing.assert_allclose(floats, K, rtol=0, atol=1e-3 * K.max())


@pytest.mark.parametrize(
    "text", ["pixels", "randomconv", "randomconv(filters=512, preset='patch', flip=True)", "randomconv(epsilon=0.5)"]
)
def test_text_round_trip(text):
    assert str(parse_features(text)) == text
    assert parse_features(str(parse_features(text))) == parse_features(text)
    assert parse_features("pixels") == Pixels()


@pytest.mark.parametrize(
    "text",
    [
        "pixel",
        "randomconv(filters=0)",
        "randomconv(filters=300)",
        "randomconv(filters=True)",
        "randomconv(preset='imagee')",
        "randomconv(epsilon=-1)",
        "randomconv(bias='a')",
        "randomconv(root=0)",
        "randomconv(standardise='yes')",
        "randomconv(draw='all')",
        "randomconv(nonsense=1)",
        "randomconv(5)",
        "randomconv()()",
        "__import__('os')",
        "",
        5,
        "(" * 500,
    ],
)
def test_bad_texts_are_input_errors(text):
    with pytest.raises(InputError):
        parse_features(text)


def test_images_that_give_no_filters():
    with pytest.raises(InputError, match="one colour"):
        Net.prepare(RandomConv(whitening="none", image_norm=0, **SMALL), np.full_like(X, 7)).filters(0)
    with pytest.raises(InputError, match="convolution needs images"):
        RandomConv(**SMALL).points(X.reshape(60, -1), X[:1].reshape(1, -1))
    with pytest.raises(InputError, match="do not fit"):
        RandomConv(filters=4, patch=11).points(X, X)


def test_whitened_data_have_unit_covariance():
    data = RNG.standard_normal((500, 6)) @ RNG.standard_normal((6, 6))
    covariance = Covariance.of(data.astype(np.float32))
    white = (data - covariance.mean) @ covariance.whitening(0.0)
    np.testing.assert_allclose(white.T @ white / 500, np.eye(6), atol=1e-4)
    with pytest.raises(InputError, match="epsilon above 0"):
        Covariance.of(np.ones((5, 3), np.float32)).whitening(0.0)


def test_a_model_with_such_features_predicts_after_a_round_trip(tmp_path):
    features = RandomConv(preset="patch", **SMALL)
    model = KernelExpansion(Linear(), X[:40], RNG.standard_normal((40, 2)), ("a", "b"), features=features, seed=3)
    model.save(tmp_path / "model.npz")
    loaded = load_model(tmp_path / "model.npz")
    assert loaded.features == features and loaded.seed == 3
    _, K_test = linear(features, X[:40], X[40:], seed=3)
    # float32 products of tiles of another shape are summed in another order.
    scale = np.abs(K_test).max() * np.abs(model.coef).sum(axis=0).max()
    np.testing.assert_allclose(loaded(X[40:]), K_test @ model.coef, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("preset", ["patch", "normalised"])
def test_whitening_of_patches_of_mean_zero_needs_an_epsilon_whatever_is_drawn(preset):
    """Their covariance has the eigenvalue 0, which rounding makes positive or negative by chance."""
    X = np.random.default_rng(0).random((200, 9, 9))
    for seed in range(6):
        features = RandomConv(filters=16, patch=3, pool=3, stride=3, preset=preset, epsilon=0.0)
        with pytest.raises(InputError, match="epsilon above 0"):
            features.points(X, X[:2], seed=seed)


@pytest.mark.parametrize("scale", [1.0, 1e20, 1e-20])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_images_about_their_mean_and_of_one_norm_have_no_offset_and_no_scale(offset, scale):
    X = np.random.default_rng(0).random((20, 9, 9))
    features = RandomConv(filters=16, patch=3, pool=3, stride=3, bias=0.0, preset="image", whitening="none")
    made = (features.points(each, each[:2], seed=0)[0] for each in (X, (X + offset) * scale))
    expected, found = (gram(each, Linear()).block((0, 20), (0, 20)) for each in made)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_images_beyond_float32_are_refused():
    X = np.random.default_rng(0).random((20, 9, 9)) * 1e60
    with pytest.raises(InputError, match="beyond float32"):
        RandomConv(filters=16, patch=3, pool=3, stride=3, preset="patch").points(X, X[:2], seed=0)


def test_images_of_one_colour_are_given_up_soon(monkeypatch):
    X, drawn = np.full((20, 12, 12), 0.5), []
    images = Net.images
    monkeypatch.setattr(Net, "images", lambda self, X: (drawn.append(len(X)), images(self, X))[1])
    with pytest.raises(InputError, match="of one colour"):
        RandomConv(filters=8, patch=3, pool=4, stride=4, preset="patch").points(X, X[:2], seed=0)
    assert len(drawn) < 10


def test_numbers_of_numpy_print_as_numbers():
    for features in (RandomConv(filters=np.int64(8)), Gabor(root=np.float64(0.3)), Wavelet(level=np.int64(1))):
        assert parse_features(str(features)) == features
        json.dumps(dataclasses.asdict(features))


@pytest.mark.parametrize("setting", [{"scale": 1e6}, {"image_norm": 0.1}, {"image_norm": 1e-6, "scale": 1.0}])
@pytest.mark.parametrize("whitening", ["image", "none"])
def test_images_of_any_scale_have_patches_that_are_not_flat(setting, whitening):
    features = RandomConv(whitening=whitening, **SMALL, **setting)
    assert np.isfinite(linear(features, X[:40] / 255, X[40:] / 255)[0]).all()
    with pytest.raises(InputError, match="of one colour"):
        linear(features, np.full((40, 12, 10), 0.5), X[40:, :, :, 0] / 255)


@pytest.mark.parametrize("wrong", [{"two_sided": 2}, {"two_sided": "no"}, {"flip": "no"}, {"two_sided": None}])
def test_yes_or_no_is_asked_for(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} = .*choose one of"):
        RandomConv(**SMALL, **wrong)
