"""Hard examples of the kernel beside those of nets, trained ones and some that are made up."""

import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr

from kernelfit.analysis.learning_order import load_correctness, save_correctness
from kernelfit.cli import main
from kernelfit.common.errors import DataError, InputError
from kernelfit.datasets import load
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.hardness import GROUPS, HardnessSpec, run_hardness
from kernelfit.experiments.registry import read_records
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian

pytest.importorskip("torch")
SIZES = {"n_train": 120, "n_test": 30}
KERNEL = {**SIZES, "bandwidth": 1.5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of runs with two nets on true labels, and one on labels of which some are replaced."""
    from kernelfit.experiments.net import NetSpec, run_net

    folder = tmp_path_factory.mktemp("runs")
    small = {**SIZES, "model": "mlp(hidden=[16])", "epochs": 12, "stop_when_fitted": False, "lr": 0.05, "test_every": 0}
    for options in ({}, {"weight_decay": 0.01}, {"labels": "0.4"}):
        run_net(NetSpec(**small, **options), runs=folder)
    return folder


def kernel_margins():
    data = load("digits", **SIZES)
    K = gram(data.X_train, Gaussian(1.5)).block((0, 120), (0, 120))
    inverse = np.linalg.inv(K)
    left_out = one_hot(data.y_train, 10) - inverse @ one_hot(data.y_train, 10) / np.diag(inverse)[:, None]
    own = left_out[np.arange(120), data.y_train]
    left_out[np.arange(120), data.y_train] = -np.inf
    return own - left_out.max(axis=1)


def test_correlations_are_those_of_scipy_on_the_margins_of_a_dense_inverse(trained):
    found = run_hardness(HardnessSpec(**KERNEL, nets=str(trained))).results
    margin = kernel_margins()
    assert len(found.nets) == 2 and found.n == 120, "the third net saw other labels"
    nets = read_records(trained).of("net")
    for each in found.nets:
        record = next(record for record in nets if record.id == each.net)
        correct = load_correctness(trained / record.results.learning["file"])
        wrong_until = np.array([max([0, *(np.flatnonzero(~column) + 1)]) for column in correct.T])
        assert each.learnt_for_good == pytest.approx(spearmanr(-margin, wrong_until).statistic)
        events = (np.diff(correct.astype(int), axis=0) < 0).sum(axis=0)
        ever = correct.any(axis=0)
        assert each.forgetting == pytest.approx(spearmanr(-margin, np.where(ever, events, 1000)).statistic)
        assert each.corrupted is None and each.clean == each.learnt_for_good
        assert np.mean(each.epoch_by_group) == pytest.approx(np.mean(wrong_until + 1)), "groups of twelve"
    assert found.margin_by_group == sorted(found.margin_by_group, reverse=True) and len(found.margin_by_group) == GROUPS
    assert found.loo_error == np.mean(margin < 0)


def test_a_net_that_was_trained_twice_counts_once(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "runs")
    file = folder / "records.jsonl"
    file.write_text(2 * file.read_text())
    found, expected = (run_hardness(HardnessSpec(**KERNEL, nets=str(where))).results for where in (folder, trained))
    assert len(found.nets) == 2 and found.among_nets == expected.among_nets < 1


def test_a_net_that_learns_in_the_order_of_the_margins_agrees_wholly(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "runs")
    order = np.argsort(np.argsort(-kernel_margins()))
    records = [record for record in read_records(folder).of("net") if record.results.corruption["labels"] == 0]
    for record, sign in zip(records, (1, -1), strict=True):
        rank = order if sign > 0 else 119 - order
        correct = np.arange(121)[:, None] > rank  # from epoch rank + 2 on
        save_correctness(folder / record.results.learning["file"], np.packbits(correct, axis=1), 120)
    found = run_hardness(HardnessSpec(**KERNEL, nets=str(folder))).results
    assert [each.learnt_for_good for each in found.nets] == pytest.approx([1, -1])
    assert [each.first_learnt for each in found.nets] == pytest.approx([1, -1])
    assert [each.forgetting for each in found.nets] == [None, None], "nothing is forgotten"
    assert found.among_nets == pytest.approx(-1)


def test_wrong_labels_are_hard_for_both(trained):
    [net] = run_hardness(HardnessSpec(**KERNEL, labels="0.4", nets=str(trained))).results.nets
    assert net.learnt_for_good > 0.1 and None not in (net.clean, net.corrupted)


def test_without_such_a_net_it_says_how_to_train_one(trained, tmp_path, capsys):
    with pytest.raises(InputError, match="nn train --data digits --n-train 120 --n-test 30 --labels random --seed 0"):
        run_hardness(HardnessSpec(**KERNEL, labels="random", nets=str(trained)))
    assert main(["hardness", "--bandwidth", "2", "--nets", str(tmp_path / "none"), "--runs", str(tmp_path)]) == 2
    assert "Train one: kernelfit nn train" in capsys.readouterr().err


def test_what_is_damaged_is_named(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "runs")
    [record, *_] = read_records(folder).of("net")
    (folder / record.results.learning["file"]).write_bytes(b"no file of NumPy's")
    with pytest.raises(DataError, match="no correctness"):
        run_hardness(HardnessSpec(**KERNEL, nets=str(folder)))
