"""Contenders of a benchmark without a process for each, which takes seconds to begin."""

import json
import subprocess

from kernelfit.experiments import bench, peers


def measure_here(monkeypatch):
    """Have contenders measured in this process, and matrix products not at all."""

    def here(command, **_):
        task = peers.Task(**json.loads(command[-1]))
        return subprocess.CompletedProcess(command, 0, json.dumps(peers.measure(task)), "")

    monkeypatch.setattr(bench.subprocess, "run", here)
    monkeypatch.setattr(bench, "measure_gemm", lambda n: 1e10)
