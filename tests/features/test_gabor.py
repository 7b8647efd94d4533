"""Gabor features against direct sums in float64, and the filters against their formula."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from kernelfit.common.errors import InputError
from kernelfit.features.blur import pooling_matrix
from kernelfit.features.gabor import Gabor
from kernelfit.features.morlet import morlet

EPS = np.finfo(np.float64).eps


def morlet_by_formula(wavelength, angle, *, sigma, aspect, radius):
    """A zero-mean Morlet filter of unit norm, written from the formula and not from PyWavelets."""
    h = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=complex)
    gauss = np.zeros(h.shape)
    for i in range(len(h)):
        for j in range(len(h)):
            y, x = i - radius, j - radius
            u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
            gauss[i, j] = np.exp(-(u**2 + aspect**2 * v**2) / (2 * sigma**2))
            h[i, j] = gauss[i, j] * np.exp(2j * np.pi * u / wavelength)
    h -= gauss * h.sum() / gauss.sum()
    return h / np.sqrt((np.abs(h) ** 2).sum())


def blurred(image, blur):
    """The image, zero beyond its border, convolved with a Gaussian whose weights sum to one."""
    reach = int(10 * blur) + 1
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * blur**2))
    line /= line.sum()
    return convolve2d(image, np.outer(line, line), mode="same")


def slow_features(image, gabor, *, ratio):
    """Gabor features of one image by direct convolution; `ratio` is sigma / wavelength."""
    maps = []
    for wavelength in gabor.wavelengths:
        sigma = ratio * wavelength
        radius = int(np.ceil(8.5 * sigma / min(1, gabor.aspect)))
        for k in range(gabor.orientations):
            angle = np.pi * k / gabor.orientations
            h = morlet_by_formula(wavelength, angle, sigma=sigma, aspect=gabor.aspect, radius=radius)
            full = convolve2d(image, h)  # zeros beyond the border; pixel (0, 0) is at (radius, radius)
            response = full[radius : radius + image.shape[0], radius : radius + image.shape[1]]
            maps.append(blurred((np.abs(response) ** 2 + gabor.floor**2) ** (gabor.root / 2), gabor.blur))
    if gabor.low:
        maps.append(gabor.low * blurred(image, gabor.blur))
    starts = [(size - 1) % gabor.step // 2 for size in image.shape]
    return np.concatenate([m[starts[0] :: gabor.step, starts[1] :: gabor.step].ravel() for m in maps])


@pytest.mark.parametrize(
    "shape, gabor",
    [
        ((28, 28), Gabor(wavelengths=(4, 6), orientations=3)),
        ((13, 22), Gabor(wavelengths=(5.5,), orientations=4, aspect=1.0, root=1.0, blur=1.3, step=3, low=0)),
        ((17, 9), Gabor(wavelengths=(3,), orientations=5, aspect=1.6, root=1 / 3, floor=0.01, step=2, low=2.5)),
        ((5, 30), Gabor(wavelengths=(2.5, 6), orientations=2, aspect=0.7, step=1)),
        ((1, 1), Gabor(wavelengths=(4,), orientations=2)),
    ],
)
def test_features_are_direct_sums(shape, gabor):
    images = np.random.default_rng(3).standard_normal((2, *shape))
    expected = np.array([slow_features(image, gabor, ratio=0.5) for image in images])
    found = gabor.transform(images, dtype=np.float64)
    assert found.dtype == np.float64 and found.shape == expected.shape
    # The spline of the mother wavelet is exact to 1e-12; the root of a modulus near the floor magnifies that.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_the_wavelet_sets_bandwidth_and_shape():
    """cmor2-0.5 has sqrt(2 / 2) 0.5 = 1/2 wavelength of standard deviation as well, cmor2-1 has 1."""
    images = np.random.default_rng(4).standard_normal((2, 14, 14))
    wide = Gabor(wavelengths=(4,), orientations=2, wavelet="cmor2-1")
    expected = np.array([slow_features(image, wide, ratio=1.0) for image in images])
    np.testing.assert_allclose(wide.transform(images, dtype=np.float64), expected, rtol=0, atol=1e-9)
    same = [
        Gabor(wavelengths=(4,), orientations=2, wavelet=w).transform(images, dtype=np.float64)
        for w in ("cmor0.5-1.0", "cmor2-0.5")
    ]
    np.testing.assert_allclose(*same, rtol=0, atol=1e-9)


@pytest.mark.parametrize("aspect", [0.75, 1.0, 2.0])
def test_filters_have_mean_zero_and_unit_norm(aspect):
    for angle in (0.0, 0.3, np.pi / 2, 2.5):
        h = morlet("cmor0.5-1.0", 6.0, angle, aspect, tolerance=EPS)
        assert abs(h.sum()) < 1e-13 and abs((np.abs(h) ** 2).sum() - 1) < 1e-13
        assert np.abs(h[0]).max() < 1e-12 and np.abs(h[:, 0]).max() < 1e-12


def test_uint8_stands_for_pixels_over_255_and_float32_is_near_float64():
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (40, 28, 28), dtype=np.uint8)
    images[:, :, 14:] = 0  # blank parts, where the root could magnify rounding
    gabor = Gabor()
    exact = gabor.transform(images / 255, dtype=np.float64)
    for given in (images, images / 255, (images / 255).astype(np.float32)):
        found = gabor.transform(given)
        assert found.dtype == np.float32
        # Rounding of the responses, 1e-6, times the largest slope of the root, 1 / sqrt(8 floor) = 11.
        assert np.abs(found - exact).max() < 2e-5


def test_channels_are_transformed_one_by_one():
    images = np.random.default_rng(6).integers(0, 256, (7, 12, 10, 3), dtype=np.uint8)
    gabor = Gabor(orientations=3)
    each = [gabor.transform(images[..., c]) for c in range(3)]
    np.testing.assert_allclose(gabor.transform(images), np.concatenate(each, axis=1), rtol=0, atol=2e-5)


def test_batches_and_positions_do_not_matter(monkeypatch):
    images = np.random.default_rng(7).integers(0, 256, (211, 12, 14), dtype=np.uint8)
    gabor = Gabor(wavelengths=(4, 7), orientations=3)
    whole = gabor.transform(images)
    for size in (1, 2, 50, 1000):
        monkeypatch.setattr("kernelfit.features.gabor.batch_size", lambda shape, size=size: size)
        np.testing.assert_allclose(gabor.transform(images), whole, rtol=0, atol=2e-5)
        np.testing.assert_allclose(gabor.transform(images[::-1])[::-1], whole, rtol=0, atol=2e-5)


def test_a_turned_image_has_turned_features():
    """A quarter turn of the image turns each map, and exchanges the angles that are a quarter turn apart."""
    image = np.random.default_rng(8).standard_normal((1, 13, 13))
    gabor = Gabor(wavelengths=(5,), orientations=4, step=3, low=1)
    maps, turned = (gabor.transform(x, dtype=np.float64).reshape(5, 5, 5) for x in (image, np.rot90(image, 1, (1, 2))))
    for k, source in enumerate((2, 3, 0, 1, 4)):
        np.testing.assert_allclose(turned[k], np.rot90(maps[source]), rtol=0, atol=1e-10)


def test_a_wave_answers_in_its_own_map():
    gabor = Gabor(wavelengths=(4, 8), orientations=4, root=1.0, low=0)
    y, x = np.mgrid[:40, :40]
    for wanted, (wavelength, angle) in enumerate((w, np.pi * k / 4) for w in (4, 8) for k in range(4)):
        wave = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
        assert gabor.transform(wave[None]).reshape(8, 10, 10)[:, 5, 5].argmax() == wanted


def test_blur_keeps_constants_inside_and_loses_them_at_the_border():
    P = pooling_matrix(40, blur=1.5, step=4)
    inside = P.sum(axis=1)[4:-4]
    np.testing.assert_allclose(inside, 1, atol=1e-14)
    assert P.shape == (10, 40) and P.sum(axis=1)[0] < 0.95


@pytest.mark.parametrize(
    "options, word",
    [
        ({"wavelengths": ()}, "wavelengths"),
        ({"wavelengths": (1.5, 4)}, "wavelengths"),
        ({"wavelengths": 4}, "wavelengths"),
        ({"wavelengths": (float("nan"),)}, "wavelengths"),
        ({"orientations": 0}, "orientations"),
        ({"orientations": 2.5}, "orientations"),
        ({"step": True}, "step"),
        ({"wavelet": "db2"}, "complex Morlet"),
        ({"wavelet": "cmor"}, "complex Morlet"),
        ({"wavelet": "cmor0-1"}, "0.1 to 10"),
        ({"wavelet": "cmor-1-1"}, "cmorB-C"),
        ({"wavelet": "cmor900-900"}, "0.1 to 10"),
        ({"wavelet": 3}, "cmor0.5-1.0"),
        ({"aspect": 0}, "aspect"),
        ({"root": 0}, "root"),
        ({"root": "half"}, "root"),
        ({"floor": -1}, "floor"),
        ({"blur": float("nan")}, "blur"),
        ({"low": float("inf")}, "low"),
    ],
)
def test_bad_parameters_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        Gabor(**options)


def test_a_filter_too_large_for_memory_is_refused():
    with pytest.raises(InputError, match="would reach"):
        Gabor(wavelengths=(3000,)).transform(np.zeros((1, 8, 8)))


@pytest.mark.parametrize("X", [np.zeros((5, 784), np.uint8), np.zeros((2, 8, 8), int), np.zeros((0, 8, 8))])
def test_what_is_no_image_is_refused(X):
    with pytest.raises(InputError, match="images"):
        Gabor().transform(X)


@pytest.mark.parametrize("size", [1e20, 1e60, np.nan])
def test_images_whose_squares_are_no_float32_are_refused(size):
    X = np.random.default_rng(0).random((4, 12, 12)) * size
    with pytest.raises(InputError, match=r"NaN or infinite values|squares are beyond float32"):
        Gabor(wavelengths=(4.0,)).transform(X)
