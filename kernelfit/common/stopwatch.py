"""Where the time goes: seconds by phase."""

import contextlib
import time
from collections.abc import Iterator, Mapping


class Stopwatch:
    """Adds up the seconds of named phases.

    Attributes
    ----------
    seconds : dict
    """

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time the block as `name`."""
        start = time.perf_counter()
        yield
        self.add({name: time.perf_counter() - start})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add a dict of seconds by phase."""
        for name, value in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + value

    def total(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start
