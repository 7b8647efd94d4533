"""The likelihood of labels under a Gaussian process: that of scikit-learn, largest for true labels, and the norm's."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from kernelfit import datasets
from kernelfit.cli import main
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets.labels import one_hot
from kernelfit.experiments.likelihood import LikelihoodSpec, run_likelihood
from kernelfit.experiments.registry import read_records
from kernelfit.experiments.solve import SolveSpec, run_solve

N, BANDWIDTH = 400, 1.5
OPTIONS = {"n_train": N, "n_test": 50, "bandwidth": BANDWIDTH, "seeds": 2}


@pytest.fixture(scope="module")
def found():
    return run_likelihood(LikelihoodSpec(**OPTIONS, labels=(0, 0.5, 1))).results


def in_order(results):
    return {(row.level, row.seed): row for row in results.rows}


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_it_is_the_likelihood_of_scikit_learn(ridge):
    """Both factor the same matrix of condition 1e5 in float64: the terms agree to 1e-10, their sum to 1e-8."""
    results = run_likelihood(LikelihoodSpec(**OPTIONS, labels=(0, 1), ridge=ridge)).results
    data = datasets.load("digits", n_train=N, n_test=50)
    X = data.X_train.reshape(N, -1) / 255
    for (level, seed), row in in_order(results).items():
        Y = one_hot(corrupt_labels(data.y_train, 10, level, seed=seed)[0], 10)
        for column, own in zip(Y.T, row.per_output, strict=True):
            process = GaussianProcessRegressor(RBF(BANDWIDTH, "fixed"), alpha=ridge, optimizer=None).fit(X, column)
            assert own == pytest.approx(process.log_marginal_likelihood(process.kernel_.theta), rel=1e-8)
        process = GaussianProcessRegressor(RBF(BANDWIDTH, "fixed"), alpha=ridge, optimizer=None).fit(X, Y)
        assert row.log_likelihood == pytest.approx(process.log_marginal_likelihood(process.kernel_.theta), rel=1e-8)
        assert row.log_likelihood == pytest.approx(sum(row.per_output), rel=1e-12)


def test_true_labels_are_the_likeliest_and_random_ones_the_least(found):
    rows = in_order(found)
    assert set(rows) == {(0, 0), (0.5, 0), (0.5, 1), (1, 0), (1, 1)}
    for seed in (0, 1):
        likelihoods = [rows[level, seed * (level > 0)].log_likelihood for level in (0, 0.5, 1)]
        assert likelihoods == sorted(likelihoods, reverse=True) and len(set(likelihoods)) == 3


def test_without_a_ridge_it_says_what_the_norm_says(found):
    """log p(Y) + |f|^2 / 2 is the same for all labels, the norm that of a solve of these labels."""
    rest = [row.log_likelihood + row.norm**2 / 2 for row in found.rows]
    np.testing.assert_allclose(rest, -5 * (found.log_determinant + N * np.log(2 * np.pi)), rtol=1e-10)
    record, _ = run_solve(SolveSpec(n_train=N, n_test=50, bandwidth=BANDWIDTH, labels="random"))
    assert in_order(found)[1, 0].norm == pytest.approx(record.results.norm, rel=1e-9)
    assert in_order(found)[1, 0].labels_changed == record.results.corruption["labels_changed"]


def test_the_determinant_is_that_of_the_matrix(found):
    X = datasets.load("digits", n_train=N).X_train.reshape(N, -1) / 255
    squared = ((X[:, None] - X) ** 2).sum(axis=2)
    sign, expected = np.linalg.slogdet(np.exp(-squared / (2 * BANDWIDTH**2)))
    assert sign == 1 and found.log_determinant == pytest.approx(expected, rel=1e-10) and found.n == N


def test_copies_count_once_and_contradictions_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), np.arange(40) % 2
    copies = {"X_train": np.vstack([X, X[:5]]), "y_train": np.append(y, y[:5]), "X_test": X, "y_test": y}
    np.savez(tmp_path / "copies.npz", **copies)
    options = {"data": str(tmp_path / "copies.npz"), "bandwidth": 0.5, "seeds": 1}
    assert run_likelihood(LikelihoodSpec(**options, labels=(0,))).results.n == 40
    with pytest.raises(SingularMatrixError):
        run_likelihood(LikelihoodSpec(**options, labels=(0, 1)))


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    some = ["--n-train", "100", "--n-test", "20", "--bandwidth", "1", "--labels", "0", "1", "--seeds", "1", "--quiet"]
    assert main(["likelihood", *some, "-o", "l.svg", "-o", "l.md"]) == 0
    assert "The larger, the likelier" in " ".join(capsys.readouterr().out.split())
    assert "<svg" in (tmp_path / "l.svg").read_text() and "| labels replaced |" in (tmp_path / "l.md").read_text()
    [record] = read_records("runs")
    assert main(["likelihood", *some, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["id"] == record.id and again["results"] == dataclasses.asdict(record.results)
    assert main(["report", "--quiet"]) == 0 and "Likelihood under" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("wrong", [{"labels": ()}, {"labels": (2.0,)}, {"seeds": 0}, {"ridge": -1.0}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError):
        LikelihoodSpec(**OPTIONS | wrong)
