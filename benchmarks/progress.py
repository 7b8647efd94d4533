"""Is the time that is left what progress says? Claims against the truth, in real solves."""

import contextlib
import re
import time

from benchmarks.experiments import settings, solve
from benchmarks.runner import Table, apart, case, figure, within
from kernelfit.common.progress import LogProgress

MARKS = (0.1, 0.25, 0.5, 0.75)
COLUMNS = [f"after {100 * mark:.0f} %" for mark in MARKS]
WHOLE = "the whole solve"
_UNITS = {"h": 3600, "min": 60, "s": 1}


@case(
    targets=dict.fromkeys(COLUMNS, within(1, 0.25)),
    smoke={"data": "digits", "n": 300, "bandwidth": 1.0, "shortest": 0.0},
)
def progress(data="mnist", n=20_000, bandwidth=5.0, precisions=("float64", "mixed"), shortest=3.0, cpu=False):
    """Claimed by true time left, of every phase of 3 seconds and more and of the whole solve.

    Other work on the machine changes its speed meanwhile: run it alone, or with --cpu, which judges the phases by CPU
    seconds (the whole solve is planned in others).
    """
    for precision in precisions:
        options = settings(data, n, bandwidth, precision=precision)
        rows = apart(claims, options, "process_time" if cpu else "monotonic", shortest)
        title = f"n = {n:,} of {data}, {precision}: claimed / true time left"
        yield Table(title, [_row(*row) for row in rows if not (cpu and row[0] == WHOLE)])


def _row(name, seconds, percent, ratios):
    row = {"phase": name, "time": figure(seconds, "s"), "most percent": percent}
    return row | {column: figure(value) for column, value in zip(COLUMNS, ratios, strict=True)}


class Reader(LogProgress):
    """Remembers the lines of every phase, and when they were written."""

    def __init__(self, clock):
        super().__init__(every=0.2, clock=clock)
        self.phases, self.lines = [], []

    @contextlib.contextmanager
    def phase(self, name, total, **options):
        begin, first = self.clock(), len(self.lines)
        with super().phase(name, total, **options) as advance:
            yield advance
        self.phases.append((name, begin, self.clock(), self.lines[first:]))

    def note(self, message):
        self.lines.append((self.clock(), message))

    def expect(self, name, phases):
        super().expect(name, phases)
        self.begin = self.clock()


def claims(options, clock, shortest):
    """Solve; return [name, seconds, most percent, ratios at the marks] of the phases and of the solve."""
    reader = Reader(getattr(time, clock))
    solve(options, progress=reader)
    phases = [phase for phase in reader.phases if phase[2] - phase[1] >= shortest]
    # The last phase of the solve does not name it: what is left of one is what is left of the other.
    whole = [line for phase in reader.phases if phase[1] >= reader.begin for line in phase[3]]
    phases.append((WHOLE, reader.begin, reader.phases[-1][2], whole))
    return [[name, end - begin, *_judged(lines, begin, end, last=name == WHOLE)] for name, begin, end, lines in phases]


def _judged(lines, begin, end, *, last):
    """Return the largest percentage, and claimed by true time left at each mark, None where nothing was claimed.

    A line claims for its phase, and then for the whole: `last` takes its last claim.
    """
    read = [(at, re.search(r": (\d+) %, (.*?) left(?:, (.*) for the)?", line)) for at, line in lines]
    read = [(at, found[1], found[3] if last and found[3] else found[2]) for at, found in read if found]
    ratios = []
    for mark in MARKS:
        later = [(at, claim) for at, _, claim in read if at - begin >= mark * (end - begin) and at < end]
        ratios.append(_seconds(later[0][1]) / (end - later[0][0]) if later else None)
    return max((percent for _, percent, _ in read), key=int, default=""), ratios


def _seconds(text):
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) (h|min|s)", text))
