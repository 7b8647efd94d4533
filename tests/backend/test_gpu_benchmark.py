"""The program for a GPU runs where there is none, so that it works on the day that there is one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
PARTS = ["gemm", "blocks", "gram", "solve", "large", "small", "factor"]


def run(*arguments):
    return subprocess.run([sys.executable, PROGRAM, *arguments], capture_output=True, text=True, timeout=300)


@pytest.mark.heavy
def test_every_part_runs_on_the_stand_in(tmp_path):
    results = tmp_path / "results" / "gpu.jsonl"
    done = run("--smoke", "--results", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[3:] for line in done.stdout.splitlines() if line.startswith("## ")] == PARTS
    assert not any(word in done.stdout for word in ("failed", "Error", "nan")), done.stdout
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert list(dict.fromkeys(line["part"] for line in lines)) == PARTS
    assert all(line["environment"]["gpu"] == "stand-in" and "error" not in line for line in lines)
    factors = next(line["measured"] for line in lines if line["part"] == "factor")
    assert all("rate" in measured for measured in factors)
    small = [(line["way"]["precision"], line["way"]["storage"]) for line in lines if line["part"] == "small"]
    assert small == [("mixed", "memory"), ("float64", "host"), ("mixed", "host")]


@pytest.mark.heavy
def test_a_part_alone_writes_nothing_in_a_smoke_run(tmp_path):
    before = PROGRAM.parent / "results" / "gpu.jsonl"
    size = before.stat().st_size if before.exists() else None
    done = run("--smoke", "--parts", "gemm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "products of pixels, float32 | exact" in done.stdout
    assert (before.stat().st_size if before.exists() else None) == size
