"""A Progress that remembers, for tests of what is told to it."""

import contextlib

from kernelfit.common.progress import Progress


class Tally(Progress):
    """Remembers each phase as (name, totals by kind, amounts by kind that were told), and what was expected.

    Work of an earlier run counts as told. Phases that are entered within another are refused: no bar can show them.
    """

    def __init__(self):
        self.phases, self.expected, self._within = [], [], None

    @contextlib.contextmanager
    def phase(self, name, total, *, done=0, at_most=False):
        assert self._within is None, f"{name} within {self._within}"
        self._within = name
        totals, before = (part if isinstance(part, dict) else {"": part} for part in (total, done))
        told = {kind: before.get(kind, 0) for kind in totals}
        self.phases.append((name, totals, told))

        def advance(amount, detail="", kind=""):
            assert amount >= 0
            told[kind] += amount

        try:
            yield advance
        finally:
            self._within = None

    def expect(self, name, phases):
        self.expected.append((name, [phase for phase, _ in phases]))

    @property
    def names(self):
        """Names of the phases, in order."""
        return [name for name, *_ in self.phases]

    def wrong(self):
        """Return the phases of which something else was told than their total, beyond rounding of sums."""
        return [
            (name, totals, told)
            for name, totals, told in self.phases
            if any(abs(told[kind] - total) > 1e-9 * total for kind, total in totals.items())
        ]
