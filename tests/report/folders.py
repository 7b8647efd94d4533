"""Folders of Records to be shown: lines of every kind, made up, and some that a real run wrote."""

import base64
import io
import json
import tempfile
from pathlib import Path

from PIL import Image

from kernelfit.experiments.registry import read_records


def png():
    content = io.BytesIO()
    Image.new("L", (8, 8), 200).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


SHARED = {"created": "2026-01-02T03:04:05+00:00", "n_train": 1000, "n_test": 200, "n_classes": 10}
SHARED |= {"dataset": {"asked": "digits", "name": "digits"}, "seconds": {"total": 2.5}, "environment": {}}
HISTOGRAM = {"low": -1.0, "high": 1.0, "counts": [1, 2, 3, 4]}
EXAMPLE = {"index": 3, "label": "4", "predicted": "9", "png": png()}


def solve(**changes):
    line = SHARED | {
        "schema": "kernelfit.record/1",
        "version": "0.1.0",
        "command": "kernelfit solve --data digits",
        "d": 64,
        "kernel": "gaussian(bandwidth=1.2345678)",
        "bandwidth_choice": None,
        "features": "pixels",
        "corruption": {"labels": 0.0, "pixels": "true", "seed": 0, "labels_changed": 0},
        "ridge": 0.0,
        "method": "panel Cholesky in float64, in memory",
        "precision": "float64",
        "device": "cpu",
        "seed": 0,
        "train_error": 0.0,
        "test_error": 0.0333,
        "loo_error": None,
        "norm": 21.8,
        "norm_pm1": 45.6,
        "norm_per_output": [],
        "norm_pm1_per_output": [],
        "norm_disagreement": 1e-15,
        "condition_estimate": None,
        "smallest_pivot": 0.1,
        "solver": None,
        "augmentation": None,
        "relative_residual": 2e-15,
        "warnings": [],
        "gflops": 50.0,
        "gemm_gflops": 60.0,
        "peak_bytes": 300_000_000,
        "histograms": {"train_margins": HISTOGRAM, "test_margins": HISTOGRAM, "loo_residuals": HISTOGRAM},
        "pictures": {"misclassified": [EXAMPLE], "memorised": [EXAMPLE | {"true": "1"}], "filters": png()},
    }
    return line | changes


def sweep(**changes):
    command = "kernelfit sweep --data digits"
    line = SHARED | {"schema": "kernelfit.sweep/1", "command": command, "kernels": {"true": "gaussian(bandwidth=1.0)"}}
    line |= {"method": "panels", "relative_residual": 1e-14, "pixels": "true", "level": 0.5, "seed": 0}
    line |= {
        "train_error": 0.0,
        "test_error": 0.4,
        "loo_error": 0.6,
        "recovered": 0.5,
        "norm": 100.0,
        "norm_pm1": 200.0,
    }
    return line | {"test_margins": {"mean": 0.1}} | changes


def ridge(**changes):
    line = SHARED | {"schema": "kernelfit.ridge/1", "command": "kernelfit solve --ridge 0 1e-3 1", "features": "gabor"}
    line |= {"kernel": "gaussian(bandwidth=1.0)", "method": "refactoring", "reason": "asked for", "warnings": []}
    line |= {"chosen_by_loo": 0.0, "loo_improves": False, "test_improves": False, "ridge": 0.0, "train_error": 0.0}
    line |= {
        "test_error": 0.03,
        "loo_error": 0.02,
        "test_corrected": 1,
        "test_broken": 2,
        "norm": 20.0,
        "norm_pm1": 40.0,
    }
    return line | {"relative_residual": 1e-14} | changes


def interpolant(**changes):
    line = SHARED | {"schema": "kernelfit.interpolants/1", "command": "kernelfit interpolants", "centres": 1000}
    line |= {"kernel": "gaussian(bandwidth=1.0)", "name": "minimum", "labels": "true", "norm": 20.0, "norm_pm1": 40.0}
    line |= {"ratio": 1.0, "test_error": 0.03, "relative_residual": 1e-14, "condition": 1e6, "failed": ""}
    return line | changes


def section5(**changes):
    line = {"schema": "kernelfit.section5/1", "row": "mnist-gabor", "scale": "full", "created": SHARED["created"]}
    line |= {"command": "kernelfit reproduce section5 --rows mnist-gabor", "dataset": "mnist", "n_train": 60_000}
    line |= {"n_test": 10_000, "features": "gabor", "kernel": "gaussian(bandwidth=4.5)", "ridge": 0.0, "seconds": 606.0}
    return line | {"test_error": 0.0042, "loo_error": None, "norm": 184.1, "norm_pm1": 369.2} | changes


