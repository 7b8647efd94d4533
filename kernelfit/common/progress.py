"""Progress of long work: a bar on a terminal, one log line every few seconds elsewhere, nothing when quiet.

What is claimed comes from what was seen in this run. Kinds of work that go at different speeds (making a matrix,
multiplying it) are counted apart, each in its own unit, and the time that is left is what is left of each at its own
pace. No speed of any machine is assumed, so nothing is claimed before each kind has been seen.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

Amount = float | dict[str, float]  # of work: in one unit, or in the unit of each kind


class Progress:
    """Silent progress: the base class, and the default of every library function.

    A phase is one stretch of work of known amount.
    """

    @contextlib.contextmanager
    def phase(
        self, name: str, total: Amount, *, done: Amount = 0, at_most: bool = False
    ) -> Iterator[Callable[..., None]]:
        """Enter a phase; yields a function `advance(amount, detail="", kind="")`, the detail a few words on how it is.

        Parameters
        ----------
        total : number, or dict of numbers by kind
            All of the work, in any units that are proportional to time within a kind. What is told to `advance` sums to
            the same.
        done : the same
            What an earlier run has done of it. It says nothing of the pace of this one.
        at_most : bool
            The work may end before the total is reached.
        """
        yield lambda amount, detail="", kind="": None

    def expect(self, name: str, phases: Sequence[tuple[str, float]]) -> None:
        """Tell what is to come, called `name`: the names of phases in order, each with about how many seconds."""

    def note(self, message: str) -> None:
        """Tell the person one sentence."""


class Pace:
    """How far a phase is, and how long the rest will take; arguments are those of Progress.phase, `now` in seconds.

    The time between two calls of `add` is that of the work that the later one tells.
    """

    def __init__(self, total: Amount, done: Amount, now: float) -> None:
        self._totals = total if isinstance(total, dict) else {"": total}
        before = done if isinstance(done, dict) else {"": done}
        self._left = {kind: amount - before.get(kind, 0) for kind, amount in self._totals.items()}
        self._seen = {kind: (0.0, 0.0) for kind in self._totals}  # amounts of this run, and their seconds
        self._last, self._shown = now, 0.0

    def add(self, amount: float, kind: str, now: float) -> None:
        """Count work that is done by now."""
        if amount > 0:
            seen, seconds = self._seen[kind]
            self._seen[kind] = seen + amount, seconds + now - self._last
            left = self._left[kind] - amount
            # Sums of floating-point amounts end near the total.
            self._left[kind], self._last = left if left > 1e-9 * self._totals[kind] else 0, now

    @property
    def known(self) -> bool:
        """Whether all kinds of work that are left were seen, so that something can be said of them."""
        return all(self._seen[kind][0] for kind, left in self._left.items() if left)

    def seconds_left(self) -> float:
        """Return how long the rest will take from the latest `add` on, where that is known."""
        return sum(self._pace(kind) * left for kind, left in self._left.items())

    def share(self) -> float:
        """Return how much of the time of the phase is over, earlier runs included: 0 to 1, and never less than before.

        Meaningful where it is known.
        """
        whole = sum(self._pace(kind) * total for kind, total in self._totals.items())
        self._shown = max(self._shown, 1 - self.seconds_left() / whole if whole else 0.0)
        return self._shown if any(self._left.values()) else 1.0

    def percent(self) -> int:
        """Return the share in whole percent: 100 only when nothing is left."""
        return min(round(100 * self.share()), 99 if any(self._left.values()) else 100)

    def _pace(self, kind: str) -> float:
        """Return the seconds of one unit of a kind; 0 of one that was not seen, as may be where none of it is left."""
        seen, seconds = self._seen[kind]
        return seconds / seen if seen else 0.0


class Outlook:
    """How long several phases will take that a plan foresaw: (name, seconds) of each, in order."""

    def __init__(self, name: str, phases: Sequence[tuple[str, float]], now: float) -> None:
        self.name, self._phases, self._begin, self._at = name, phases, now, -1

    def enter(self, phase: str) -> bool:
        """Return whether a phase that begins now is one of those to come; those before it are over then."""
        coming = (at for at in range(self._at + 1, len(self._phases)) if self._phases[at][0] == phase)
        found = next(coming, None)
        self._at = self._at if found is None else found
        return found is not None

    def seconds_left(self, left: float, now: float) -> float:
        """Return the time to the end of all phases, of which the present one has `left` seconds.

        What is to come is taken from the plan, and scaled by how the phases so far compare with it. As much weight as
        the whole plan has is given to its being right: a short first phase tells little.
        """
        seconds = [seconds for _, seconds in self._phases]
        begun, rest = sum(seconds[: self._at + 1]), sum(seconds[self._at + 1 :])
        whole = begun + rest
        return left + rest * (now - self._begin + left + whole) / (begun + whole) if rest else left


class _Spoken(Progress):
    """What a line and a bar have in common."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._outlook: Outlook | None = None

    def expect(self, name: str, phases: Sequence[tuple[str, float]]) -> None:
        self._outlook = Outlook(name, phases, self.clock())

    def _begin(self, phase: str, total: Amount, done: Amount, at_most: bool) -> tuple[Pace, Callable[[], str]]:
        """Return the Pace of a phase that begins, and a function that says in words what is known of it, or ""."""
        begin = self.clock()
        pace, outlook = Pace(total, done, begin), self._outlook
        foreseen = outlook is not None and outlook.enter(phase)

        def words():
            if not pace.known:
                return ""
            left = pace.seconds_left()
            said = f"{pace.percent()} %, {'at most ' * at_most}{duration(left)} left"
            whole = outlook.seconds_left(left, self.clock()) if foreseen else left
            return f"{said}, {duration(whole)} for the {outlook.name}" if whole > left else said

        return pace, words


