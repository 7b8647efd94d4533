"""`kernelfit bench`: the same problem, the same threads, one solver after the other, each in a process of its own."""

import dataclasses
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from kernelfit import backend
from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.files import written
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_positive
from kernelfit.experiments import peers
from kernelfit.records.record import append_json, now
from kernelfit.solvers.planning.rates import measure_gemm

SCHEMA = "kernelfit.bench/1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchSpec:
    """What to compare: the options of `kernelfit bench`.

    contenders () stands for all that are installed and run on a CPU.
    """

    data: str = "mnist"
    sizes: tuple = (2000, 4000, 8000)
    bandwidth: float = 5.0
    contenders: tuple = ()
    scratch: str | None = None
    data_dir: str | None = None

    def __post_init__(self):
        for name in self.contenders:
            if name not in peers.CONTENDERS:
                known = ", ".join(peers.CONTENDERS)
                raise InputError(f"contender {name!r}; known are {known}{suggestion(name, peers.CONTENDERS)}")
        if not self.sizes or min(self.sizes) < 2:
            raise InputError(f"sizes {self.sizes}; give numbers of training points, at least 2 each")
        check_positive("bandwidth", self.bandwidth)

    def command(self):
        """Return the command line that repeats the benchmark."""
        words = ["kernelfit", "bench", "--data", self.data, "--n", *map(str, self.sizes)]
        words += ["--bandwidth", str(self.bandwidth)]
        words += [word for name in self.contenders for word in ("--contender", name)]
        return shlex.join([*words, *(["--scratch", self.scratch] if self.scratch else [])])


def run_bench(spec, *, runs=None, progress=None):
    """Run every contender at every size; yield rows, each also appended to bench.jsonl in the folder `runs`.

    A row is a dict: contender, n, either "skipped" (why) or what kernelfit.experiments.peers.measure returns, and
    gemm_rate, the float64 matrix-product rate measured just before, in operations per second.
    """
    progress = progress or Progress()
    chosen = spec.contenders or tuple(name for name in peers.CONTENDERS if name != "cuml")
    shared = {"schema": SCHEMA, "created": now(), "data": str(spec.data), "bandwidth": spec.bandwidth}
    shared["command"] = spec.command()
    shared["environment"] = backend.describe()
    with progress.phase("bench", sum(n**3 for n in spec.sizes) * len(chosen)) as advance:
        for n in spec.sizes:
            for name in chosen:
                about = {"contender": name, "note": peers.CONTENDERS[name].note, "n": n}
                row = shared | about | _run(name, n, spec)
                if runs is None:
                    yield row
                else:
                    yield from written(row, append_json, Path(runs) / "bench.jsonl", row)
                advance(n**3)


def _run(name, n, spec):
    contender = peers.CONTENDERS[name]
    if not contender.installed:
        return {"skipped": f"{contender.module} is not installed"}
    needed, free = 8 * n * n * contender.squares + 1e9, backend.free_memory()
    if needed > free:
        return {"skipped": f"needs about {needed / 1e9:.1f} GB of {free / 1e9:.1f} GB"}
    rate = measure_gemm(2048)
    task = peers.Task(name, str(spec.data), n, spec.bandwidth, spec.data_dir, spec.scratch)
    command = [sys.executable, "-m", "kernelfit.experiments.peers", json.dumps(dataclasses.asdict(task))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode < 0:
        return {"skipped": f"killed by {signal.Signals(-done.returncode).name}"}
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        return {"skipped": reason[-1] if reason else f"ended with exit code {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1]) | {"gemm_rate": rate}
