"""Progress: the remaining time is right on a made-up clock, and each stream gets the form that suits it."""

import io
import re
import time

import pytest

from kernelfit.backend import CPU
from kernelfit.common.progress import BarProgress, LogProgress, Progress, make_progress
from kernelfit.common.spans import spans
from kernelfit.solvers.panel_cholesky import work_of_panels


class Clock:
    """A clock that moves only when told."""

    def __init__(self):
        self.seconds = 1000.0  # a monotonic clock starts anywhere

    def __call__(self):
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def log():
    """(LogProgress with a line every 5 s, its clock, a function that returns the lines so far)."""
    stream, clock = io.StringIO(), Clock()
    return LogProgress(stream, every=5.0, clock=clock), clock, lambda: stream.getvalue().splitlines()


def test_a_line_every_few_seconds_with_the_time_that_is_left(log):
    progress, clock, lines = log
    with progress.phase("factor", 20) as advance:
        for _ in range(20):  # one unit a second: at second 5 a quarter is done, and 15 s are left
            clock.seconds += 1
            advance(1)
    assert lines() == [
        "factor: 25 %, 15 s left",
        "factor: 50 %, 10 s left",
        "factor: 75 %, 5 s left",
        "factor: 100 %, 0 s left",
        "factor: done in 20 s",
    ]


def test_the_remaining_time_scales_with_the_work_not_with_the_calls(log):
    progress, clock, lines = log
    with progress.phase("factor", 3600.0) as advance:
        clock.seconds += 60
        advance(30.0)  # half a unit a second: 3570 units take 7140 s
        clock.seconds += 60
        advance(1770.0)  # half is done after 120 s
    assert lines()[:2] == ["factor: 1 %, 1 h 59 min left", "factor: 50 %, 2 min 00 s left"]


def test_many_small_steps_do_not_flood_the_log(log):
    progress, clock, lines = log
    with progress.phase("gram", 10_000) as advance:
        for _ in range(10_000):
            clock.seconds += 2**-7  # exact in binary: 78.1 s in all, 15 whole spans of 5 s
            advance(1)
    assert len(lines()) == 15 + 1


def test_work_shorter_than_a_line_says_nothing(log):
    progress, clock, lines = log
    with progress.phase("short", 2) as advance:
        clock.seconds += 4
        advance(2)
    assert lines() == []


def test_a_slow_start_with_nothing_done_divides_by_nothing(log):
    progress, clock, lines = log
    with progress.phase("slow", 4) as advance:
        clock.seconds += 10
        advance(0)
        assert lines() == []
        clock.seconds += 10
        advance(1)
    assert lines()[0] == "slow: 25 %, 1 min 00 s left"
    with progress.phase("empty", 0) as advance:
        clock.seconds += 10
        advance(0)


def test_each_kind_of_work_has_its_own_pace(log):
    progress, clock, lines = log
    with progress.phase("factor", {"make": 10, "multiply": 1000}) as advance:
        for _ in range(10):
            clock.seconds += 6
            advance(1, kind="make")
            clock.seconds += 1
            advance(100, kind="multiply")
    # After 6 s nothing is said: no multiplications were seen.
    assert lines()[:2] == ["factor: 10 %, 1 min 03 s left", "factor: 19 %, 57 s left"]
    assert lines()[-2:] == ["factor: 99 %, 1 s left", "factor: done in 1 min 10 s"]


def test_what_an_earlier_run_did_says_nothing_of_the_pace(log):
    progress, clock, lines = log
    with progress.phase("factor", 100, done=80) as advance:
        for _ in range(20):
            clock.seconds += 5
            advance(1)
    assert lines()[0] == "factor: 81 %, 1 min 35 s left"
    assert lines()[-2:] == ["factor: 100 %, 0 s left", "factor: done in 1 min 40 s"]
    with progress.phase("nothing is left", {"make": 3, "multiply": 5}, done={"make": 3, "multiply": 5}):
        clock.seconds += 5


def test_no_line_passes_100_percent_and_none_reaches_it_early(log):
    progress, clock, lines = log
    with progress.phase("factor", 1000) as advance:
        for amount in (990, 9, 1, 500):
            clock.seconds += 5
            advance(amount)
    assert [line.split(",")[0] for line in lines()[:-1]] == [f"factor: {p} %" for p in (99, 99, 100, 100)]


def test_work_that_may_end_early_is_told_so(log):
    progress, clock, lines = log
    with progress.phase("training", 20, at_most=True) as advance:
        clock.seconds += 5
        advance(1, "loss 0.5")
        clock.seconds += 2
        advance(1, "loss 0.4")
        clock.seconds += 3
        advance(1)  # the words last until there are others
    assert lines() == [
        "training: 5 %, at most 1 min 35 s left; loss 0.5",
        "training: 15 %, at most 57 s left; loss 0.4",
        "training: done in 10 s",
    ]


