"""Speed: mixed precision, the float64 factor, disk, and other people's solvers, against the limit of the machine.

    python benchmarks/speed.py mixed float64       all 60,000 images of MNIST: 5 and 9 minutes on 2 cores
    python benchmarks/speed.py peers               scikit-learn, LAPACK on a ready matrix, n = 20,000: 16 minutes
    python benchmarks/speed.py slope               the factorisation from n = 5,000 to 46,400
    python benchmarks/speed.py disk                n = 80,000 in 12 GiB, with 28 GB of disk
    python benchmarks/speed.py kills               n = 20,000 on disk, killed 50 times at random moments

Without a part: all of them, about two hours. Every run is a process of its own. The limit of a solve is
n^3 / 3 operations at the float64 matrix-product rate of the same run. Needs MNIST (KERNELFIT_DATA); panels go to
BENCH_SCRATCH, or the folder for temporary files. Prints Markdown; Records are appended to results/speed.jsonl.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
from common import limit, spread, table

SCRATCH = Path(os.environ.get("BENCH_SCRATCH", tempfile.gettempdir()))
SLOPE_SIZES = (5_000, 10_000, 20_000, 46_300, 46_400)  # n^2 passes 2^31 between the last two
PEERS_N, ROUNDS = 20_000, 3
CRASHES = ("killed by SIGSEGV", "killed by SIGABRT", "killed by SIGILL")
MIXED_MEMORY = 9_500_000_000
DISK_N, DISK_MEMORY = 80_000, 12 * 2**30
KILLS, KILLED_N, KILLED_MEMORY = 50, 20_000, "1300MB"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, *arguments = options.child
        print(json.dumps(CHILDREN[name](*arguments)))
        return
    common.describe("Speed", child("gemm"))
    for part in options.parts or PARTS:
        PARTS[part]()


def child(name, *arguments, **environment):
    return common.child(__file__, name, *arguments, **environment)


# ---- parts ---------------------------------------------------------------------------------------------------------


def mixed():
    """Within the memory of the bar, and with inner products kept in all that is free."""
    for memory in MIXED_MEMORY, None:
        _mixed(memory)


def _mixed(memory):
    run = child("solve", "mixed", 60_000, *([memory] if memory else []))
    common.keep("speed.jsonl", [run])
    record = run["record"]
    within = f"within {memory / 1e9:g} GB" if memory else "with all free memory"
    print(f"\n## Mixed precision, all of MNIST, Gaussian kernel of bandwidth 5, {within}\n")
    table(
        ["measure", "bar", "measured"],
        [
            ["test error", "0.0122", f"{record['test_error']:.4f}"],
            ["norm, 0/1 targets", "145.1024 (float64)", f"{record['norm']:.7g}"],
            ["relative residual, recomputed", "<= 1e-10", f"{record['relative_residual']:.1e}"],
            ["steps: residual after each", "", " ".join(f"{value:.0e}" for value in record["solver"]["residuals"])],
            ["shift, breakdowns", "", f"{record['solver']['shift']:g}, {len(record['solver']['breakdowns'])}"],
            *timing(run),
            ["end to end / (n^3 / 3 at the dgemm rate)", "<= 0.70", f"{run['wall'] / limit(run):.2f}"],
            ["inner products kept", "", f"{record['solver']['kept_bytes'] / 1e9:.2f} GB"],
            ["peak memory", "<= 9.5 GB" if memory else "", f"{record['peak_bytes'] / 1e9:.2f} GB"],
        ],
    )


def float64():
    run = child("solve", "float64", 60_000)
    common.keep("speed.jsonl", [run])
    record = run["record"]
    print("\n## float64, all of MNIST, Gaussian kernel of bandwidth 5\n")
    table(
        ["measure", "bar", "measured"],
        [
            ["norm, 0/1 targets", "145.10", f"{record['norm']:.10g}"],
            ["relative residual, recomputed", "", f"{record['relative_residual']:.1e}"],
            *timing(run),
            ["factorisation, of the dgemm rate", ">= 90 %", f"{100 * limit(run) / record['seconds']['factor']:.1f} %"],
            ["end to end / limit", "", f"{run['wall'] / limit(run):.2f}"],
            ["peak memory / 4 n^2", "", f"{record['peak_bytes'] / (4 * 60_000**2):.2f}"],
        ],
    )


def peers():
    """scikit-learn's KernelRidge, and LAPACK on a ready matrix, in turn; with AVX2 kernels where OpenBLAS crashed."""
    print(f"\n## Other solvers, same problem, same threads: medians of {ROUNDS} rounds\n")
    n, names = PEERS_N, ("kernelfit mixed", "kernelfit float64", "scipy", "scikit-learn")
    rounds, crashes, kernels = [], {}, {}
    for _ in range(ROUNDS):
        results = {}
        for name in names:
            results[name] = child("compare", n, name, **kernels.get(name, {}))
            if results[name].get("skipped") in CRASHES:
                crashes[name], kernels[name] = results[name]["skipped"], {"OPENBLAS_CORETYPE": "Haswell"}
                results[name] = child("compare", n, name, **kernels[name])
        rounds.append(results)
    rows = []
    for name in names:
        label = f"{name}, AVX2 kernels" if name in kernels else name
        runs = [results[name] for results in rounds]
        if any("skipped" in run for run in runs):
            rows.append([f"{n:,}", label, runs[0]["skipped"], *[""] * 8])
            continue

        def median(what, runs=runs):
            return statistics.median(run[what] for run in runs)

        def ratio(what, name=name):
            return statistics.median(results[name][what] / results[names[0]][what] for results in rounds)

        ratios = [f"{ratio('seconds'):.2f}", f"{ratio('peak_bytes'):.2f}"]
        if name == "scipy":  # its matrix was ready before the clock started, so only the solve compares
            ratios = [f"{ratio('fit_seconds'):.2f} (fit alone)", ""]
        rows.append(
            [
                f"{n:,}",
                label,
                f"{median('fit_seconds'):.1f} s",
                f"{median('seconds'):.1f} s",
                f"{n**3 / 3 / median('gemm_rate'):.1f} s",
                f"{median('peak_bytes') / 1e9:.2f} GB",
                f"{median('relative_residual'):.1e}",
                f"{100 * median('test_error'):.2f} %",
                *ratios,
            ]
        )
    header = ["n", "solver", "fit", "fit and predict", "limit", "peak memory", "residual", "test error"]
    table([*header, "time / mixed", "memory / mixed"], rows)
    for name, how in crashes.items():
        print(f"\n{name}, with the kernels that OpenBLAS chose: {how}")
    print("\nBars: scikit-learn >= 2.5 and >= 5; scipy's cho_factor and cho_solve on a ready matrix >= 1.5.")


