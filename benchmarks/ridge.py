"""Does regularisation help? The ridge path on MNIST, and what an eigendecomposition costs beside refactoring.

    python benchmarks/ridge.py                            n = 10,000, Gaussian of bandwidth 5: a minute on 2 cores
    python benchmarks/ridge.py --n 60000                  all of MNIST, refactored for every ridge, with leave-one-out
    python benchmarks/ridge.py --n 60000 --no-loo         the same without leave-one-out, for half the time
    python benchmarks/ridge.py --features gabor --bandwidth auto    other features
    python benchmarks/ridge.py --constants 2000 4000 8000           what decides between the two ways

Every path is a process of its own. Needs MNIST (KERNELFIT_DATA). Prints Markdown; the rows of a path are appended to
results/ridge.jsonl, and --plot draws them.
"""

import argparse
import json
import time

import common

RIDGES = (0, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1)
ALL = 60_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--ridges", nargs="+", type=float, default=RIDGES)
    parser.add_argument("--bandwidth", default="5", help="a number, or auto")
    parser.add_argument("--features", default="pixels", help="as for kernelfit solve")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--method", default="auto", help="auto, eigendecomposition, refactoring")
    parser.add_argument("--no-loo", action="store_true")
    parser.add_argument("--plot", help="file for the figure")
    parser.add_argument("--constants", nargs="+", type=int, metavar="N")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run_path(json.loads(options.child[1]))))
        return
    if options.constants:
        common.describe("An eigendecomposition beside Cholesky factors", {})
        constants(options.constants)
        return
    common.describe("The ridge path", {})
    path(options)


def path(options):
    asked = vars(options) | {"child": None, "constants": None}
    result = common.child(__file__, "path", json.dumps(asked))
    rows = result["rows"]
    print(f"\n## {result['dataset']['name']}, n = {result['n_train']:,}, {result['kernel']} on {result['features']}\n")
    common.table(
        ["ridge", "training", "leave-one-out", "test", "corrected, broken", "norm 0/1", "norm -1/+1", "residual"],
        [
            [
                f"{row['ridge']:g}",
                _percent(row["train_error"]),
                _percent(row["loo_error"]),
                _percent(row["test_error"]),
                f"{row['test_corrected']}, {row['test_broken']}",
                f"{row['norm']:.2f}",
                f"{row['norm_pm1']:.2f}",
                f"{row['relative_residual']:.1e}",
            ]
            for row in rows
        ],
    )
    chosen = "nothing" if result["chosen_by_loo"] is None else f"{result['chosen_by_loo']:g}"
    print(f"\nLeave-one-out would choose {chosen}; a larger ridge than the smallest improves")
    print(f"leave-one-out: {result['loo_improves']}, in hindsight the test error: {result['test_improves']}.")
    print(f"{result['method']} ({result['reason']}); {rows[-1]['way']}.")
    print(f"{common.phases(result['seconds'])} s; peak memory {result['peak'] / 1e9:.2f} GB.")
    for warning in result["warnings"]:
        print(f"Warning: {warning}")


def run_path(asked):
    from kernelfit import backend
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.ridge_path import RidgePathSpec, append_rows, run_ridge_path
    from kernelfit.report.ridge_path import plot_ridge_path

    settings = {
        "data": "mnist",
        "features": asked["features"],
        "bandwidth": None if asked["bandwidth"] == "auto" else float(asked["bandwidth"]),
        "n_train": asked["n"] if asked["n"] < ALL else None,
        "ridges": tuple(asked["ridges"]),
        "precision": asked["precision"],
        "loo": not asked["no_loo"],
    }
    result = run_ridge_path(RidgePathSpec(**settings), method=asked["method"], progress=make_progress())
    append_rows(common.RESULTS, result)
    if asked["plot"]:
        plot_ridge_path(result, asked["plot"])
    return json.loads(result.to_json()) | {"peak": backend.peak_memory()}


def constants(sizes, repeats=3):
    """Print what each routine takes, the best of some runs, and in n^3 operations at the rate of a matrix product.

    The rate is the best of the same minutes. On a machine that others use too only the best means something.
    """
    from scipy.linalg import eigh

    from kernelfit import datasets
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.solvers.panel_cholesky import cholesky
    from kernelfit.solvers.planning.rates import measure_gemm

    images = datasets.load("mnist", n_train=max(sizes)).X_train
    cholesky(gram(images[:500], Gaussian(5.0)))  # compiles
    rows = []
    for n in sizes:
        G = gram(images[:n], Gaussian(5.0))
        K = G.block((0, n), (0, n))
        best, rate = {}, 0.0

        def timed(name, function, best=best):
            start = time.perf_counter()
            result = function()
            best[name] = min(best.get(name, float("inf")), time.perf_counter() - start)
            return result

        for _ in range(repeats):
            rate = max(rate, measure_gemm())
            for driver in ("evr", "evd"):
                copy = K.copy()
                timed(driver, lambda A=copy, d=driver: eigh(A.T, overwrite_a=True, check_finite=False, driver=d))
                del copy
            factor = timed("cholesky", lambda G=G: cholesky(G))
            timed("inverse diagonal", lambda factor=factor: factor.inverse_diagonal())
        names = ["evr", "evd", "cholesky", "inverse diagonal"]
        costs = {name: best[name] * rate / n**3 for name in names}
        equal = min(best["evr"], best["evd"]) / (best["cholesky"] + best["inverse diagonal"])
        rows.append([f"{n:,}", f"{rate / 1e9:.0f}"] + [f"{best[name]:.2f} s ({costs[name]:.2f})" for name in names])
        rows[-1].append(f"{equal:.0f}")
    print("\nBest of three runs, and in brackets in n^3 operations at the rate of the matrix product.\n")
    header = ["n", "GFLOP/s", "eigh evr", "eigh evd", "Cholesky", "inverse diagonal", "ridges of equal price"]
    common.table(header, rows)


def _percent(fraction):
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


if __name__ == "__main__":
    main()
