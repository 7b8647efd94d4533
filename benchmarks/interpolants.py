"""Other interpolants of MNIST's labels, and how much larger their norm is than the minimum (the paper's section 5).

    python benchmarks/interpolants.py           n = 10,000: 5 GB of memory, minutes on 2 cores
    python benchmarks/interpolants.py 2000      20 seconds

Gaussian kernel of bandwidth 5. Needs MNIST (KERNELFIT_DATA). Prints Markdown; the rows are appended to
results/interpolants.jsonl.
"""

import argparse
import json
import os
import time

import common


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000])
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(compare(int(options.child[1]))))
        return
    common.describe("Other interpolants of the same labels", {})
    for n in options.sizes:
        done = common.child(__file__, "compare", n)
        print(f"\n## MNIST, n = {n:,}, Gaussian kernel of bandwidth 5\n")
        common.table(
            [
                "interpolant",
                "centres",
                "norm (0/1)",
                "ratio",
                "test error, %",
                "relative residual",
                "condition",
                "time, s",
            ],
            done["cells"],
        )
        for failure in done["failures"]:
            print(f"\n{failure}")
        print(
            f"\nLargest relative defect of |f|^2 = |f_0|^2 + |f - f_0|^2: {done['defect']:.0e}. Whole process "
            f"{done['wall']:.0f} s, peak memory {done['peak'] / 1e9:.2f} GB."
        )


def compare(n):
    from kernelfit import backend
    from kernelfit.experiments.interpolants import InterpolantsSpec, run_interpolants
    from kernelfit.report.interpolants import interpolant_cells

    spec = InterpolantsSpec(data="mnist", bandwidth=5.0, n_train=n)
    result = run_interpolants(spec, runs=common.RESULTS)
    seconds = result.shared["seconds"]
    return {
        "cells": [[*interpolant_cells(row), f"{seconds.get(row.name, seconds['factor']):.1f}"] for row in result.rows],
        "failures": [f"{row.name}: {row.failed}" for row in result.rows if row.failed],
        "defect": max(row.defect or 0.0 for row in result.rows),
        "wall": time.time() - float(os.environ["STARTED"]),
        "peak": backend.peak_memory(),
    }


if __name__ == "__main__":
    main()