def slope():
    """Factor seconds against n, as measured and at one matrix-product rate; of up to 20,000 the best of five."""
    import numpy as np

    runs = [child("best", "float64", n) for n in SLOPE_SIZES]
    common.keep("speed.jsonl", runs)
    print("\n## The factorisation in float64 against n\n")
    seconds = [run["record"]["seconds"]["factor"] for run in runs]
    shares = [limit(run) / value for run, value in zip(runs, seconds, strict=True)]
    table(
        ["n", "factor", "dgemm rate of the run", "share of it"],
        [
            [f"{n:,}", f"{value:.2f} s", f"{statistics.median(run['rates']) / 1e9:.0f} GFLOP/s", f"{100 * share:.0f} %"]
            for n, value, run, share in zip(SLOPE_SIZES, seconds, runs, shares, strict=True)
        ],
    )
    measured, even = (
        np.polyfit(np.log(SLOPE_SIZES), np.log(times), 1)[0]
        for times in (seconds, [n**3 / share for n, share in zip(SLOPE_SIZES, shares, strict=True)])
    )
    print(f"\nexponent (bar 2.9 to 3.1): {measured:.3f} as measured, {even:.3f} at one dgemm rate")


def disk():
    """n = 80,000: MNIST and 20,000 of its images moved by one pixel, within 12 GiB of address space."""
    run = child("disk")
    common.keep("speed.jsonl", [run])
    record = run["record"]
    share = limit(run) / record["seconds"]["factor"]
    print(f"\n## On disk: n = {DISK_N:,} in {DISK_MEMORY / 2**30:.0f} GiB of address space, {record['method']}\n")
    table(
        ["measure", "bar", "measured"],
        [
            ["relative residual, recomputed", "", f"{record['relative_residual']:.1e}"],
            ["test error, norm", "", f"{record['test_error']:.4f}, {record['norm']:.6g}"],
            ["columns of a panel", "", f"{record['solver']['panel_width']:,}"],
            *timing(run),
            ["factorisation, of the dgemm rate", ">= 75 % of in memory", f"{100 * share:.0f} %"],
            ["peak memory", "<= 12.9 GB", f"{record['peak_bytes'] / 1e9:.2f} GB"],
        ],
    )