def bench(**changes):
    line = {"schema": "kernelfit.bench/1", "created": SHARED["created"], "command": "kernelfit bench", "data": "mnist"}
    line |= {"bandwidth": 5.0, "contender": "scipy", "note": "", "n": 2000, "seconds": 1.5, "peak_bytes": 100_000_000}
    return line | {"test_error": 0.05, "relative_residual": 1e-15, "gemm_rate": 5e10} | changes


def fit(**changes):
    line = {
        "schema": "kernelfit.fit/1",
        "command": "kernelfit randomize",
        "identity": "a",
        "created": SHARED["created"],
        "estimator": "Tree()",
    }
    line |= {"version": "0.1.0", "labels_changed": 5, "data": {"name": "digits", "test_set": "given"}, "n_train": 100}
    line |= {"n_test": 20, "n_classes": 10, "level": 1.0, "seed": 0, "train_error": 0.0, "train_error_clean": 0.0}
    return line | {"train_error_corrupted": None, "test_error": 0.9, "fit_seconds": 0.2} | changes


def net(**changes):
    line = SHARED | {
        "schema": "kernelfit.net/1",
        "identity": "n",
        "command": "kernelfit nn train",
        "model": "inception",
    }
    line |= {"corruption": {"labels": 0.0, "pixels": "true", "seed": 0}, "parameters": 1_649_402, "seed": 0}
    line |= {"stopped_by": "accuracy", "epochs": 3, "steps": 300, "train_error": 0.0, "test_error": 0.2}
    line |= {"training": {"augment": False, "weight_decay": 0.0, "lr": 0.1}, "train_loss": 0.01, "test_loss": 0.9}
    line |= {"time_to_fit": {"epochs": 3, "steps": 300, "seconds": 9.0}, "norms": {"spectral_product": 30.0}}
    line |= {
        "precision": "float32",
        "curve": {"epoch": [1, 2, 3], "steps": [100, 200, 300], "loss": [2.0, 1.0, 0.1]},
        "warnings": [],
    }
    line["dataset"] = {"asked": "cifar10.npz", "name": "cifar10-jpeg75"}
    line["curve"]["test_accuracy"] = [0.4, None, 0.8]
    return line | {"step_curve": {"every": 50, "loss": [2.3, 2.0, 1.5, 1.0, 0.5, 0.1]}} | changes


def descent(**changes):
    line = {"schema": "kernelfit.descent/1", "created": SHARED["created"], "command": "kernelfit descent"}
    line |= {"dataset": {"name": "digits"}, "features": "FourierFeatures(bandwidth=2.85)", "n_train": 100, "n_test": 20}
    line |= {"d": 64, "n_classes": 10, "label_noise": 0.2, "seeds": [0, 1], "grid": [50, 100, 200], "warnings": []}
    curves = ("train_error", "train_squared_error", "test_error", "test_squared_error", "norm", "condition")
    return line | {name: [[0.4, 0.9, 0.2], [0.3, 0.8, 0.1]] for name in curves} | {"seconds": 1.5} | changes


def measures(**changes):
    """A kind that there was not before records had one envelope."""
    one = {"name": "norm", "formula": "|f|", "source": "", "role": "quantity", "true": 20.0, "random": 126.0}
    one |= {"tells_apart": True, "vacuous": None}
    table = {"n": 1000, "classes": 10, "ridge": 0.0, "chance": 0.9, "draws": 20, "seed": 0, "norm_disagreement": 1e-15}
    table |= {"measures": [one, one | {"name": "training error", "role": "error", "tells_apart": False}]}
    used = SHARED["dataset"] | {name: SHARED[name] for name in ("n_train", "n_test", "n_classes")}
    line = {"kind": "measures", "schema": 2, "id": "m", "created": SHARED["created"], "version": "0.1.0"}
    line |= {"command": "kernelfit measures", "spec": {}, "dataset": used, "environment": {}, "seconds": {"total": 1.0}}
    results = {"kernel": "gaussian(bandwidth=1.0)", "features": "pixels", "table": table}
    return line | {"warnings": ["a warning"], "results": results} | changes


def likelihood(**changes):
    row = {
        "level": 0.0,
        "seed": 0,
        "labels_changed": 0,
        "log_likelihood": 110.0,
        "per_output": [11.0] * 10,
        "norm": 23.0,
    }
    rows = [row, row | {"level": 1.0, "log_likelihood": -8700.0}, row | {"level": 1.0, "seed": 1, "norm": None}]
    results = {"kernel": "gaussian(bandwidth=1.0)", "features": "pixels", "method": "panels", "n": 1000, "rows": rows}
    results |= {"log_determinant": -2700.0, "relative_residual": 1e-14}
    return (
        measures() | {"kind": "likelihood", "id": "l", "command": "kernelfit likelihood", "results": results} | changes
    )


