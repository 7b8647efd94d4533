"""The processes of one mpiexec: one leads, the others follow; what fails in one ends all, with one message.

The leader runs the program. What concerns all it announces by name, and every process, itself included, calls the
method of that name of its own share of the problem. So the same lines of kernelfit that solve on one machine run in the
leader, over objects whose work is shared.
"""

import dataclasses
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from kernelfit.common.errors import (
    InputError,
    KernelfitError,
    MissingLibraryError,
    NotEnoughMemoryError,
    SingularMatrixError,
)

_TOLD = 0.5  # seconds that mpiexec gets to pass on our last words before an abort ends it too
_WAIT = 1e-3  # seconds between looks at whether there is something to do: waiting inside of MPI would take a whole core
# Of MPICH. Our own message says more than its own at an abort. A process that has waited a while sleeps for moments:
# one that only spins, where others want the cores too, uses up the time in which it should compute. Measured, with two
# processes beside others on 2 cores: a factorisation at 25 GFLOP/s instead of 4 to 9.
_SETTINGS = {"MPIR_CVAR_SUPPRESS_ABORT_MESSAGE": "1", "MPIR_CVAR_ENABLE_HEAVY_YIELD": "1"}
T = TypeVar("T")
_BEGIN, _STOP = "begin", "stop"


class Team:
    """All processes that mpiexec started, numbered from 0; number 0 leads.

    Parameters
    ----------
    make_share : callable
        (team, **arguments) -> the share of this process, an object with the methods that are announced.

    Attributes
    ----------
    world, host : mpi4py communicators
        Of all processes, and of those on the same host.
    rank, size : int
    is_root : bool
    library : str
        The MPI library and its version.
    """

    world: Any
    host: Any
    rank: int
    size: int
    is_root: bool
    library: str
    _open: ClassVar["Team | None"] = None

    def __init__(self, make_share: Callable[..., Any]):
        if Team._open:
            raise InputError(
                "an Mpi() is open already, and takes all processes; end its block before another is opened"
            )
        MPI = _mpi()
        self.world = MPI.COMM_WORLD
        self.host = self.world.Split_type(MPI.COMM_TYPE_SHARED)
        self.rank, self.size = self.world.rank, self.world.size
        self.is_root = self.rank == 0
        self.library = " ".join(MPI.Get_library_version().splitlines()[0].split())
        self._make_share, self._shares = make_share, dict[int, Any]()
        self._begun, self._ended = 0, list[int]()
        Team._open = self

    @property
    def is_open(self) -> bool:
        """Whether the processes are together."""
        return Team._open is self

    def leave(self) -> None:
        """Free what this process has of all problems; the processes are no longer together."""
        self._shares.clear()
        self.host.Free()
        Team._open = None

    def begin(self, **arguments: Any) -> "Shares":
        """Let every process make its share of a problem, in the leader; those of problems that have ended are freed."""
        self._begun, ended, self._ended = self._begun + 1, self._ended, []
        arguments = {"ended": ended, "arguments": arguments}
        self._announce(_BEGIN, self._begun, 0, arguments)
        self._run(_BEGIN, self._begun, (), arguments)
        return Shares(self, self._begun)

    def follow(self) -> None:
        """Do what the leader announces until it stops; raises the error that it stopped with."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the leader ends the others
        try:
            self._follow()
        finally:
            signal.signal(signal.SIGINT, before)

    def _follow(self):
        while True:
            request = self.world.Ibarrier()
            while not request.Test():
                time.sleep(_WAIT)
            name, number, count, arguments = self.world.bcast(None)
            if name == _STOP:
                if arguments["error"]:
                    raise _rebuilt(arguments["error"])
                return
            try:
                self._run(name, number, (None,) * count, arguments)
            except Exception as error:
                if not getattr(error, "agreed", False):
                    raise

    def stop(self, error: BaseException | None = None) -> None:
        """Let the followers go, in the leader; they raise `error` too."""
        self._announce(_STOP, 0, 0, {"error": error and _described(error)})

    def cores(self) -> int:
        """Return the cores of this host for each of its processes, at least one."""
        affinity = getattr(os, "sched_getaffinity", lambda pid: range(os.cpu_count() or 1))
        cores = set().union(*self.host.allgather(set(affinity(0))))
        return max(1, len(cores) // self.host.size)

    def agree(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Return work(...), which no other process takes part in; where it fails, all raise the same error."""
        failure = None
        try:
            result = work(*arguments, **options)
        except Exception as error:
            failure = _described(error, None if self.is_root else self._place())
        failures = [found for found in self.world.allgather(failure) if found]
        if failures:
            raise _rebuilt(failures[0])
        return result

    def _announce(self, name, number, count, arguments):
        if not self.is_root:
            raise InputError(
                "this process follows the first one, which alone goes on: write `if solver.is_root:` inside of "
                "`with Mpi().opened() as solver:`"
            )
        if not self.is_open:
            raise InputError("the block of Mpi().opened() has ended, and the processes with it; do this inside of it")
        self.world.Ibarrier().Wait()
        self.world.bcast((name, number, count, arguments))

    def _run(self, name, number, own, arguments):
        try:
            if name != _BEGIN:
                return getattr(self._shares[number], name)(*own, **arguments)
            for ended in arguments["ended"]:
                del self._shares[ended]
            self._shares[number] = self._make_share(self, **arguments["arguments"])
        except BaseException as error:
            if not getattr(error, "agreed", False):
                self._abort(error)
            raise

    def _abort(self, error):
        """End all processes at once: the others are in the middle of something that needs this one."""
        interrupted = isinstance(error, KeyboardInterrupt)
        if not isinstance(error, KernelfitError | MemoryError | OSError | KeyboardInterrupt):
            traceback.print_exception(error)
        reason = "interrupted" if interrupted else f"{self._place()}: {type(error).__name__}: {error}"
        print(f"kernelfit: {reason}; all processes end", file=sys.stderr, flush=True)
        time.sleep(_TOLD)
        self.world.Abort(130 if interrupted else 1)

    def _place(self):
        return f"process {self.rank} of {self.size} on {platform.node()}"


