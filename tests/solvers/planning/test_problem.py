import pytest

from kernelfit.solvers.planning.problem import eighth


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 16), (127, 16), (128, 16), (255, 16), (256, 32), (4095, 256), (4096, 512), (10**6, 512)]
)
def test_an_eighth_is_a_power_of_two_within_its_bounds(n, expected):
    assert eighth(n, 16, 512) == expected
