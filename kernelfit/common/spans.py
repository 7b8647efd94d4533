"""What is done piece by piece: the one way to cut a range."""

Span = tuple[int, int]  # (first, last + 1)


def spans(start: int, stop: int, size: int) -> list[Span]:
    """Return (first, last + 1) of consecutive pieces of start..stop - 1, each of `size` but the last.

    Examples
    --------
    >>> spans(2, 9, 3)
    [(2, 5), (5, 8), (8, 9)]
    """
    return [(first, min(first + size, stop)) for first in range(start, stop, size)]
