import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.corruption import corrupt_pixels
from kernelfit.models.bandwidth import median_distance
from kernelfit.models.centres import Centres, parse_centres


@pytest.fixture(scope="module")
def points():
    return np.random.default_rng(0).gamma(1.0, 0.3, (400, 60))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pairs", Centres("pairs")),
        (" gaussian x 3", Centres("gaussian", times=3)),
        ("perturbed(0.3)", Centres("perturbed", 0.3)),
        ("perturbed(0.12345678)", Centres("perturbed", 0.12345678)),
        ("perturbed( 1e-2 ) x2", Centres("perturbed", 0.01, 2)),
    ],
)
def test_texts(text, expected):
    assert parse_centres(text) == expected
    assert parse_centres(str(expected)) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "pears", "pairs(1)", "perturbed", "perturbed(0)", "perturbed(-1)", "perturbed(nan)", "perturbed(inf)"),
        *("perturbed(much)", "pairs x 0", "pairs x 1.5", "pairs pairs", "2 pairs"),
    ],
)
def test_texts_that_are_not_understood(wrong):
    with pytest.raises(InputError, match="centres"):
        parse_centres(wrong)


@pytest.mark.parametrize("text", ["perturbed(0.5)", "pairs", "gaussian", "perturbed(0.5) x 2", "pairs x 2"])
def test_centres_belong_to_their_seed(points, text):
    centres = parse_centres(text)
    Z = centres.draw(points, seed=3)
    assert Z.shape == (400 * centres.times, 60) and Z.dtype == np.float64
    np.testing.assert_array_equal(Z, centres.draw(points, seed=3))
    assert not np.isin(Z, centres.draw(points, seed=4)).any()
    assert len(np.unique(Z, axis=0)) == len(Z)


@pytest.mark.parametrize("size", [0.01, 1.0])
def test_the_noise_of_perturbed_has_the_stated_length(points, size):
    Z = Centres("perturbed", size, 2).draw(points)
    for part in np.split(Z, 2):
        lengths = np.linalg.norm(part - points, axis=1)
        # The squared length is chi-squared: mean size^2 D^2, relative deviation of the mean sqrt(2 / (60 * 400)), 1 %.
        assert np.mean(lengths**2) == pytest.approx((size * median_distance(points)) ** 2, rel=0.05)


def test_pairs_lie_between_two_different_points(points):
    """The weights are uniform and the points all of them: mean and variance of a uniform mixture follow."""
    X = np.eye(400)  # a combination of corners names its corners
    Z = Centres("pairs", times=5).draw(X)
    np.testing.assert_allclose(Z.sum(axis=1), 1.0)
    assert ((Z > 0).sum(axis=1) == 2).all(), "of two different ones"
    weights = Z[Z > 0]
    # Uniform on [0, 1]: deviations of mean and mean square over 2,000 pairs are 0.0065 and 0.0067.
    assert abs(weights.mean() - 0.5) < 1e-12 and abs(np.mean(weights**2) - 1 / 3) < 0.03
    # A corner is in 10 pairs on average; Poisson, so that none is in more than 30 nor the mean far off.
    counts = (Z > 0).sum(axis=0)
    assert counts.mean() == 10 and counts.max() <= 30


def test_gaussian_centres_are_like_gaussian_pixels(points):
    Z = Centres("gaussian", times=2).draw(points)
    noise, _ = corrupt_pixels(points, points[:1], "gaussian")
    # 48,000 values: deviations of about 0.5 % of mean and standard deviation.
    assert Z.mean() == pytest.approx(noise.mean(), rel=0.03) and Z.std() == pytest.approx(noise.std(), rel=0.03)
    assert Z.mean() == pytest.approx(points.mean(), rel=0.03) and Z.std() == pytest.approx(points.std(), rel=0.03)


def test_points_that_cannot_be_drawn_from(points):
    for wrong in (points[:1], points.astype(np.float32), points[0]):
        with pytest.raises(InputError, match="at least 2 points"):
            Centres("pairs").draw(wrong)
