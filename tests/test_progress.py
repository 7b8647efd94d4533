"""Progress: the remaining time is right on a made-up clock, and each stream gets the form that suits it."""

import io

import pytest

from kernelfit.progress import BarProgress, LogProgress, Progress, make_progress


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
    stream = Terminal()
    progress = BarProgress(stream)
    for name in ("factor", "solve"):
        with progress.phase(name, 10.0) as advance:
            advance(2.5)
            progress.note("kept [bold]as written[/bold] 12")
            advance(7.5)
    with pytest.raises(KeyboardInterrupt), progress.phase("broken off", 10) as advance:
        raise KeyboardInterrupt
    assert stream.getvalue().count("kept [bold]as written[/bold] 12") == 2
    assert "factor" in stream.getvalue() and "solve" in stream.getvalue()


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
