import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

from kernelfit import cli
from kernelfit.analysis.learning_order import load_correctness
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.net import NetSpec, run_net, run_nets
from kernelfit.experiments.registry import read_records
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
    assert trained.results.corruption == solved.results.corruption and trained.dataset == solved.dataset


def test_a_run_is_recorded_with_all_that_repeats_and_plots_it():
    spec = NetSpec(**SMALL, labels="0.4", seed=1, epochs=300)
    record, net = run_net(spec, runs="runs")
    assert read_records("runs").records == [record] and record.id == spec.identity()
    results = record.results
    assert results.train_error == results.train_error_clean == results.train_error_corrupted == results.recovered == 0
    assert results.stopped_by == "accuracy" and results.time_to_fit["epochs"] == results.epochs and not record.warnings
    assert results.parameters == sum(p.numel() for p in net.parameters()) == 64 * 32 + 32 + 320 + 10
    assert results.input_shape == [1, 8, 8] and results.training["lr"] == 0.05 and results.training["crop"] == 28
    assert {len(column) for column in results.curve.values()} == {results.epochs}
    assert all(value == float(f"{value:.6g}") for value in results.curve["loss"] + results.step_curve["loss"])
    assert results.curve["test_accuracy"][-1] == pytest.approx(1 - results.test_error)
    assert results.train_margins["negative"] == 0
    data = load("digits", n_train=200, n_test=50, seed=1)
    correct = load_correctness(f"runs/{results.learning['file']}")
    assert correct.shape == (results.epochs, len(data.y_train))
    np.testing.assert_allclose(correct.mean(axis=1), results.curve["accuracy"], rtol=1e-5)
    assert results.learning["first_learnt_clean"] < results.learning["first_learnt_corrupted"], "true labels first"
    again, _ = run_net(NetSpec.of_command(record.command))
    assert again.results.curve["loss"] == results.curve["loss"] and again.id == record.id
    assert again.results.learning == results.learning | {"file": None}


def test_a_table_of_one_column_is_learnt_and_its_test_split_measured_alike():
    """Two classes on both sides of 100; were the test split standardised by itself, most of it would be wrong."""
    rng = np.random.default_rng(0)
    y_train, y_test = np.arange(80) % 2, np.repeat([0, 1], [10, 90])
    X_train, X_test = (100 + np.where(y, 1, -1) + rng.uniform(-0.9, 0.9, len(y)) for y in (y_train, y_test))
    np.savez("table.npz", X_train=X_train[:, None], y_train=y_train, X_test=X_test[:, None], y_test=y_test)
    options = SMALL | {"n_train": None, "n_test": None, "data": "./table.npz"}
    results = run_net(NetSpec(**options, epochs=50))[0].results
    assert results.train_error == 0 and results.test_error < 0.05 and results.training["whiten"]
    raw = run_net(NetSpec(**options, whiten=False, epochs=1))[0].results
    assert raw.train_error > 0.3  # 100 and a little, as it is


def test_the_identity_is_that_of_what_decides():
    same = NetSpec(**SMALL, device="cpu", checkpoint_every=1.0, test_every=0)
    assert NetSpec(**SMALL).identity() == same.identity() != NetSpec(**SMALL, momentum=0.5).identity()


def test_the_learning_rate_is_the_papers_unless_given():
    assert NetSpec(model="inception(batch_norm=False)").lr == NetSpec(model="inception(batch_norm = False)").lr == 0.01
    assert NetSpec(model="alexnet").lr == NetSpec().lr == 0.01
    assert NetSpec(model="inception", lr=0.3).lr == 0.3


def test_a_budget_too_small_is_a_warning():
    record, _ = run_net(NetSpec(**SMALL, labels="random", epochs=1))
    assert record.results.time_to_fit is None and "never reached 100 %" in record.warnings[0]
    record, _ = run_net(NetSpec(**SMALL | {"lr": 1e30}, epochs=2))
    assert record.results.stopped_by == "diverged" and "smaller learning rate" in record.warnings[0]
    assert record.results.train_error == 1 and record.results.train_loss is None


def test_nan_is_no_class_and_a_last_step_can_diverge():
    small = {"data": "digits", "n_test": 20, "lr": 1e38}
    record, _ = run_net(NetSpec(**small, n_train=200, batch=8, model="mlp(hidden=[16])", seed=1))
    assert record.results.learning["never_learnt"] >= 1 - 8 / 200, "but in the first step"
    record, _ = run_net(NetSpec(**small, n_train=50, batch=1000, model="mlp1x512", epochs=1))
    assert record.results.stopped_by == "diverged", "the loss of the one step was a number"


@pytest.mark.parametrize("wrong", [{"labels": "2"}, {"seed": -1}, {"batch": 0}, {"resize": 9}], ids=str)
def test_options_are_checked_before_the_data_are_loaded(wrong):
    with pytest.raises(InputError):
        NetSpec(data="no such data", **wrong)


