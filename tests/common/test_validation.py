"""What is no number that an argument may be is refused with its name, the value and what would do."""

import math

import numpy as np
import pytest

from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer, check_number, check_positive


@pytest.mark.parametrize("value", [1, 7, np.int8(7), np.array(7)])
def test_integers_of_every_kind_are_integers(value):
    assert type(check_integer("n", value)) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.float64(2), math.nan, [1], 10**30 * -1])
def test_what_is_no_positive_integer(value):
    with pytest.raises(InputError, match=r"^n = .*; it must be an integer of at least 1$"):
        check_integer("n", value)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(1), np.int64(1)])
def test_numbers_of_every_kind_are_numbers(value):
    assert type(check_number("p", value, 0, 1)) is float


@pytest.mark.parametrize("value", [-1e-300, 1.5, math.nan, math.inf, "0.5", None, True, 1j, 10**400])
def test_what_is_no_probability(value):
    with pytest.raises(InputError, match=r"^p = .*; it must be a number from 0 to 1$"):
        check_number("p", value, 0, 1)


def test_zero_is_a_number_of_at_least_0_and_not_positive():
    assert check_number("ridge", 0) == 0.0 and check_positive("bandwidth", 5e-324) > 0
    for value in (0, -1, math.inf, math.nan, "1", None):
        with pytest.raises(InputError, match=r"^bandwidth = .*; it must be a positive number$"):
            check_positive("bandwidth", value)
    for value in (math.inf, 10**400):
        with pytest.raises(InputError, match="it must be a number of at least 0"):
            check_number("ridge", value)


def test_what_was_given_is_told_in_short():
    with pytest.raises(InputError, match=r"^n = 'x+; it must"):
        check_integer("n", "x" * 1000)
    with pytest.raises(InputError, match=r"^n = 1.5; it must be an integer from 1 to 10$"):
        check_integer("n", np.float64(1.5), 1, 10)
