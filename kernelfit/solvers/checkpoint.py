"""The state of an iteration in a scratch folder: one file, whole or absent, that a later run goes on with."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernelfit.common.scratch import ScratchFolder, identity_in

_EVERY = 30.0  # seconds between two writes: what a kill costs, besides the step that was under way


class Checkpoint(ScratchFolder):
    """Arrays and a JSON-ready dict of the latest state; see ScratchFolder.

    Parameters
    ----------
    number : int
        Of several iterations of one run, each with a state of its own; the first is 1.

    Attributes
    ----------
    found : (dict of arrays, dict) or None
        The state of an earlier run.
    """

    found: tuple[dict[str, np.ndarray], Any] | None

    def __init__(
        self,
        path: str | Path,
        identity: dict[str, Any],
        *,
        number: int = 1,
        resume: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(path, "iteration" if number == 1 else f"iteration-{number}", identity, resume=resume)
        self._clock, self._last = clock, clock()
        try:
            self.found = self.get("state")
        except BaseException:
            self.close()
            raise

    @property
    def due(self) -> bool:
        """Whether the latest state is old enough to be replaced."""
        return self._clock() - self._last >= _EVERY

    def save(self, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
        """Replace the state; raises NotEnoughDiskError or ScratchError, and then the earlier one is still there."""
        self.put("state", arrays, facts)
        self._last = self._clock()


def has_state(folder: str | Path) -> bool:
    """Whether a scratch folder holds the state of an unfinished iteration."""
    return identity_in(folder, "iteration") is not None
