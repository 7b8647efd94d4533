"""Progress of long work: a bar on a terminal, one log line every few seconds elsewhere, nothing when quiet.

What is claimed comes from what was seen in this run. Kinds of work that go at different speeds (making a matrix,
multiplying it) are counted apart, each in its own unit, and the time that is left is what is left of each at its own
pace. No speed of any machine is assumed, so nothing is claimed before each kind has been seen.
"""

import contextlib
import sys
import time


class Progress:
    """Silent progress: the base class, and the default of every library function.

    A phase is one stretch of work of known amount.
    """

    @contextlib.contextmanager
    def phase(self, name, total, *, done=0, at_most=False):
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

    def note(self, message):
        """Tell the person one sentence."""


class Pace:
    """How far a phase is, and how long the rest will take; arguments are those of Progress.phase, `now` in seconds.

    The time between two calls of `add` is that of the work that the later one tells.
    """

    def __init__(self, total, done, now):
        self._totals = total if isinstance(total, dict) else {"": total}
        before = done if isinstance(done, dict) else {"": done}
        self._left = {kind: amount - before.get(kind, 0) for kind, amount in self._totals.items()}
        self._seen = {kind: (0, 0.0) for kind in self._totals}  # amounts of this run, and their seconds
        self._last, self._shown = now, 0.0

    def add(self, amount, kind, now):
        """Count work that is done by now."""
        if amount > 0:
            seen, seconds = self._seen[kind]
            self._seen[kind] = seen + amount, seconds + now - self._last
            self._left[kind], self._last = max(0, self._left[kind] - amount), now

    def seconds_left(self):
        """Return how long the rest will take from the latest `add` on; None before every kind of the rest was seen."""
        paces = self._paces()
        return paces and sum(paces[kind] * left for kind, left in self._left.items())

    def share(self):
        """Return how much of the time of the phase is over, earlier runs included: 0 to 1, and never less than before.

        Before every kind was seen it is that which was shown last.
        """
        if paces := self._paces():
            whole = sum(paces[kind] * total for kind, total in self._totals.items())
            self._shown = max(self._shown, 1 - self.seconds_left() / whole if whole > 0 else 1.0)
        return self._shown

    def percent(self):
        """Return the share in whole percent: 100 only when nothing is left."""
        return min(round(100 * self.share()), 99 if any(self._left.values()) else 100)

    def _paces(self):
        """Return the seconds of one unit of each kind, or None."""
        if any(left and not self._seen[kind][0] for kind, left in self._left.items()):
            return None
        return {kind: seconds / seen if seen else 0.0 for kind, (seen, seconds) in self._seen.items()}


class LogProgress(Progress):
    """One line every `every` seconds on a stream that is not a terminal."""

    def __init__(self, stream=None, every=5.0, clock=time.monotonic):
        self.stream = stream or sys.stderr
        self.every = every
        self.clock = clock

    @contextlib.contextmanager
    def phase(self, name, total, *, done=0, at_most=False):
        start = last = self.clock()
        pace = Pace(total, done, start)

        def advance(amount, detail="", kind=""):
            nonlocal last
            now = self.clock()
            pace.add(amount, kind, now)
            if now - last >= self.every and (left := pace.seconds_left()) is not None:
                last = now
                most, state = "at most " if at_most else "", f"; {detail}" if detail else ""
                self.note(f"{name}: {pace.percent()} %, {most}{duration(left)} left{state}")

        yield advance
        if last > start:
            self.note(f"{name}: done in {duration(self.clock() - start)}")

    def note(self, message):
        print(message, file=self.stream, flush=True)


class BarProgress(Progress):
    """A bar with the remaining time, on a terminal."""

    def __init__(self, stream=None):
        from rich.console import Console

        self.console = Console(file=stream or sys.stderr)

    @contextlib.contextmanager
    def phase(self, name, total, *, done=0, at_most=False):
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.fields[left]}"),
        )
        pace, most = Pace(total, done, time.monotonic()), "at most " if at_most else ""
        with rich_progress.Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(name, total=1.0, left="")

            def advance(amount, detail="", kind=""):
                pace.add(amount, kind, time.monotonic())
                left = pace.seconds_left()
                words = "" if left is None else f"{pace.percent()} %, {most}{duration(left)} left"
                bar.update(task, completed=pace.share(), left=words, description=f"{name} {detail}".strip())

            yield advance

    def note(self, message):
        self.console.print(message, highlight=False, markup=False)


def make_progress(quiet=False, stream=None):
    """Return the Progress that suits the stream (standard error unless given)."""
    stream = stream or sys.stderr
    if quiet:
        return Progress()
    return BarProgress(stream) if stream.isatty() else LogProgress(stream)


def duration(seconds):
    """Return seconds as a person says them: 45 s, 7 min 03 s, 2 h 05 min.

    Examples
    --------
    >>> duration(45), duration(423), duration(7500)
    ('45 s', '7 min 03 s', '2 h 05 min')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
