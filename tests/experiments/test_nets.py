import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

from kernelfit.experiments.nets import NetSpec, run_net, run_nets
from kernelfit.records.nets import NetRecord, read_nets

from kernelfit import cli
from kernelfit.analysis.learning_order import load_correctness
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.solve import SolveSpec, run_solve

SMALL = {"model": "mlp(hidden=[32])", "n_train": 200, "n_test": 50, "lr": 0.05, "batch": 32, "lr_decay": 1.0}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("pixels", ["true", "shuffled", "random", "gaussian"])
def test_nets_and_kernels_see_the_same_bytes(pixels):
    setting = {"labels": "0.5", "pixels": pixels, "seed": 3, "n_train": 100, "n_test": 30}
    solved, _ = run_solve(SolveSpec(**setting, kernel="linear", ridge=1.0))
    trained, _ = run_net(NetSpec(**SMALL | setting, epochs=1))
    assert trained.corruption == solved.corruption and trained.dataset == solved.dataset


def test_a_run_is_recorded_with_all_that_repeats_and_plots_it():
    spec = NetSpec(**SMALL, labels="0.4", seed=1, epochs=300)
    record, net = run_net(spec, runs="runs")
    assert read_nets("runs/nets.jsonl") == {record.identity: NetRecord.from_json(record.to_json())}
    assert record.train_error == record.train_error_clean == record.train_error_corrupted == record.recovered == 0
    assert record.stopped_by == "accuracy" and record.time_to_fit["epochs"] == record.epochs and not record.warnings
    assert record.parameters == sum(p.numel() for p in net.parameters()) == 64 * 32 + 32 + 320 + 10
    assert record.input_shape == [1, 8, 8] and record.training["lr"] == 0.05 and record.training["crop"] == 28
    assert {len(column) for column in record.curve.values()} == {record.epochs}
    assert record.curve["test_accuracy"][-1] == pytest.approx(1 - record.test_error)
    assert record.train_margins["negative"] == 0
    data = load("digits", n_train=200, n_test=50, seed=1)
    correct = load_correctness(f"runs/{record.learning['file']}")
    assert correct.shape == (record.epochs, len(data.y_train))
    np.testing.assert_allclose(correct.mean(axis=1), record.curve["accuracy"])
    assert record.learning["first_learnt_clean"] < record.learning["first_learnt_corrupted"], "true labels come first"
    again, _ = run_net(spec)
    assert again.curve["loss"] == record.curve["loss"] and again.identity == record.identity
    assert again.learning == record.learning | {"file": None}


def test_a_table_of_one_column_is_learnt_and_its_test_split_measured_alike():
    """Two classes on both sides of 100; were the test split standardised by itself, most of it would be wrong."""
    rng = np.random.default_rng(0)
    y_train, y_test = np.arange(80) % 2, np.repeat([0, 1], [10, 90])
    X_train, X_test = (100 + np.where(y, 1, -1) + rng.uniform(-0.9, 0.9, len(y)) for y in (y_train, y_test))
    np.savez("table.npz", X_train=X_train[:, None], y_train=y_train, X_test=X_test[:, None], y_test=y_test)
    spec = NetSpec(**SMALL | {"n_train": None, "n_test": None}, data="./table.npz", epochs=50)
    record, _ = run_net(spec)
    assert record.train_error == 0 and record.test_error < 0.05 and record.training["whiten"]
    raw, _ = run_net(dataclasses.replace(spec, whiten=False, epochs=1))
    assert raw.train_error > 0.3  # 100 and a little, as it is


def test_the_identity_is_that_of_what_decides():
    spec = NetSpec(**SMALL)
    same = NetSpec(**SMALL, device="cpu", checkpoint_every=1.0, test_every=0)
    assert spec.identity("bytes") == same.identity("bytes") != spec.identity("other bytes")
    assert spec.identity("bytes") != NetSpec(**SMALL, momentum=0.5).identity("bytes")


def test_the_learning_rate_is_the_papers_unless_given():
    assert NetSpec(model="inception(batch_norm=False)").lr == 0.1
    assert NetSpec(model="alexnet").lr == NetSpec().lr == 0.01
    assert NetSpec(model="inception", lr=0.3).lr == 0.3