def kills():
    """kill -9 at random moments, resume, until 50 have been survived; the coefficients must have the same bits."""
    import numpy as np

    moments = random.Random(0)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        begin = time.perf_counter()
        subprocess.run(disk_command(folder, "whole.npz"), check=True, cwd=folder, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - begin
        survived, solves, same, begin = 0, 0, 0, time.perf_counter()
        while survived < KILLS or not solves:
            patience = moments.uniform(0.5, 0.6 * whole) if survived < KILLS else None
            run = subprocess.Popen(
                [*disk_command(folder, "killed.npz"), "--resume"], cwd=folder, stdout=subprocess.DEVNULL
            )
            try:
                run.wait(timeout=patience)
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                run.wait()
                survived += 1
                continue
            assert run.returncode == 0
            solves += 1
            with np.load(Path(folder) / "whole.npz") as a, np.load(Path(folder) / "killed.npz") as b:
                same += a["coef"].tobytes() == b["coef"].tobytes()
        took = time.perf_counter() - begin
    print(f"\n## Killed: n = {KILLED_N:,} on disk\n")
    table(
        ["measure", "measured"],
        [
            ["one run, not killed", f"{whole:.0f} s"],
            ["kills and resumes", f"{survived} in {took:.0f} s"],
            ["solves completed, with the same bits", f"{solves}, {same}"],
        ],
    )


def disk_command(folder, model):
    options = ["--data", "mnist", "--n-train", str(KILLED_N), "--bandwidth", "5", "--precision", "float64", "--quiet"]
    options += ["--memory", KILLED_MEMORY, "--scratch", folder, "--save", model]
    return [sys.executable, "-m", "kernelfit.cli", "solve", *options]


def timing(run):
    record, seconds = run["record"], run["record"]["seconds"]
    return [
        ["dgemm rate, median of the run", "", spread([statistics.median(run["rates"]) / 1e9], "GFLOP/s")],
        ["sgemm rate, median of the run", "", spread([statistics.median(run["rates32"]) / 1e9], "GFLOP/s")],
        ["limit: n^3 / 3 at the dgemm rate", "", f"{limit(run):.0f} s"],
        ["end to end, whole process", "", f"{run['wall']:.0f} s"],
        ["factorisation", "", f"{seconds['factor']:.1f} s, {record['gflops']:.0f} GFLOP/s"],
        ["seconds", "", common.phases(seconds)],
    ]


# ---- children: each a process of its own ---------------------------------------------------------------------------


def gemm():
    import numpy as np

    from kernelfit.solvers.planning.rates import measure_gemm

    return {"float64": measure_gemm(4096), "float32": measure_gemm(4096, dtype=np.float32)}


def solve(precision, n, memory=None):
    n_train = int(n) if int(n) < 60_000 else None
    run, _ = common.solve(
        data="mnist", bandwidth=5.0, precision=precision, n_train=n_train, memory=memory and int(memory)
    )
    return run


def best(precision, n):
    """The solve with the quickest factorisation: short ones also pay for what a process does for the first time."""
    runs = [solve(precision, n) for _ in range(5 if int(n) <= 20_000 else 1)]
    return min(runs, key=lambda run: run["record"]["seconds"]["factor"])


def solve_on_disk():
    import resource

    import numpy as np

    from kernelfit import datasets

    data = datasets.load("mnist")
    moved = data.X_train[: DISK_N - len(data.X_train)].copy()
    moved = np.roll(moved, 1, axis=2)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        path = Path(folder) / "mnist-and-moved.npz"
        X, y = np.concatenate([data.X_train, moved]), np.concatenate([data.y_train, data.y_train[: len(moved)]])
        np.savez(path, X_train=X, y_train=y, X_test=data.X_test, y_test=data.y_test)
        del X, y, moved, data
        resource.setrlimit(resource.RLIMIT_AS, (DISK_MEMORY, DISK_MEMORY))
        run, _ = common.solve(data=str(path), bandwidth=5.0, precision="float64", scratch=folder)
    run["record"] = json.loads(json.dumps(run["record"]).replace(folder, "$BENCH_SCRATCH"))
    return run


def compare(n, name):
    from kernelfit.experiments.bench import BenchSpec, run_bench

    [row] = run_bench(BenchSpec(sizes=(int(n),), contenders=(name,)))
    return row


PARTS = {"mixed": mixed, "float64": float64, "peers": peers, "slope": slope, "disk": disk, "kills": kills}
CHILDREN = {"gemm": gemm, "solve": solve, "best": best, "disk": solve_on_disk, "compare": compare}

if __name__ == "__main__":
    main()
