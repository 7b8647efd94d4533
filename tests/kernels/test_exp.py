"""The exponential of compiled passes over its whole range."""

import numpy as np

from tests.support.kernels import EPS, exp_of


def test_exp_is_right_over_its_whole_range():
    rng = np.random.default_rng(0)
    halfway = -np.log(2) * np.arange(2041) / 2  # where the exponent changes, and between
    x = np.concatenate(
        [-708 * rng.random(50_000), -(10 ** rng.uniform(-300, 2.84, 20_000)), halfway, -rng.random(50_000)]
    )
    x = np.concatenate([x, np.nextafter(x, -800)])
    x = x[x > -708]
    expected = np.exp(x.astype(np.longdouble))
    # Three sums of about 1 are rounded by eps / 2 each, and the reduced argument, below 0.35, by less than eps / 4.
    assert (abs(exp_of(x) - expected) <= 2 * EPS * expected).all()
    assert (exp_of(x) <= 1).all()


def test_exp_at_its_ends():
    assert (exp_of(np.array([0.0, -0.0, -1e-300, -5e-324, -1e-17])) == 1).all()
    near = np.array([-700.0, -705.5, -707.9, np.nextafter(-708, 0)])
    np.testing.assert_allclose(exp_of(near), np.exp(near), rtol=3 * EPS)  # 2 eps as above, and eps for np.exp
    # Below -708 the true value is subnormal, under 3.4e-308; 0 stands for it.
    far = np.array([-708.0, -708.4, -720.0, -744.0, -745.2, -760.0, -1e4, -1e16, -1e18, -1e300, -np.inf])
    assert (exp_of(far) == 0).all()
    assert (np.exp(far) < 3.4e-308).all()
