import io

import pytest
from rich.console import Console

from kernelfit.experiments.ridge_path import RidgePathResult, RidgeRow, verdict
from kernelfit.report.ridge_path import plot_ridge_path, positions, ridge_table


def result(loo=(0.02, 0.02, 0.03), test=(0.0125, 0.0124, 0.2), ridges=(0.0, 1e-8, 1.0)):
    rows = [
        RidgeRow(
            ridge=ridge,
            train_error=0.0,
            test_error=test[k],
            loo_error=loo[k],
            loo_squared_error=loo[k],
            test_corrected=3 * k,
            test_broken=2 * k,
            norm=145.1024 - k,
            norm_pm1=292.0 - k,
            norm_disagreement=1e-15,
            relative_residual=10.0 ** (k - 14),
            way="",
        )
        for k, ridge in enumerate(ridges)
    ]
    shared = {"dataset": {"name": "mnist"}, "n_train": 60_000, "n_test": 10_000, "kernel": "gaussian(bandwidth=5.0)"}
    shared |= {
        "method": "refactoring",
        "reason": "asked for",
        "seconds": {"total": 75.0},
        "warnings": ["too few digits"],
    }
    return RidgePathResult(rows, shared | verdict(rows))


def printed(result):
    stream = io.StringIO()
    Console(file=stream, width=80).print(ridge_table(result))
    return stream.getvalue()


def test_the_table_fits_a_terminal_and_tells_the_outcome():
    text = printed(result())
    assert "…" not in text
    rows = [line.split() for line in text.splitlines() if "0.00" in line.split()]
    assert rows[0] == ["*", "0", "0.00", "2.00", "1.25", "145.102", "292"]
    assert rows[1] == ["1e-08", "0.00", "2.00", "1.24", "3,", "2", "144.102", "291"]
    words = " ".join(text.split())
    assert "a larger ridge does not improve leave-one-out, which would choose 0 (*)" in words
    assert "in hindsight the test error is 1.24 % at 1e-08 instead of 1.25 %" in words
    assert "3 ridges by refactoring in 1 min 15 s (asked for); relative residuals up to 1.0e-12" in words
    assert "warning: too few digits" in words


def test_the_table_without_leave_one_out_and_with_one_that_improves():
    # Of verdict() only the error matters here.
    words = " ".join(printed(result(loo=(0.02, 0.01, 0.03), test=(0.1, 0.1, 0.1))).split())
    assert "a larger ridge improves leave-one-out, which would choose 1e-08 (*); none improves the test error" in words
    text = printed(result(loo=(None, None, None)))
    assert "leave-one-out was not asked for (--loo)" in " ".join(text.split()) and "*" not in text


@pytest.mark.parametrize(
    ("ridges", "expected"),
    [([0.0, 1e-8, 1.0], [1e-9, 1e-8, 1.0]), ([1e-3, 1.0], [1e-3, 1.0]), ([0.0, 1e-300], [1e-301, 1e-300])],
)
def test_zero_stands_a_decade_below_the_first(ridges, expected):
    assert positions(ridges) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loo", [(0.02, 0.02, 0.03), (None, None, None)])
@pytest.mark.parametrize("ridges", [(0.0, 1e-8, 1.0), (1e-3, 1e-2, 1e4)])
def test_the_figure_names_every_ridge_and_has_the_same_bytes(tmp_path, loo, ridges):
    made = result(loo=loo, ridges=ridges)
    texts = [plot_ridge_path(made, tmp_path / name).read_text() for name in ("a.svg", "b.svg")]
    assert texts[0] == texts[1]
    for ridge in ridges:
        assert f">{ridge:g}</text>" in texts[0]
    assert ("leave-one-out" in texts[0]) is (loo[0] is not None)
