"""The main job, measured: full MNIST solves against the limit of the machine, start-up, and scikit-learn.

    python benchmarks/main_job.py                          everything: 20 to 60 minutes on 2 cores, 16 GB
    python benchmarks/main_job.py start peer               some parts
    python benchmarks/main_job.py gaussian --repeats 3     with more repeats

Parts: start (the embedded default in a fresh process), peer (scikit-learn's KernelRidge at n = 10,000), gaussian and
quartic (all 60,000 images with the Gaussian kernel of bandwidth 5, and with the quartic kernel), auto (the Gaussian
kernel with the bandwidth that leave-one-out chooses). Every run is a process
of its own, so that its peak memory is its own. The limit of a solve is n^3 / 3 operations at the float64
matrix-product rate of the same run. Needs MNIST (KERNELFIT_DATA). Prints Markdown; Records of the full runs are
appended to results/main_job.jsonl.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
from common import limit, spread, table

PARTS = ["start", "peer", "gaussian", "quartic", "auto"]
PEER_N = 10_000
BARS = {
    "gaussian": {"test_error": (0.0122, 0.0002), "norm": (145.10, 0.05), "norm_pm1": (292.18, 0.1)},
    "quartic": {"test_error": (0.0118, 0.0002), "norm": (131.61, 0.05)},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--repeats", type=int, default=1, help="of each full solve; the short parts run 5 times")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child]()))
        return
    common.describe("The main job", {"float64": child("gemm")["rate"]})
    parts = options.parts or PARTS
    if "start" in parts:
        start()
    if "peer" in parts:
        peer()
    if "gaussian" in parts:
        full("gaussian", options.repeats)
    if "quartic" in parts:
        full("quartic", options.repeats)
    if "auto" in parts:
        full("auto", options.repeats)


# ---- parts ---------------------------------------------------------------------------------------------------------


def child(name):
    return common.child(__file__, name)


def start():
    """Time `kernelfit solve` from the shell in an empty folder, and list what it wrote."""
    times = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            subprocess.run([*kernelfit(), "solve", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - begin)
            written = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
    print("\n## `kernelfit solve`, embedded digits, whole process\n")
    table(
        ["measure", "bar", "measured"],
        [["time", "< 5 s", spread(times, "s")], ["files written", "in runs/", ", ".join(written)]],
    )


def peer():
    """scikit-learn's KernelRidge and kernelfit on the same n = 10,000 MNIST images: fit and predict 10,000."""
    ours, theirs = ([child(name) for _ in range(5)] for name in ("peer_kernelfit", "peer_scikit_learn"))
    loaded, difference = child("peer_nothing"), child("peer_difference")

    def compare(measure, values, unit):
        ratio = statistics.median(map(values, ours)) / statistics.median(map(values, theirs))
        return [measure, *(spread([values(run) for run in runs], unit) for runs in (ours, theirs)), f"{ratio:.2f}"]

    print(f"\n## scikit-learn KernelRidge(alpha=1e-12, kernel='rbf'), MNIST n = {PEER_N:,}: fit and predict 10,000\n")
    rows = [
        compare("time (bar 0.50)", lambda run: run["seconds"], "s"),
        compare("peak memory (bar 0.25)", lambda run: run["peak"] / 1e9, "GB"),
        compare("peak above data and libraries", lambda run: (run["peak"] - loaded["peak"]) / 1e9, "GB"),
        ["largest difference of predictions", "", "", f"{difference['predictions']:.1e}"],
        ["relative difference of dual coefficients (bar 1e-8)", "", "", f"{difference['coefficients']:.1e}"],
    ]
    table(["measure", "kernelfit", "scikit-learn", "ratio"], rows)


