"""Powers and standardisation of features: equal to the formula in float64, and decided by training images alone."""

import numpy as np
import pytest

from kernelfit.backend import CPU
from kernelfit.features.rescaling import rescale

RNG = np.random.default_rng(0)


def plain(features, n, root, standardise):
    F = features.astype(np.float64) ** root
    if standardise:
        deviation = F[:, :n].std(axis=1, keepdims=True)
        F = (F - F[:, :n].mean(axis=1, keepdims=True)) / np.where(deviation > 1e-6, deviation, np.inf)
    return F


@pytest.mark.parametrize("shape, n", [((1, 1, 1), 1), ((2, 300, 5), 256), ((1, 700, 1030), 650), ((3, 513, 2), 513)])
@pytest.mark.parametrize("root", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("standardise", [False, True])
def test_rescaled_features_are_those_of_the_formula(shape, n, root, standardise):
    features = RNG.exponential(size=shape).astype(np.float32)
    features *= RNG.random(shape) < 0.7  # rectifiers give zeros
    features[:, :, 0] = 0.7  # a feature that does not vary
    expected = plain(features, n, root, standardise)
    rescale(features, n, root, standardise, device=CPU)
    # float32, of values up to a few standard deviations
    np.testing.assert_allclose(features, expected, rtol=0, atol=3e-6 * max(1, np.abs(expected).max()))


def test_test_images_decide_nothing_and_a_constant_feature_becomes_zero():
    features = RNG.random((1, 40, 3), dtype=np.float32)
    features[0, :30, 1] = 0.5
    other = features.copy()
    other[:, 30:] *= 7
    for array in (features, other):
        rescale(array, 30, 0.5, True, device=CPU)
    assert np.array_equal(features[:, :30], other[:, :30]) and not np.array_equal(features, other)
    assert not features[0, :, 1].any()
    np.testing.assert_allclose(features[0, :30].std(axis=0), [1, 0, 1], atol=1e-5)