def test_a_budget_too_small_is_a_warning():
    record, _ = run_net(NetSpec(**SMALL, labels="random", epochs=1))
    assert record.time_to_fit is None and "never reached 100 %" in record.warnings[0]
    record, _ = run_net(NetSpec(**SMALL | {"lr": 1e30}, epochs=2))
    assert record.stopped_by == "diverged" and "smaller learning rate" in record.warnings[0]
    assert record.train_error == 1 and json.loads(record.to_json())["train_loss"] is None


@pytest.mark.parametrize("wrong", [{"labels": "2"}, {"seed": -1}, {"batch": 0}])
def test_options_are_checked_before_the_data_are_loaded(wrong):
    with pytest.raises(InputError):
        NetSpec(data="no such data", **wrong)


ARGUMENTS = ["nn", "train", "--model", "mlp(hidden=[16])", "--n-train", "100", "--n-test", "50", "--lr", "0.1"]


def test_the_command_prints_records_saves_and_plots(capsys, tmp_path):
    assert cli.main([*ARGUMENTS, "--save", "net.pt", "--plot", "curves.svg", "--labels", "random"]) == 0
    out, err = capsys.readouterr()
    assert "test error" in out and "fitted after" in out and "weights written to net.pt" in err
    (record,) = read_nets("runs/nets.jsonl").values()
    assert cli.main([*record.command.split()[1:3], *record_arguments(record), "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out)["curve"]["loss"] == record.curve["loss"]
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    import torch

    assert sum(w.numel() for w in torch.load("net.pt", weights_only=True).values()) == record.parameters
    assert sorted(path.suffix for path in (tmp_path / "runs" / "nets").iterdir()) == [".npz"], "no checkpoint is left"


def record_arguments(record):
    import shlex

    return shlex.split(record.command)[3:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "alexnett"], "did you mean 'alexnet'"),
        (["--labels", "2"], "0 to 1"),
        (["--save", "net.npz"], ".pt"),
        (["--plot", "net.txt"], ".svg"),
        (["--dropout", "1"], "dropout"),
    ],
)
def test_usage_errors_exit_with_2(capsys, arguments, message):
    assert cli.main(["nn", "train", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_missing_torch_is_one_line_and_nothing_else_needs_it():
    program = (
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch': raise ImportError('No module named torch')\n"
        "sys.meta_path.insert(0, Finder)\n"
        "from kernelfit import cli\n"
        "assert cli.main(['solve', '--n-train', '100', '--n-test', '20', '--quiet', '--bandwidth', '1']) == 0\n"
        "assert cli.main(['nn', '--help']) == 0\n"
        "sys.exit(cli.main(['nn', 'train', '--quiet']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'kernelfit[nn]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_only_training_loads_torch():
    program = (
        "import sys, kernelfit.nn, kernelfit.experiments.nets, kernelfit.report.nets, kernelfit.cli\n"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_several_nets_are_recorded_as_single_runs():
    specs = [NetSpec(**SMALL, labels=level, seed=seed, epochs=3) for seed in (0, 1) for level in ("true", "0.5")]
    made = [record for record, _ in run_nets(specs, runs="runs")]
    alone = [run_net(spec)[0] for spec in specs]
    assert [(record.identity, record.curve["loss"]) for record in made] == [
        (record.identity, record.curve["loss"]) for record in alone
    ]
    assert len(read_nets("runs/nets.jsonl")) == 4 and not list(Path("runs/nets").glob("*.pt"))


@pytest.mark.parametrize("model", ["mlp(hidden=[16])", "alexnet(width=0.05)"])
def test_the_command_trains_several(capsys, model):
    several = ["--labels", "true", "0.5", "--seeds", "2", "--epochs", "1"]
    assert cli.main(["nn", "train", "--model", model, "--n-train", "60", "--n-test", "30", *several, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    seen = [(record["seed"], record["corruption"]["labels"]) for record in records]
    assert seen == [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.5)] and len(read_nets("runs/nets.jsonl")) == 4
    for arguments, message in (([*several, "--save", "net.pt"], "one net"), (["--seeds", "0"], "--seeds")):
        assert cli.main(["nn", "train", *arguments]) == 2
        assert message in capsys.readouterr().err
