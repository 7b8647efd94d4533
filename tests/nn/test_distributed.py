import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch

from kernelfit.experiments.registry import read_records
from tests.support.team_of_nets import COMMAND, RUNS, STOP_AFTER, outcome

pytestmark = pytest.mark.heavy

# Two processes add the gradients of their shares: the same float32 terms in another order, 1e-7 of them in a step.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}


def torchrun(folder):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    process = subprocess.Popen(
        [*command, "-m", "tests.support.team_of_nets", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        out, err = process.communicate(timeout=300)  # some seconds on a machine that has nothing else to do
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends its processes
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """(folder, what was printed, outcomes) of two processes."""
    if not torch.distributed.is_available():
        pytest.skip("this PyTorch was built without torch.distributed")
    folder = tmp_path_factory.mktemp("team")
    done = torchrun(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, torch.load(folder / "outcomes.pt", weights_only=True)


@pytest.mark.parametrize("model", RUNS)
def test_two_processes_make_the_net_of_one(together, model):
    two, one = together[2][model], outcome(model, RUNS[model])
    torch.testing.assert_close(two["weights"], one["weights"], **CLOSE)
    np.testing.assert_allclose(two["losses"], one["losses"], **CLOSE)
    np.testing.assert_allclose(two["margins"], one["margins"], rtol=1e-2, atol=1e-3)
    for name in ("packed", "predicted", "wrong", "bounded"):
        assert two[name] == one[name], name
    assert two["ended"] == tuple(one["ended"])
    for name, column in one["curve"].items():
        np.testing.assert_allclose(np.array(two["curve"][name], float), np.array(column, float), **CLOSE, err_msg=name)
    assert one["bounded"] == [None, one["wrong"]] and one["wrong"] > 0


def test_a_stopped_team_goes_on_with_the_same_bits(together):
    whole, resumed = together[2]["stopped"]
    assert resumed["resumed"] == [STOP_AFTER - 1] and whole["resumed"] == [], "a checkpoint at every second step"
    assert torch.equal(whole["weights"], resumed["weights"])
    for name in set(whole) - {"weights", "resumed"}:
        assert whole[name] == resumed[name], name


def test_what_a_team_refuses(together):
    batch_norm, batch = together[2]["refused"]
    assert "batch normalisation" in batch_norm and "15" in batch and "2 processes" in batch


def test_the_command_records_once(together, tmp_path, monkeypatch, capsys):
    from kernelfit import cli

    folder, printed, _ = together
    (record,) = read_records(folder / "runs")
    assert len((folder / "runs" / "records.jsonl").read_text().splitlines()) == 1
    assert printed.count("test error") == 1 and record.environment["processes"] == 2
    assert printed.count('"row": "mlp1x512-none"') == 1 and len(read_records(folder / "study")) == 1
    assert cli.main([*COMMAND, "--runs", str(tmp_path)]) == 0
    (alone,) = read_records(tmp_path)
    assert alone.id == record.id and alone.environment["processes"] == 1
    assert (alone.results.test_error, alone.results.train_error) == (
        record.results.test_error,
        record.results.train_error,
    )
    np.testing.assert_allclose(alone.results.curve["loss"], record.results.curve["loss"], **CLOSE)


def test_a_process_that_fails_ends_all():
    done = torchrun("fail")
    assert done.returncode != 0 and "StopError" in done.stderr and "waited for" not in done.stdout
