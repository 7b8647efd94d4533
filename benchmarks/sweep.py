"""The price of a sweep: 11 levels of label corruption and 5 seeds on one factor, against one solve.

    python benchmarks/sweep.py                  n = 20,000: 2 minutes on 2 cores
    python benchmarks/sweep.py 20000 60000      all of MNIST too: half an hour

Predictions of 10,000 test points are included in both. Every run is a process of its own. Needs MNIST (KERNELFIT_DATA).
Prints Markdown, and the norms on true and on random labels; the rows of the sweep are appended to results/sweep.jsonl.
"""

import argparse
import json
import os
import time

import common

BARS = {20_000: 1.30, 60_000: 1.10}
NORM = {60_000: (145.1, 1607.0)}  # true and random labels, 0/1 targets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[20_000])
    parser.add_argument("--precision", default="float64")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, size, precision = options.child
        print(json.dumps({"solve": solve, "sweep": sweep}[name](int(size), precision)))
        return
    common.describe("Label corruption from 0 to 1 on one factor", {})
    for n in options.sizes:
        compare(n, options.precision)


def compare(n, precision):
    one, many = (common.child(__file__, name, n, precision) for name in ("solve", "sweep"))
    rows = many["rows"]
    true = [row["norm"] for row in rows if row["level"] == 0]
    random = [row["norm"] for row in rows if row["level"] == 1]
    expected = NORM.get(n, ("", ""))
    print(f"\n## n = {n:,}, Gaussian kernel of bandwidth 5, {precision}\n")
    common.table(
        ["measure", "expected", "measured"],
        [
            ["one solve, whole process", "", f"{one['wall']:.1f} s"],
            [f"{len(rows)} sets of labels, whole process", "", f"{many['wall']:.1f} s"],
            ["ratio", f"<= {BARS.get(n, '')}", f"{many['wall'] / one['wall']:.3f}"],
            ["seconds of the solve", "", common.phases(one["seconds"])],
            ["seconds of the sweep", "", common.phases(many["seconds"])],
            ["norm, true labels", str(expected[0]), common.spread(true, digits=5)],
            ["norm, random labels", str(expected[1]), common.spread(random, digits=5)],
            ["test error, true to random labels", "", f"{rows[0]['test_error']:.4f} to {rows[-1]['test_error']:.4f}"],
            ["largest relative residual", "", f"{many['relative_residual']:.1e}"],
            ["peak memory of the sweep", "", f"{many['peak'] / 1e9:.2f} GB"],
        ],
    )


def options_of(n, precision):
    return {"data": "mnist", "bandwidth": 5.0, "precision": precision, "n_train": n if n < 60_000 else None}


def solve(n, precision):
    from kernelfit.experiments.solve import SolveSpec, run_solve

    record, _ = run_solve(SolveSpec(**options_of(n, precision)))
    return {"wall": time.time() - float(os.environ["STARTED"]), "seconds": record.seconds}


def sweep(n, precision):
    import dataclasses

    from kernelfit import backend
    from kernelfit.experiments.sweep import SweepSpec, run_sweep

    result = run_sweep(SweepSpec(**options_of(n, precision)), runs=common.RESULTS)
    return {
        "wall": time.time() - float(os.environ["STARTED"]),
        "seconds": result.shared["seconds"],
        "relative_residual": result.shared["relative_residual"],
        "rows": [dataclasses.asdict(row) for row in result.rows],
        "peak": backend.peak_memory(),
    }


if __name__ == "__main__":
    main()
