"""The discrete wavelet transform against pywt.wavedec2, and that a rotation keeps distances."""

import numpy as np
import pytest
import pywt
from scipy.spatial.distance import pdist

from kernelfit.common.errors import InputError
from kernelfit.features.wavelet import Wavelet


@pytest.mark.filterwarnings("ignore:Level value")  # of wavedec2: deep levels are mostly border
@pytest.mark.parametrize(
    "wavelet, shape",
    [
        (Wavelet(), (28, 28)),
        (Wavelet("haar", 3, "zero"), (15, 22)),
        (Wavelet("bior2.2", 1, "symmetric"), (9, 8)),
        (Wavelet("db4", 3, "reflect"), (32, 17)),
    ],
)
def test_features_are_the_coefficients_of_pywavelets(wavelet, shape):
    images = np.random.default_rng(0).standard_normal((5, *shape))
    for image, found in zip(images, wavelet.transform(images, dtype=np.float64), strict=True):
        low, *bands = pywt.wavedec2(image, wavelet.wavelet, mode=wavelet.mode, level=wavelet.level)
        expected = np.concatenate([low.ravel(), *(band.ravel() for level in bands for band in level)])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("wavelet", [Wavelet("haar", 2), Wavelet("db2", 2), Wavelet("sym4", 1), Wavelet("db2", 0)])
def test_an_orthonormal_transform_keeps_distances(wavelet):
    images = np.random.default_rng(1).integers(0, 256, (12, 28, 20, 3), dtype=np.uint8)
    found = wavelet.transform(images)
    assert found.dtype == np.float32 and found.shape == (12, 28 * 20 * 3)
    # float32 coefficients of 28 x 20 x 3 pixels; distances are about 17
    np.testing.assert_allclose(pdist(found.astype(float)), pdist(images.reshape(12, -1) / 255), rtol=1e-5)


def test_batches_do_not_matter(monkeypatch):
    images = np.random.default_rng(2).integers(0, 256, (23, 8, 12), dtype=np.uint8)
    whole = Wavelet().transform(images)
    for size in (1, 5):
        monkeypatch.setattr("kernelfit.features.wavelet._BATCH", size)
        np.testing.assert_allclose(Wavelet().transform(images), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"wavelet": "db200"}, "db20"),
        ({"wavelet": "morl"}, "discrete"),
        ({"mode": "periodisation"}, "periodization"),
        ({"level": -1}, "level"),
        ({"level": 1.0}, "level"),
        ({"level": True}, "level"),
    ],
)
def test_bad_parameters_are_refused(options, word):
    with pytest.raises(InputError, match=word):
        Wavelet(**options)


def test_an_image_too_small_for_the_level_is_refused():
    with pytest.raises(InputError, match="level <= 3"):
        Wavelet(level=4).transform(np.zeros((2, 8, 30)))
