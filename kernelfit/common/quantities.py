"""Amounts and ranges as people write them."""

import re

from kernelfit.common.errors import InputError

_FACTORS = {"": 1, "B": 1} | {
    prefix + unit: base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for unit, base in (("B", 1000), ("", 1000), ("iB", 1024))
}

_MOST = 10_000  # numbers in a range


def parse_bytes(text: str | int) -> int:
    """Return the bytes that a text such as "12GB", "1.5 GiB" or "4096" stands for (kB, MB, GB, TB; KiB, MiB, ...).

    Examples
    --------
    >>> parse_bytes("12GB"), parse_bytes("1.5 GiB"), parse_bytes(4096)
    (12000000000, 1610612736, 4096)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(text))
    units = {unit.lower(): factor for unit, factor in _FACTORS.items()}
    if not match or match[2].lower() not in units:
        raise InputError(f"{text!r} is no amount of memory; write it as 12GB, 12GiB or 500MB")
    return int(float(match[1]) * units[match[2].lower()])


def parse_network_speed(text: str | int) -> float:
    """Return the bytes per second that a text such as "10Gbit" or "1.25GB" stands for."""
    if re.search(r"[kKmMgGtT]b\b", str(text)):
        raise InputError(f"{text!r} may be bits or bytes; write 10Gbit, or 1.25GB for as many bytes")
    match = re.fullmatch(r"(.*[\d.]\s*[kKmMgGtT]?)bit(?:/s)?\s*", str(text))
    try:
        return parse_bytes(match[1] + ("" if match[1][-1].isdigit() else "B")) / 8 if match else parse_bytes(text)
    except InputError:
        raise InputError(f"{text!r} is no speed of a network; write it as 10Gbit, 100Mbit or 1.25GB") from None


def parse_range(text: str | float) -> tuple[float, ...]:
    """Return the numbers that "0:1:0.25" (first:last:step, both ends included) or a single number stands for.

    Examples
    --------
    >>> parse_range("0:1:0.25")
    (0.0, 0.25, 0.5, 0.75, 1.0)
    """
    parts = str(text).split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return (numbers[0],)
    if len(numbers) != 3 or not numbers[2] > 0 or not numbers[0] <= numbers[1]:
        raise InputError(f"{text!r} is no number and no range; write first:last:step, as 0:1:0.1")
    first, last, step = numbers
    steps = (last - first) / step + 1e-9  # a step of 0.1 is not exactly a tenth
    if not steps < _MOST:
        raise InputError(f"{text!r} stands for more than {_MOST:,} numbers; choose a larger step")
    return tuple(round(first + k * step, 12) for k in range(int(steps) + 1))


def format_bytes(count: float) -> str:
    """Return bytes as GB, or as MB below 0.1 GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
