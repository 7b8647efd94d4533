"""The benchmark of a GPU runs where there is none, on a bare checkout: it is to work on the day that there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import PARTS

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "benchmarks" / "gpu.py"
BARE = ("pywt", "cyclopts", "rich", "matplotlib", "msgspec")  # what a rented machine may lack


def run(*arguments, forbidden=(), **environment):
    program = f"""
import importlib.metadata, runpy, sys
sys.modules.update(dict.fromkeys({forbidden!r}))
sys.argv = [{str(PROGRAM)!r}, *{arguments!r}]
sys.path[0] = {str(PROGRAM.parent)!r}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, cwd=PROGRAM.anchor)


@pytest.mark.heavy
def test_every_part_runs_on_the_stand_in_on_a_bare_checkout(tmp_path):
    done = run("--smoke", "--results", str(tmp_path), forbidden=BARE, PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(word in done.stdout for word in ("failed", "Error", "nan")), done.stdout
    titles = re.findall(r"^### (\w+)", done.stdout, re.M)
    assert list(dict.fromkeys(titles[1:])) == list(PARTS)
    assert "gpu | stand-in" in done.stdout and "products of pixels | 0 (target <= 0)" in done.stdout
    small = re.findall(r"### small: .*?factor in \| (\w+), (\w+)", done.stdout, re.S)
    assert small == [("mixed", "memory"), ("float64", "host"), ("mixed", "host")]
    assert (tmp_path / "gpu.md").read_text().count("### ") == len(titles)
    assert os.listdir(tmp_path) == ["gpu.md"]


def test_missing_images_are_told_before_anything_runs(tmp_path):
    done = run("--parts", "gemm", KERNELFIT_DATA=str(tmp_path), HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    if (ROOT / "data" / "mnist").exists():
        pytest.skip("MNIST lies in this checkout")
    assert done.returncode == 1 and not done.stdout
    assert str(tmp_path / "mnist") in done.stderr and "KERNELFIT_DATA" in done.stderr