def test_several_nets_are_recorded_as_single_runs():
    specs = [NetSpec(**SMALL, labels=level, seed=seed, epochs=3) for seed in (0, 1) for level in ("true", "0.5")]
    made = [record for record, _ in run_nets(specs, runs="runs")]
    assert [record.id for record in made] == [spec.identity() for spec in specs]
    alone = [run_net(spec)[0] for spec in specs]
    assert [each.results.curve["loss"] for each in made] == [each.results.curve["loss"] for each in alone]
    assert len(read_records("runs")) == 4 and not list(Path("runs/nets").glob("*.pt")), "no checkpoint is left"


def test_what_is_recorded_is_not_trained_again():
    specs = [NetSpec(**SMALL, labels=level, epochs=2) for level in ("true", "0.5")]
    [(first, _)] = run_nets(specs[:1], runs="runs")
    (kept, net), (second, trained) = run_nets(specs, runs="runs", resume=True)
    assert kept == first and net is None and trained is not None and second.spec["labels"] == "0.5"
    assert len(read_records("runs")) == 2
    assert len(list(run_nets(specs, runs="runs"))) == 2 and len(read_records("runs")) == 4, "without resume it is"


def test_a_net_of_ones_own_is_trained_again_once_its_file_has_changed(monkeypatch):
    def write(width):
        Path("own_net.py").write_text(
            "from torch import nn\n"
            "def net(input_shape, n_classes):\n"
            f"    return nn.Sequential(nn.Flatten(), nn.Linear(64, {width}), nn.Linear({width}, n_classes))\n"
        )
        sys.modules.pop("own_net", None)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec, made = NetSpec(**SMALL | {"model": "own_net:net"}, epochs=1), []
    for width in (8, 8, 9):
        write(width)
        [(record, net)] = run_nets([spec], runs="runs", resume=True)
        made.append((record.results.code, net is None))
    (first, kept), (second, again), (third, no) = made
    assert first == second != third and (kept, again, no) == (False, True, False)
    assert (
        len(list(Path("runs/nets").glob("*.npz"))) == 2 and run_net(NetSpec(**SMALL, epochs=1))[0].results.code is None
    )
    sys.modules.pop("own_net", None)


def test_what_killed_runs_left_goes_with_the_checkpoint():
    run_net(NetSpec(**SMALL, epochs=1), runs="runs")
    [of_epochs] = Path("runs/nets").glob("*.npz")
    left = [Path(f"runs/nets/.{name}.pt.7-abcd.part") for name in (of_epochs.stem, "another")]
    for part in left:
        part.write_bytes(b"cut off")
    run_net(NetSpec(**SMALL, epochs=1), runs="runs")
    assert [part.exists() for part in left] == [False, True]


def test_the_checkpoint_outlives_whoever_wants_the_weights():
    """A full disk at --save must not lose the net that was trained: the run can be gone on with."""
    spec = NetSpec(**SMALL, epochs=2)
    with pytest.raises(OSError, match="full"):
        for _, net in run_nets([spec], runs="runs"):
            trained = {name: value.clone() for name, value in net.state_dict().items()}
            raise OSError("full")
    assert list(Path("runs/nets").glob("*.pt"))
    [(_, again)] = run_nets([spec], runs="runs", resume=True)
    assert all((again.state_dict()[name] == value).all() for name, value in trained.items())
    assert not list(Path("runs/nets").glob("*.pt")) and len(read_records("runs").latest("net")) == 1


ARGUMENTS = ["nn", "train", "--model", "mlp(hidden=[16])", "--n-train", "60", "--n-test", "30", "--epochs", "2"]


def test_the_command_prints_a_record_for_each_saves_and_plots(capsys):
    assert cli.main([*ARGUMENTS, "--save", "net.pt", "--plot", "curves.svg", "-o", "t.md", "--labels", "random"]) == 0
    out, err = capsys.readouterr()
    [record] = read_records("runs")
    assert "test error" in out and "weights written to net.pt" in err and record.spec["labels"] == "random"
    assert "<svg" in Path("curves.svg").read_text() and "test error" in Path("t.md").read_text()
    import torch

    weights = torch.load("net.pt", weights_only=True).values()
    assert sum(each.numel() for each in weights) == record.results.parameters
    several = ["--labels", "true", "0.5", "--seeds", "2", "--json", "--quiet"]
    assert cli.main([*ARGUMENTS, *several]) == 0
    out, err = capsys.readouterr()
    seen = [(each["results"]["seed"], each["spec"]["labels"]) for each in map(json.loads, out.splitlines())]
    assert seen == [(0, "true"), (0, "0.5"), (1, "true"), (1, "0.5")] and len(read_records("runs")) == 5
    assert all("never reached" in line for line in err.splitlines())
