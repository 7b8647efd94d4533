"""Features of the second order against direct convolutions of direct moduli, in float64."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from kernelfit.common.errors import InputError
from kernelfit.features.blur import pooling_matrix
from kernelfit.features.gabor import Gabor
from kernelfit.features.morlet import morlet
from kernelfit.features.scattering import Scattering


def modulus(image, wavelength, angle, scattering):
    """sqrt(|image * psi|^2 + floor^2) by direct convolution; tests/features/test_gabor.py checks the filters."""
    taps = morlet(scattering.wavelet, wavelength, angle, scattering.aspect, tolerance=1e-15)
    r, (h, w) = len(taps) // 2, image.shape
    return np.hypot(np.abs(convolve2d(image, taps)[r : r + h, r : r + w]), scattering.floor)


@pytest.mark.parametrize(
    "shape, scattering",
    [
        ((16, 11), Scattering(wavelengths=(4, 6), orientations=2, second_orientations=3)),
        ((9, 14), Scattering(wavelengths=(2, 4), orientations=2, second_wavelengths=(5, 8), second_orientations=1)),
        ((12, 12), Scattering((3,), 2, aspect=1.0, low=0, second_root=1.0, second_step=2, second_blur=1.0)),
    ],
)
def test_features_are_gabor_and_direct_sums(shape, scattering):
    images = np.random.default_rng(0).standard_normal((2, *shape))
    found = scattering.transform(images, dtype=np.float64)
    options = {name: getattr(scattering, name) for name in Gabor.__dataclass_fields__}
    first = Gabor(**options).transform(images, dtype=np.float64)
    np.testing.assert_array_equal(found[:, : first.shape[1]], first)
    Py, Px = (pooling_matrix(n, blur=scattering.second_blur, step=scattering.second_step) for n in shape)
    for image, row in zip(images, found[:, first.shape[1] :], strict=True):
        expected = []
        for one in scattering.wavelengths:
            for k in range(scattering.orientations):
                envelope = modulus(image, one, np.pi * k / scattering.orientations, scattering)
                for two in scattering.second_wavelengths:
                    for j in range(scattering.second_orientations):
                        if two >= 2 * one:
                            angle = np.pi * j / scattering.second_orientations
                            again = modulus(envelope, two, angle, scattering) ** scattering.second_root
                            expected.append(scattering.second_weight * (Py @ again @ Px.T))
        np.testing.assert_allclose(row, np.ravel(expected), rtol=0, atol=1e-8)


def test_float32_is_near_float64_and_batches_do_not_matter(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (30, 16, 18, 2), dtype=np.uint8)
    scattering = Scattering(orientations=2, second_orientations=3)
    exact = scattering.transform(images / 255, dtype=np.float64)
    for size in (1000, 7):
        monkeypatch.setattr("kernelfit.features.scattering.batch_size", lambda shape, size=size: size)
        found = scattering.transform(images)
        assert found.dtype == np.float32 and np.abs(found - exact).max() < 1e-4


def test_second_order_tells_apart_what_a_blurred_modulus_cannot():
    """Vertical stripes in vertical or in horizontal bands: averaged far enough, order one sees the same energy."""
    y, x = np.mgrid[:64, :64]
    stripes = np.cos(2 * np.pi * x / 4)
    images = np.array([stripes * (1 + np.cos(2 * np.pi * z / 16)) for z in (x, y)])
    scattering = Scattering(
        (4,),
        2,
        blur=12,
        low=0,
        step=64,
        second_wavelengths=(16,),
        second_orientations=2,
        second_blur=12,
        second_step=64,
        root=1.0,
        second_root=1.0,
    )
    first, second = np.split(scattering.transform(images).astype(float), [2], axis=1)
    np.testing.assert_allclose(first[0], first[1], rtol=0.05, atol=0.02 * first.max())
    across, along = second[:, 0], second[:, 1]  # paths of the first filter: the bands' own angle, and the other
    assert across[0] > 5 * along[0] and along[1] > 5 * across[1]


@pytest.mark.parametrize(
    "options, word",
    [
        ({"second_wavelengths": (7.9,)}, "second_wavelengths"),
        ({"second_wavelengths": ()}, "second_wavelengths"),
        ({"second_orientations": 0}, "second_orientations"),
        ({"second_step": 1.5}, "second_step"),
        ({"second_root": 2}, "second_root"),
        ({"second_blur": 0}, "second_blur"),
        ({"second_weight": 0}, "second_weight"),
        ({"root": 0}, "root"),
    ],
)
def test_bad_parameters_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        Scattering(**options)


def test_a_path_leads_to_a_wave_at_least_twice_as_long():
    scattering = Scattering(wavelengths=(4, 6), orientations=2, second_wavelengths=(8, 12), second_orientations=1)
    assert scattering.paths() == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (3, 1)]
