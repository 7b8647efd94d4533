"""Runs that are killed and resumed, each in a process of its own: `python -m tests.support.killed_runs MODE FOLDER
SEED`.

Processes are forked, which is safe only where no thread runs, so not in the process of the tests. Prints one JSON line
with what happened.
"""

import itertools
import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from kernelfit.backend import CPU
from kernelfit.solvers import out_of_core
from kernelfit.solvers.out_of_core import OutOfCorePanels
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.scratch import Scratch
from tests.support.problems import as_gram, symmetric_matrix

FOLDER = "kernelfit-factor"
N, WIDTH = 60, 12
K = as_gram(symmetric_matrix(N, 1e3)[0])
Y = np.random.default_rng(0).standard_normal((N, 2))
IDENTITY = {"n": N, "width": WIDTH, "dtype": "float64"}
PHASES = ("begin", "factor", "solve", "finish")
_PHASE, _MADE, _FOUND = range(3)


def factor_and_solve(folder, shared):
    """The run that is killed; notes in `shared` its phase, the panels made and those found."""
    panels = OutOfCorePanels(N, WIDTH, np.float64, CPU, Scratch(folder, IDENTITY, CPU, resume=True))
    shared[_FOUND] = shared[_MADE] = panels.finished
    shared[_PHASE] = PHASES.index("factor")
    close = panels.close

    def counted_close(j, panel):
        shared[_MADE] = j + 1
        close(j, panel)

    panels.close = counted_close
    factor = cholesky(K, panels=panels)
    shared[_PHASE] = PHASES.index("solve")
    coef = factor.solve(Y)
    shared[_PHASE] = PHASES.index("finish")
    panels.finish()
    return coef.tobytes()


def forked(folder, shared, result, prepare=lambda: None):
    """Start factor_and_solve in a child that writes its answer to the file `result`."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        prepare()
        answer = factor_and_solve(folder, shared)
        Path(result).write_bytes(answer)
        code = 0
    finally:
        os._exit(code)


def killed(child):
    """Wait for a child; return whether it was killed. Any other failure is one."""
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"a run ended with status {status}"
    return False


def slow_down(random_state):
    """Make arithmetic and the disk slow enough that a kill at a random moment hits every phase."""
    gemm, unlink = CPU.gemm, os.unlink

    def late(function, most):
        def wait(*arguments, **options):
            time.sleep(random_state.uniform(0, most))
            return function(*arguments, **options)

        return wait

    CPU.gemm = late(gemm, 3e-4)
    os.fsync, os.unlink = late(lambda number: None, 4e-3), late(unlink, 4e-3)


def at_random(folder, shared, result, rng, kills=40):
    """Kill at random moments until `kills` have been counted; return kills by phase, runs that ended, worst loss."""
    by_phase, ended, most_lost, made = dict.fromkeys(PHASES, 0), 0, 0, 0
    while sum(by_phase.values()) < kills:
        shared[_PHASE] = shared[_FOUND] = shared[_MADE] = 0
        child = forked(folder, shared, result, lambda: slow_down(random.Random(rng.random())))
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        was_killed = killed(child)
        if shared[_PHASE]:
            most_lost, made = max(most_lost, made - shared[_FOUND]), shared[_MADE]
        if was_killed:
            by_phase[PHASES[shared[_PHASE]]] += 1
        else:
            ended += 1
            check_end(folder, result)
        if PHASES[shared[_PHASE]] == "finish":
            made = 0  # its answer is known, and its panels may be gone
    killed(forked(folder, shared, result))
    check_end(folder, result)
    return {"by_phase": by_phase, "ended": ended, "most_lost": most_lost}


def at_every_event(folder, shared, result):
    """Kill a fresh run at its first touch of a file, the next at its second, and so on; each is resumed to its end."""
    for kills in itertools.count():
        child = forked(folder, shared, result, lambda left=kills: kill_after(left))
        if not killed(child):
            check_end(folder, result)
            return {"kills": kills}
        assert not killed(forked(folder, shared, result))
        check_end(folder, result)


def kill_after(left):
    """Kill this process at the next touch of a file after `left` of them, in whatever thread."""
    watched = {"open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock"}

    def count(event, arguments):
        nonlocal left
        if event in watched and not (event == "open" and arguments and arguments[1] in ("r", "rb")):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = lambda number: count("open", ())
    sys.addaudithook(count)


def check_end(folder, result):
    """A run that ends leaves the answer of an undisturbed one, and no folder."""
    expected = Path(folder) / "expected"
    if not expected.exists():
        expected.write_bytes(Path(result).read_bytes())
    assert Path(result).read_bytes() == expected.read_bytes(), "another answer"
    Path(result).unlink()
    assert not (Path(folder) / "kernelfit-factor").exists()


if __name__ == "__main__":
    mode, place, seed = sys.argv[1:]
    os.fsync = lambda number: None  # a kill is no power failure: what was written is there
    out_of_core.PIECE = 100  # many pieces
    cholesky(K).solve(Y)  # imports what every child needs; its threads have ended
    memory = mmap.mmap(-1, 16)
    answer = os.path.join(place, "answer")
    assert not killed(forked(place, memory, answer))
    check_end(place, answer)
    run = at_random if mode == "random" else at_every_event
    print(json.dumps(run(place, memory, answer, *([random.Random(int(seed))] if mode == "random" else []))))
