"""Progress of long work: a bar on a terminal, one log line every few seconds elsewhere, nothing when quiet."""

import contextlib
import sys
import time


class Progress:
    """Silent progress: the base class, and the default of every library function.

    A phase is one stretch of work with a known total, in any unit: work units should be proportional to time.
    """

    @contextlib.contextmanager
    def phase(self, name, total):
        """Enter a phase; yields a function `advance(amount, detail="")`, the detail a few words on how it goes."""
        yield lambda amount, detail="": None

    def note(self, message):
        """Tell the person one sentence."""


class LogProgress(Progress):
    """One line every `every` seconds on a stream that is not a terminal."""

    def __init__(self, stream=None, every=5.0, clock=time.monotonic):
        self.stream = stream or sys.stderr
        self.every = every
        self.clock = clock

    @contextlib.contextmanager
    def phase(self, name, total):
        start = last = self.clock()
        done = 0

        def advance(amount, detail=""):
            nonlocal done, last
            done += amount
            now = self.clock()
            if now - last >= self.every and done > 0:
                last = now
                remaining = (now - start) * max(0.0, total - done) / done
                state = f"; {detail}" if detail else ""
                self.note(f"{name}: {100 * done / total:.0f} %, {duration(remaining)} left{state}")

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
    def phase(self, name, total):
        from rich import progress as rich_progress

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TaskProgressColumn(),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(name, total=total)
            yield lambda amount, detail="": bar.update(task, advance=amount, description=f"{name} {detail}".strip())

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