@dataclasses.dataclass(frozen=True)
class Shares:
    """The shares of one problem, in all processes: several may be open at a time.

    Attributes
    ----------
    team : Team
    number : int
        Of the problem.
    """

    team: Team
    number: int

    def call(self, name: str, *own: Any, **arguments: Any) -> Any:
        """Call a method of every share, in the leader; return what its own returns.

        `own` are for the leader's share alone, the others get None; `arguments` are small, and sent to all.
        """
        if self.team.is_open and self.number not in self.team._shares:
            raise InputError("this factor was closed, and its memory is free in all processes")
        self.team._announce(name, self.number, len(own), arguments)
        return self.team._run(name, self.number, own, arguments)

    def end(self) -> None:
        """Let all processes free their shares when the next problem begins: what is asked until then is answered."""
        self.team._ended.append(self.number)


def _mpi():
    """Import mpi4py, which starts MPI; raises MissingLibraryError, which every process prints, if one has none."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # no mpi4py, or no MPI library
        raise MissingLibraryError(
            f"Mpi() needs mpi4py and an MPI library ({error}): pip install 'kernelfit[mpi]'"
        ) from error
    return MPI


def _described(error, place=None):
    """Return an error as (class, message, keywords), which can be sent; see _rebuilt."""
    kind, message, keywords = type(error), str(error), {}
    if isinstance(error, SingularMatrixError):
        keywords = {"row": error.row, "pivot": error.pivot, "duplicate": error.duplicate}
    elif isinstance(error, MemoryError) and not isinstance(error, KernelfitError):
        kind, message = NotEnoughMemoryError, f"memory ran out where it should have sufficed: {message}"
    elif not isinstance(error, KernelfitError | KeyboardInterrupt):
        at = traceback.extract_tb(error.__traceback__)[-1]
        kind, message = KernelfitError, f"{kind.__name__}: {message} ({at.filename}, line {at.lineno})"
    return kind, message if place is None else f"{place}: {message}", keywords


def _rebuilt(described):
    """Return the error, marked as known to all processes: only the leader has to print it."""
    kind, message, keywords = described
    error = kind(message, **keywords)
    error.agreed = True
    return error