def full(kernel, repeats):
    """Solve all of MNIST `repeats` times; print every bar with the measured figure."""
    runs = [child(f"solve_{kernel}") for _ in range(repeats)]
    common.keep("main_job.jsonl", runs)
    record = runs[0]["record"]
    n = record["n_train"]

    def measured(value, unit=""):
        return spread([value(run) for run in runs], unit)

    print(f"\n## `{record['command']}`, {record['kernel']}, n = {n:,}\n")
    rows = [
        [name, f"{value} +- {slack}", f"{record[name]:.6g}"] for name, (value, slack) in BARS.get(kernel, {}).items()
    ]
    rows += [
        ["train error", "0", f"{record['train_error']:g}"],
        ["relative residual", "<= 1e-9", f"{record['relative_residual']:.1e}"],
        ["condition estimate", "", f"{record['condition_estimate']:.1e}"],
        ["peak memory / 4 n^2 bytes", "<= 1.10", measured(lambda run: run["record"]["peak_bytes"] / (4 * n * n))],
        ["dgemm rate, median of the run", "", measured(lambda run: statistics.median(run["rates"]) / 1e9, "GFLOP/s")],
        ["limit: n^3 / 3 at that rate", "", measured(limit, "s")],
        ["end to end, whole process", "", measured(lambda run: run["wall"], "s")],
        ["end to end / limit", "<= 1.20", measured(lambda run: run["wall"] / limit(run))],
        ["factorisation / limit", "<= 1.12", measured(lambda run: run["record"]["seconds"]["factor"] / limit(run))],
        [
            "Gram blocks / total",
            "<= 3 %",
            measured(lambda run: 100 * run["record"]["seconds"]["gram"] / run["wall"], "%"),
        ],
        ["seconds", "", ", ".join(f"{name} {value:.1f}" for name, value in record["seconds"].items())],
    ]
    table(["measure", "bar", "measured"], rows)


# ---- children: each a process of its own ---------------------------------------------------------------------------


def gemm_rate():
    """The best float64 matrix-product rate of a few products large enough to reach it."""
    from kernelfit.solvers.planning.rates import measure_gemm

    return {"rate": measure_gemm(n=4096, repeats=5)}


def solve(kernel, bandwidth):
    run, _ = common.solve(data="mnist", kernel=kernel, bandwidth=bandwidth, precision="float64")
    return run


def peer_data():
    from kernelfit import datasets

    data = datasets.load("mnist", n_train=PEER_N)
    import numpy as np

    return data.X_train, np.eye(10)[data.y_train], data.X_test


def peer_kernelfit():
    import kernelfit.kernels.compiled  # noqa: F401  imports are not timed, for neither side
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.solvers.panel_cholesky import cholesky

    X, Y, Z = peer_data()
    begin = time.perf_counter()
    K = gram(X, Gaussian(5.0))
    coef = cholesky(K).solve(Y)
    scores = gram(Z, Gaussian(5.0), K.points).product(coef)
    return finished(begin, scores=scores, coef=coef)


def peer_scikit_learn():
    from sklearn.kernel_ridge import KernelRidge

    X, Y, Z = (part.reshape(len(part), -1) / 255 if part.ndim > 2 else part for part in peer_data())
    begin = time.perf_counter()
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / 50).fit(X, Y)
    scores = model.predict(Z)
    return finished(begin, scores=scores, coef=model.dual_coef_)


def peer_nothing():
    from sklearn.kernel_ridge import KernelRidge  # noqa: F401

    import kernelfit.kernels.compiled  # noqa: F401

    peer_data()
    return finished(time.perf_counter())


def peer_difference():
    import numpy as np

    ours, theirs = ({}, {})
    CAPTURE.append(ours)
    peer_kernelfit()
    CAPTURE.append(theirs)
    peer_scikit_learn()
    return {
        "predictions": float(np.abs(ours["scores"] - theirs["scores"]).max()),
        "coefficients": float(np.abs(ours["coef"] - theirs["coef"]).max() / np.abs(theirs["coef"]).max()),
    }


CAPTURE = []


def finished(begin, **arrays):
    from kernelfit import backend

    if CAPTURE:
        CAPTURE[-1].update(arrays)
    return {"seconds": time.perf_counter() - begin, "peak": backend.peak_memory()}


CHILDREN = {
    "gemm": gemm_rate,
    "solve_gaussian": lambda: solve("gaussian", 5.0),
    "solve_quartic": lambda: solve("quartic", None),
    "solve_auto": lambda: solve("gaussian", None),
    "peer_kernelfit": peer_kernelfit,
    "peer_scikit_learn": peer_scikit_learn,
    "peer_nothing": peer_nothing,
    "peer_difference": peer_difference,
}


def kernelfit():
    return [sys.executable, "-m", "kernelfit.cli"]


if __name__ == "__main__":
    main()
