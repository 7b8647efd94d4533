import pytest

from kernelfit.common.errors import InputError
from kernelfit.common.quantities import format_bytes, parse_bytes, parse_network_speed


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096 B", 4096),
        ("1kB", 1000),
        ("1 KiB", 1024),
        ("500MB", 500_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("12g", 12_000_000_000),
        ("2TB", 2 * 10**12),
        (" 3tib ", 3 * 2**40),
        (17, 17),
    ],
)
def test_amounts_as_people_write_them(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1,5GB", "1e9", "12 parsecs", "1GBs", "0x10", "1.GB", "nan"])
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="12GB"):
        parse_bytes(text)


def test_formatted_amounts_read_back_to_three_digits():
    for count in (0, 999_999, 10**6, 99_949_999, 10**8, 14_400_000_000, 10**13):
        # Half a unit of the last digit shown: 0.5 MB below 0.1 GB, else 0.05 GB.
        assert abs(parse_bytes(format_bytes(count)) - count) <= (5e5 if count < 1e8 else 5e7)


@pytest.mark.parametrize(
    ("text", "speed"), [("10Gbit", 1.25e9), ("100 Mbit/s", 1.25e7), ("1.25GB", 1.25e9), ("8bit", 1)]
)
def test_speeds_of_networks(text, speed):
    assert parse_network_speed(text) == speed


@pytest.mark.parametrize("text", ["10Gb", "100 Mb", "1kb"])
def test_a_small_b_may_be_a_bit_or_a_byte(text):
    with pytest.raises(InputError, match="bits or bytes"):
        parse_network_speed(text)
