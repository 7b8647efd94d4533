"""Which labels are wrong: replaced ones are found by a ranking that knows nothing of them."""

import dataclasses

import numpy as np
import pytest

from kernelfit import load_dataset
from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.corruption import corrupt_labels
from kernelfit.experiments.label_issues import LabelIssuesSpec, found_wrong, run_label_issues
from kernelfit.experiments.registry import read_records


@pytest.fixture(scope="module")
def found():
    return run_label_issues(LabelIssuesSpec(labels="0.1")).results


def test_replaced_labels_are_found(found):
    """The target on the digits, all of them, is 0.999; at chance it would be 0.5, and the precision 0.09."""
    assert found.auc > 0.999 and found.average_precision > 0.99
    data = load_dataset("digits")
    y, _ = corrupt_labels(data.y_train, 10, 0.1)
    for each in found.issues:
        assert each.label == str(y[each.index]) and each.true == str(data.y_train[each.index])
        assert all(point.label == str(y[point.index]) for point in each.against)
    assert len(found.issues) == 20 and sum(each.true != each.label for each in found.issues) == 20
    assert [each["index"] for each in found.pictures] == [each.index for each in found.issues[:12]]
    assert [each["index"] for each in found.against] == [each.against[0].index for each in found.issues[:12]]


def test_the_ranking_does_not_know_which_labels_were_replaced(found, tmp_path):
    """The same labels, given as if they were true, get the same ranking; and no area, as there is nothing to find."""
    data = load_dataset("digits")
    y, _ = corrupt_labels(data.y_train, 10, 0.1)
    arrays = {"X_train": data.X_train, "y_train": y, "X_test": data.X_test, "y_test": data.y_test}
    np.savez(tmp_path / "given.npz", **arrays)
    given = run_label_issues(LabelIssuesSpec(data=str(tmp_path / "given.npz"))).results
    assert given.ridge == found.ridge and given.kernel == found.kernel
    assert given.auc is None and given.average_precision is None
    assert [(each.index, each.score) for each in given.issues] == [(each.index, each.score) for each in found.issues]


def test_a_ridge_or_a_bandwidth_that_is_given_is_used():
    results = run_label_issues(LabelIssuesSpec(labels="0.1", n_train=200, ridge=0.5)).results
    assert results.ridge == 0.5 and results.choice["n"] == 200
    results = run_label_issues(LabelIssuesSpec(labels="0.1", n_train=200, bandwidth=2.0)).results
    assert "2.0" in results.kernel and {each["bandwidth"] for each in results.choice["candidates"]} == {None}


def test_examples_of_a_subset_have_their_numbers_in_the_whole_split():
    data = load_dataset("digits")
    results = run_label_issues(LabelIssuesSpec(n_train=150, seed=3, bandwidth=1.5, show=15)).results
    for each in results.issues:
        assert each.label == str(data.y_train[each.index])
        assert all(point.label == str(data.y_train[point.index]) for point in each.against)
    assert [each["index"] for each in results.pictures] == [each.index for each in results.issues[:12]]


def test_area_and_precision_are_those_of_the_mask():
    @dataclasses.dataclass
    class Ranked:
        rows: np.ndarray
        scores: np.ndarray

    ranked = Ranked(np.array([2, 0, 1]), np.array([-1.0, 0.0, 1.0]))
    assert found_wrong(ranked, np.array([False, False, True])) == {"auc": 1.0, "average_precision": 1.0}
    assert found_wrong(ranked, np.array([False, True, False])) == {
        "auc": 0.0,
        "average_precision": pytest.approx(1 / 3),
    }
    assert found_wrong(ranked, np.zeros(3, bool)) == {"auc": None, "average_precision": None}


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    some = ["label-issues", "--labels", "0.1", "--n-train", "150", "--n-test", "10", "--show", "4", "--quiet"]
    assert main([*some, "-o", "issues.md"]) == 0
    assert "area under the ROC" in " ".join(capsys.readouterr().out.split())
    assert "| example | label |" in (tmp_path / "issues.md").read_text()
    [record] = read_records("runs")
    assert record.kind == "label_issues" and record.command.startswith("kernelfit label-issues ")
    assert main(["report", "--quiet"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert "What speaks against them" in page and record.results.pictures[0]["png"] in page


@pytest.mark.parametrize("wrong", [{"labels": "2"}, {"ridge": -1.0}, {"ridge": "some"}, {"show": 0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError):
        run_label_issues(LabelIssuesSpec(**{"n_train": 50} | wrong))