def test_the_whole_is_foreseen_by_the_plan_and_by_how_it_fares(log):
    progress, clock, lines = log
    progress.expect("solve", [("factor", 10.0), ("product", 5.0), ("product", 5.0)])
    for name in ("allocate", "factor", "product", "product", "product"):
        with progress.phase(name, 2) as advance:  # 20 s each
            for _ in range(2):
                clock.seconds += 10
                advance(1)
    claims = [line for line in lines() if "50 %" in line]
    # 20 s in all were planned. Of the factor 10 s are left, and 20 + 20 s begun stand against 10 s: the rest of 10 s
    # will take 10 (40 + 20) / (10 + 20) s. In the end three times as much was begun as planned.
    assert claims == [
        "allocate: 50 %, 10 s left",
        "factor: 50 %, 10 s left, 30 s for the solve",
        "product: 50 %, 10 s left, 21 s for the solve",
        "product: 50 %, 10 s left",
        "product: 50 %, 10 s left",
    ]


@pytest.mark.parametrize("making", [0.0, 1.0, 8.0])
def test_the_factor_of_60000_points_is_foreseen_within_a_quarter(log, making):
    """The panels of a real factorisation, where making an entry takes up to 8 ns, a multiplication in a solve twice as
    long as in a product, and one on the diagonal ten times.

    Besides, the first block waits 2 s for its code to be compiled.
    """
    progress, clock, _ = log
    n, seconds = 60_000, {"entries": making * 1e-9, "products": 2e-11, "blocks": 2e-10, "solves": 4e-11}
    bounds = spans(0, n, CPU.panel)
    start, told = clock.seconds, []
    progress.note = lambda line: told.append((clock.seconds, line))
    with progress.phase("factor", work_of_panels(n, bounds, CPU)) as advance:
        for j, panel in enumerate(bounds):
            for kind, amount in work_of_panels(n, [panel], CPU).items():
                clock.seconds += 2.0 * (j == 0 and kind == "entries")
                for _ in range(j if kind == "products" else 1):
                    part = amount / j if kind == "products" else amount
                    clock.seconds += part * seconds[kind]
                    advance(part, kind=kind)
    end = clock.seconds
    whole, claims = end - start, [(at - start, _seconds_left(line)) for at, line in told[:-1]]
    assert whole > 600 and len(claims) > 60
    for at, left in claims:
        bound = 0.25 if at > 0.1 * whole else 0.5  # the first seconds are those of compilation
        # The last claims are of a few seconds, told in whole ones.
        assert abs(left - (whole - at)) <= bound * (whole - at) + 0.5, (at, left, whole - at)


def _seconds_left(line):
    found = re.search(r"%, (?:(\d+) min )?(\d+) s left", line)
    return 60 * int(found[1] or 0) + int(found[2])


def test_a_phase_that_fails_is_not_called_done(log):
    progress, clock, lines = log
    with pytest.raises(KeyboardInterrupt), progress.phase("factor", 2) as advance:
        clock.seconds += 6
        advance(1)
        raise KeyboardInterrupt
    assert lines() == ["factor: 50 %, 6 s left"]


def test_notes_and_phases_follow_each_other(log):
    progress, clock, lines = log
    progress.note("kernel gaussian, n = 60,000")
    for name in ("first", "second"):
        with progress.phase(name, 2) as advance:
            clock.seconds += 5
            advance(1)
    assert lines()[0] == "kernel gaussian, n = 60,000"
    assert [line for line in lines() if "50 %" in line] == ["first: 50 %, 5 s left", "second: 50 %, 5 s left"]


def test_a_bar_on_a_terminal_draws_and_prints_notes_as_they_are(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream, clock = Terminal(), Clock()
    progress = BarProgress(stream, clock)
    progress.expect("solve", [("factor", 3000.0), ("kernel product", 3000.0)])
    for name in ("factor", "kernel product"):
        with progress.phase(name, 10.0) as advance:
            clock.seconds += 1000
            advance(2.5)
            time.sleep(0.3)  # it is drawn ten times a second
            progress.note("kept [bold]as written[/bold] 12")
            clock.seconds += 3000
            advance(7.5)
    with pytest.raises(KeyboardInterrupt), progress.phase("broken off", 10) as advance:
        raise KeyboardInterrupt
    assert stream.getvalue().count("kept [bold]as written[/bold] 12") == 2
    for words in ("factor", "kernel product", "25 %, 50 min 00 s left, 1 h 45 min for the solve", "100 %, 0 s left"):
        assert words in stream.getvalue()


def test_silent_progress_takes_everything_and_says_nothing(capfd):
    progress = Progress()
    progress.note("nothing")
    with progress.phase("quiet", 10) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("quiet", "stream", "expected"),
    [
        (False, Terminal, BarProgress),
        (False, io.StringIO, LogProgress),
        (True, Terminal, Progress),
        (True, io.StringIO, Progress),
    ],
)
def test_make_progress_looks_at_the_stream(quiet, stream, expected):
    assert type(make_progress(quiet, stream())) is expected


def test_make_progress_writes_to_standard_error_unless_told(capsys):
    make_progress().note("one sentence")
    assert capsys.readouterr() == ("", "one sentence\n")