def label_issues(**changes):
    against = [{"index": 7, "label": "9", "weight": 0.5}]
    issue = {"index": 3, "label": "4", "predicted": "9", "true": "9", "score": -0.9, "against": against}
    results = {"kernel": "gaussian(bandwidth=1.0)", "features": "pixels", "ridge": 0.1, "choice": None, "n": 1000}
    results |= {"corruption": {"labels": 0.1, "pixels": "true", "seed": 0, "labels_changed": 90}, "contradicted": 100}
    results |= {"auc": 0.9991, "average_precision": 0.98, "issues": [issue]}
    results |= {"pictures": [EXAMPLE | {"true": "9"}], "against": [EXAMPLE | {"true": "4"}]}
    line = measures() | {"kind": "label_issues", "id": "i", "command": "kernelfit label-issues", "results": results}
    return line | changes


def hardness(**changes):
    net = {"net": "n", "model": "mlp1x512", "seed": 0, "epochs": 9, "train_error": 0.0, "test_error": 0.1}
    net |= {"learnt_for_good": 0.61, "first_learnt": 0.5, "forgetting": 0.4, "clean": 0.61, "corrupted": None}
    net |= {"epoch_by_group": list(range(10)), "events_by_group": [0.1 * k for k in range(10)]}
    results = {"kernel": "gaussian(bandwidth=1.0)", "features": "pixels", "method": "panels", "ridge": 0.0, "n": 1000}
    results |= {"corruption": {"labels": 0.0, "pixels": "true", "seed": 0, "labels_changed": 0}, "loo_error": 0.02}
    results |= {"test_error": 0.02, "norm": 23.0, "relative_residual": 1e-14, "margins": {"mean": 0.5}}
    results |= {"margin_by_group": [1 - 0.1 * k for k in range(10)], "nets": [net, net | {"seed": 1}]}
    line = measures() | {"kind": "hardness", "id": "h", "command": "kernelfit hardness", "results": results}
    results["among_nets"] = 0.8
    return line | changes


def everything():
    """Return lines of every kind, enough of each for its tables and figures."""
    lines = [solve(), solve(n_train=500, test_error=0.05, seconds={"total": 1.0})]
    random = {"labels": 1.0, "pixels": "true", "seed": 0, "labels_changed": 900}
    lines += [solve(corruption=random, norm=126.0, test_error=0.9, command="kernelfit solve --labels random")]
    lines += [sweep(level=p, seed=s, norm=20 + 100 * p + s, test_error=0.9 * p) for p in (0, 0.5, 1) for s in (0, 1)]
    lines += [ridge(ridge=r) for r in (0.0, 1e-3, 1.0)]
    lines += [interpolant(), interpolant(name="pairs", ratio=300.0, norm=6e3), interpolant(name="forced", ratio=8.0)]
    lines += [interpolant(name="gaussian", ratio=None, norm=None, test_error=None, failed="singular")]
    lines += [section5(), section5(row="mnist-pixels", command="kernelfit reproduce", norm=145.1, test_error=0.0122)]
    lines += [bench(n=n, contender=name, seconds=n / 1e3) for n in (1000, 2000) for name in ("scipy", "numpy")]
    lines += [bench(contender="torch", skipped="torch is not installed", seconds=None)]
    lines += [fit(identity=f"{p} {s}", level=p, seed=s) for p in (0.0, 1.0) for s in (0, 1)]
    lines += [descent(), measures(), likelihood(), label_issues(), hardness()]
    for k, p in enumerate((0.0, 0.5, 1.0)):
        about = {"labels": p, "pixels": "true", "seed": 0}
        steps = {"epochs": 3, "steps": 300 + 100 * k, "seconds": 9.0}
        changed = {"corruption": about, "time_to_fit": steps, "test_error": 0.2 + 0.7 * p}
        lines.append(net(command=f"kernelfit nn train --labels {p}", **changed))
    lines.append(net(command="kernelfit nn train --model mlp", model="mlp(hidden=[512])", n_train=999))
    shuffled = {"labels": 0.0, "pixels": "shuffled", "seed": 0}
    lines.append(net(command="kernelfit nn train --pixels shuffled", corruption=shuffled))
    return lines


def write(folder, lines, name="records.jsonl"):
    """Write lines, dicts or texts, to a file of a folder; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return folder


def records(lines):
    """Return the Records of lines."""
    with tempfile.TemporaryDirectory() as folder:
        return read_records(write(Path(folder), lines))
