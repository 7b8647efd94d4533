"""An estimator of scikit-learn's kind against `kernelfit solve`: the same answer at the same speed.

    python benchmarks/estimators.py             n = 20,000 of MNIST: 4 minutes on 2 cores

Each is a process of its own, in turn, that fits and predicts 10,000 test images. Needs MNIST (KERNELFIT_DATA). Prints
Markdown: results/estimators.md.
"""

import argparse
import json
import os
import statistics
import time

import common

TARGETS = {"ratio": 1.05, "norm": 1e-8}
ROUNDS = 3
BANDWIDTH = 5.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, n, precision = options.child
        print(json.dumps({"solve": solve, "estimator": estimator}[name](int(n), precision)))
        return
    common.describe("An estimator against the command line", {})
    runs = {"solve": [], "estimator": []}
    for _ in range(ROUNDS):
        for name, found in runs.items():
            found.append(common.child(__file__, name, options.n, "mixed"))
    exact = common.child(__file__, "estimator", options.n, "float64")
    walls = {name: statistics.median([run["wall"] for run in found]) for name, found in runs.items()}
    norms = {name: found[0]["norm"] for name, found in runs.items()}
    print(f"\n## n = {options.n:,} of MNIST, Gaussian kernel of bandwidth {BANDWIDTH:g}, mixed precision\n")
    common.table(
        ["measure", "target", "measured"],
        [
            ["`kernelfit solve`, whole process", "", f"{walls['solve']:.1f} s"],
            ["estimator: fit and predict, whole process", "", f"{walls['estimator']:.1f} s"],
            ["ratio", f"<= {TARGETS['ratio']}", f"{walls['estimator'] / walls['solve']:.3f}"],
            ["the same in float64", "", f"{exact['wall']:.1f} s"],
            ["norm, command line", "", f"{norms['solve']:.10f}"],
            ["norm, estimator", "", f"{norms['estimator']:.10f}"],
            ["norm, estimator in float64", "", f"{exact['norm']:.10f}"],
            [
                "relative difference of the norm to float64",
                f"<= {TARGETS['norm']:.0e}",
                f"{abs(norms['estimator'] / exact['norm'] - 1):.1e}",
            ],
            ["peak memory, estimator", "", f"{runs['estimator'][0]['peak'] / 1e9:.2f} GB"],
            ["peak memory, command line", "", f"{runs['solve'][0]['peak'] / 1e9:.2f} GB"],
        ],
    )


def solve(n, precision):
    from kernelfit import backend
    from kernelfit.experiments.solve import SolveSpec, run_solve

    record, _ = run_solve(SolveSpec(data="mnist", n_train=n, bandwidth=BANDWIDTH, precision=precision))
    return told(record.norm, record.test_error, record.seconds, backend)


def estimator(n, precision):
    import kernelfit as kf
    from kernelfit import backend

    data = kf.load_dataset("mnist", n_train=n)
    X, X_test = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = kf.KernelInterpolationClassifier(bandwidth=BANDWIDTH, precision=precision).fit(X, data.y_train)
    error = 1 - model.score(X_test, data.y_test)
    return told(model.norm_, error, {"fit": model.report_.seconds}, backend)


def told(norm, error, seconds, backend):
    wall = time.time() - float(os.environ["STARTED"])
    return {"wall": wall, "norm": norm, "test_error": error, "seconds": seconds, "peak": backend.peak_memory()}


if __name__ == "__main__":
    main()