class LogProgress(_Spoken):
    """One line every `every` seconds on a stream that is not a terminal."""

    def __init__(
        self, stream: TextIO | None = None, every: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self.stream = stream or sys.stderr
        self.every = every

    @contextlib.contextmanager
    def phase(
        self, name: str, total: Amount, *, done: Amount = 0, at_most: bool = False
    ) -> Iterator[Callable[..., None]]:
        start = last = self.clock()
        pace, words = self._begin(name, total, done, at_most)
        state = ""

        def advance(amount, detail="", kind=""):
            nonlocal last, state
            now, state = self.clock(), detail or state
            pace.add(amount, kind, now)
            if now - last >= self.every and (said := "; ".join(filter(None, (words(), state)))):
                last = now
                self.note(f"{name}: {said}")

        yield advance
        if last > start:
            self.note(f"{name}: done in {duration(self.clock() - start)}")

    def note(self, message: str) -> None:
        print(message, file=self.stream, flush=True)


class BarProgress(_Spoken):
    """A bar with the remaining time, on a terminal."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console

        super().__init__(clock)
        self.console = Console(file=stream or sys.stderr)

    @contextlib.contextmanager
    def phase(
        self, name: str, total: Amount, *, done: Amount = 0, at_most: bool = False
    ) -> Iterator[Callable[..., None]]:
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(bar_width=15),  # so that the words fit on 80 columns
            rich_progress.TextColumn("{task.fields[words]}"),
        )
        pace, words = self._begin(name, total, done, at_most)
        with rich_progress.Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(name, total=1.0, words="")

            def advance(amount, detail="", kind=""):
                pace.add(amount, kind, self.clock())
                bar.update(task, completed=pace.share() if pace.known else 0.0, words=words())
                if detail:
                    bar.update(task, description=f"{name} {detail}")

            yield advance

    def note(self, message: str) -> None:
        self.console.print(message, highlight=False, markup=False)


def make_progress(quiet: bool = False, stream: TextIO | None = None) -> Progress:
    """Return the Progress that suits the stream (standard error unless given)."""
    stream = stream or sys.stderr
    if quiet:
        return Progress()
    return BarProgress(stream) if stream.isatty() else LogProgress(stream)


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 45 s, 7 min 03 s, 2 h 05 min.

    Examples
    --------
    >>> duration(45), duration(423), duration(7500)
    ('45 s', '7 min 03 s', '2 h 05 min')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
