"""Is the time that is left what progress says? Claims against the truth, in real solves of MNIST.

    python benchmarks/progress.py                              n = 20,000 in float64 and mixed precision: 3 minutes
    python benchmarks/progress.py mixed --n 60000              one of them, larger: 10 minutes

Reads the lines that a person would see, and prints for every phase of 3 seconds and more, and for the whole solve, the
time left that was claimed after 10, 25, 50 and 75 % of its time, divided by the time that really was left; the bar is
0.75 to 1.25. Other work on the machine changes its speed meanwhile: run it alone, or with --cpu, which judges the
phases by CPU seconds (the whole solve is planned in others). Needs MNIST (KERNELFIT_DATA).
"""

import argparse
import contextlib
import json
import re
import time

import common
from common import table

from kernelfit.common.progress import LogProgress

PRECISIONS = ["float64", "mixed"]
MARKS = (0.1, 0.25, 0.5, 0.75)
SHORTEST = 3.0  # seconds: a line has whole seconds
WHOLE = "the whole solve"
_UNITS = {"h": 3600, "min": 60, "s": 1}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("precisions", nargs="*", choices=[*PRECISIONS, []], help="default: both")
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--cpu", action="store_true", help="count CPU seconds: other work on the machine matters less")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _, precision, n, clock = options.child
        print(json.dumps(claims(precision, int(n), getattr(time, clock))))
        return
    common.describe("Progress", {})
    clock = "process_time" if options.cpu else "monotonic"
    for precision in options.precisions or PRECISIONS:
        found = common.child(__file__, "claims", precision, options.n, clock)
        print(f"\n## MNIST, n = {options.n:,}, {precision}: claimed / true time left\n")
        seconds = "CPU seconds" if options.cpu else "seconds"
        header = ["", seconds, "most percent", *(f"after {100 * mark:.0f} %" for mark in MARKS)]
        rows = [row for row in found if not (options.cpu and row[0] == WHOLE)]
        table(header, [[name, f"{seconds:.1f}", *words] for name, seconds, words in rows])


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


def claims(precision, n, clock):
    """Solve; return [name, seconds, table cells] of the phases and of the solve."""
    from kernelfit.experiments.solve import SolveSpec, run_solve

    reader = Reader(clock)
    run_solve(SolveSpec(data="mnist", n_train=n, bandwidth=5.0, precision=precision), progress=reader)
    phases = [phase for phase in reader.phases if phase[2] - phase[1] >= SHORTEST]
    # The last phase of the solve does not name it: what is left of one is what is left of the other.
    whole = [line for phase in reader.phases if phase[1] >= reader.begin for line in phase[3]]
    phases.append((WHOLE, reader.begin, reader.phases[-1][2], whole))
    return [[name, end - begin, _cells(lines, begin, end, last=name == WHOLE)] for name, begin, end, lines in phases]


def _cells(lines, begin, end, *, last):
    """Return the largest percentage, and claimed by true time left at each mark.

    A line claims for its phase, and then for the whole: `last` takes its last claim.
    """
    read = [(at, re.search(r": (\d+) %, (.*?) left(?:, (.*) for the)?", line)) for at, line in lines]
    read = [(at, found[1], found[3] if last and found[3] else found[2]) for at, found in read if found]
    cells = [max((f"{int(percent)}" for _, percent, _ in read), key=int, default="")]
    for mark in MARKS:
        later = [(at, claim) for at, _, claim in read if at - begin >= mark * (end - begin) and at < end]
        cells.append(f"{_seconds(later[0][1]) / (end - later[0][0]):.2f}" if later else "")
    return cells


def _seconds(text):
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) (h|min|s)", text))


if __name__ == "__main__":
    main()
