"""One GPU, measured: its products, its own Cholesky, ours, and the whole job on MNIST.

    python benchmarks/gpu.py                       everything: under 8 minutes on one H200
    python benchmarks/gpu.py --parts gemm solve    some parts
    python benchmarks/gpu.py --smoke               every part at tiny sizes on a stand-in, without a GPU

Parts: gemm (matrix-product rates, and whether float32 and TF32 give exact products of pixels), blocks (the routines
that a panel is made of), gram (all Gram blocks of the lower triangle and nothing else), solve (the whole of
`kernelfit solve --data mnist --bandwidth 5`), large (n = 100,000: all 60,000 images, and 40,000 of them, drawn with
seed 0, shifted by one pixel, since repeated images would make a singular matrix), small (MNIST with 16 GB of the card
in mixed precision, and with 6 GB, streamed from the memory of the host), factor (our panels by width and precision,
and cuSOLVER's Cholesky in place; last, since a fault inside of it would take the card from what follows).

A part that fails says so, and the others go on. Needs CuPy and MNIST (KERNELFIT_DATA). Prints Markdown; appends JSON
lines to results/gpu.jsonl.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import sys
import time
import traceback
from pathlib import Path

import common
import numpy as np
from common import table

from kernelfit import backend, datasets
from kernelfit.common.errors import KernelfitError
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.panel_cholesky import cholesky
from kernelfit.solvers.panels import MemoryPanels
from kernelfit.solvers.planning import rates as rates_module
from kernelfit.solvers.planning.rates import measure_gemm

PEAK = 66.9e12  # float64 operations per second of an H200's tensor cores, by its data sheet
BARS = {"seconds": 3.0, "share": 0.60}
LOWER = 0  # cuBLAS's name for it


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is run: all of it on a GPU, or a little of everything on the stand-in."""

    data: str = "mnist"
    n_train: int | None = None
    bandwidth: float = 5.0
    gemm: tuple = (8192, 16_384)
    block: int = 2048
    rows: int = 60_000
    factor: tuple = (20_000, 40_000, 60_000)
    widths: tuple = (1024, 2048, 4096)
    shifted: int = 40_000
    mixed_limit: float = 16e9
    host_limit: float = 6e9


SMOKE = Sizes("digits", 250, 1.0, (64,), 24, 100, (100, 200), (24, 64), 100, 2e9, 1e9)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the stand-in of the tests")
    parser.add_argument("--results", type=Path, help="default: results/gpu.jsonl; with --smoke nowhere")
    options = parser.parse_args()
    if options.results is None and not options.smoke:
        options.results = common.RESULTS / "gpu.jsonl"
    with stand_in() if options.smoke else contextlib.nullcontext():
        try:
            device = backend.device("cuda")
        except KernelfitError as error:
            sys.exit(str(error))
        bench = Bench(device, SMOKE if options.smoke else Sizes(), options.results)
        common.describe("One GPU", {})
        card = device.describe()
        print(f"{card['gpu']}, {card['gpu_memory'] / 1e9:.1f} GB, CuPy {card['cupy']}, CUDA {card['cuda']}")
        failed = [name for name in options.parts if not bench.attempt(name)]
    if failed:
        sys.exit(f"\nfailed: {', '.join(failed)}")


@contextlib.contextmanager
def stand_in():
    """Put the tests' stand-in in the place of CuPy, and make tiles small enough for several of them."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from kernelfit.backend import cuda
    from kernelfit.solvers import out_of_core
    from tests.support import fake_cuda

    cuda.open_cuda = functools.partial(cuda.open_cuda, tile=64, panel=24)
    cuda.Cuda.probe, out_of_core.PIECE = 64, 600
    upload = rates_module._measure_upload
    rates_module._measure_upload = lambda device: upload(device, count=1000)
    with fake_cuda.installed():
        yield


class Bench:
    """The parts, and what they share: the device, the sizes, the data, and the file of results."""

    def __init__(self, device, sizes, results):
        self.device, self.sizes, self.results = device, sizes, results
        self.xp, self.pool = device.xp, device.xp.get_default_memory_pool()
        self.rates = {name: measure_gemm(device.probe, dtype=name, device=device) for name in ("float64", "float32")}

    def attempt(self, name):
        """Run a part on an empty card; return whether it succeeded."""
        print(f"\n## {name}\n", flush=True)
        try:
            with self.limited(None):
                PARTS[name](self)
            return True
        except Exception as error:
            traceback.print_exc()
            print(f"failed: {type(error).__name__}: {error}", flush=True)
            return False

    @contextlib.contextmanager
    def limited(self, limit):
        """Limit the memory pool to some bytes; all that it holds is given back before and after."""
        self._empty(limit or 0)
        try:
            yield
        finally:
            self._empty(0)

    def _empty(self, limit):
        self.pool.free_all_blocks()
        self.xp.get_default_pinned_memory_pool().free_all_blocks()
        self.pool.set_limit(size=int(limit))

    def keep(self, part, **values):
        """Append a JSON line."""
        if self.results is not None:
            line = {"part": part, "commit": common.commit(), "sizes": dataclasses.asdict(self.sizes)}
            line |= {"environment": self.device.describe(), "rates": self.rates} | values
            self.results.parent.mkdir(exist_ok=True)
            with open(self.results, "a") as file:
                file.write(json.dumps(common.published(line)) + "\n")

    def seconds(self, function, repeats=3):
        """Return the least seconds that function() takes on the device."""
        best = float("inf")
        for _ in range(repeats):
            self.device.synchronize()
            start = time.perf_counter()
            function()
            self.device.synchronize()
            best = min(best, time.perf_counter() - start)
        return best

    def random(self, shape, dtype):
        """Return standard normals on the device."""
        return self.device.array(np.random.default_rng(0).standard_normal(shape, dtype))

    def data(self):
        return datasets.load(self.sizes.data, n_train=self.sizes.n_train)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def gemm(self):
        """Rates, and the largest error of products of pixels in each arithmetic of the float32 unit."""
        rows, rates = [], {}
        for dtype in ("float64", "float32"):
            for n in self.sizes.gemm:
                rates[f"{dtype} {n}"] = measure_gemm(n, dtype=np.dtype(dtype), device=self.device)
                rows.append([f"{dtype}, n = {n:,}", f"{rates[f'{dtype} {n}'] / 1e12:.3g} TFLOP/s"])
        for dtype in ("float64", "float32"):  # what one panel asks for: few columns, many rows
            tall = self._tall(dtype)
            rows.append([f"{dtype}, {self.sizes.rows:,} x {self.sizes.block:,} squared", f"{tall / 1e12:.3g} TFLOP/s"])
            rates[f"{dtype} tall"] = tall
        errors = {}
        for name, mode in (("float32", 0), ("TF32 allowed", 3)):  # CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH
            errors[name], rates[name] = self._exactness(mode)
            verdict = "exact" if errors[name] == 0 else f"off by up to {errors[name]:g}"
            rows.append([f"products of pixels, {name}", f"{verdict}, {rates[name] / 1e12:.3g} TFLOP/s"])
        table(["product", "measured"], rows)
        self.keep("gemm", measured=rates, errors=errors)

    def _tall(self, dtype):
        m, k = self.sizes.rows, self.sizes.block
        A, C = self.random((m, k), dtype), self.device.empty((m, k), np.dtype(dtype))
        B = A[:k]
        return 2 * m * k * k / self.seconds(lambda: self.device.gemm(A, B, C, transpose_b=True))

    def _exactness(self, mode):
        """Return the largest error of an integer product, and its rate."""
        n, d = self.sizes.gemm[0], 784
        pixels = np.random.default_rng(0).integers(-128, 128, (n, d)).astype(np.float32)
        pixels[0] = pixels[-1] = -128  # the largest sum there is
        A, C = self.device.array(pixels), self.device.empty((n, n), np.float32)
        exact = self.device.empty((n, n))
        wide = A.astype(np.float64)
        self.device.gemm(wide, wide, exact, transpose_b=True)
        handle = self.xp.cuda.device.get_cublas_handle()
        cublas = self.device._cublas
        before = cublas.getMathMode(handle)
        cublas.setMathMode(handle, mode)
        try:
            rate = 2 * n * n * d / self.seconds(lambda: self.device.gemm(A, A, C, transpose_b=True))
        finally:
            cublas.setMathMode(handle, before)
        return float(self.xp.abs(exact - C).max()), rate

    def blocks(self):
        """Rates of potrf in both triangles and of the triangular solve below it, at the width of a panel."""
        n, m = self.sizes.block, self.sizes.rows
        values = {}
        for dtype in ("float64", "float32"):
            K = self.random((n, n), dtype)
            K = K @ K.T / n
            self.xp.fill_diagonal(K, K.diagonal() + 1.0)
            for name, fill in (("upper, which is ours", 1), ("lower", LOWER)):
                copies = [K.copy() for _ in range(3)]
                seconds = self.seconds(lambda copies=copies, fill=fill: self._potrf(copies.pop(), fill))
                values[f"potrf {dtype} {name}"] = n**3 / 3 / seconds
            self.device.potrf(K)
            B = self.random((m, n), dtype)
            seconds = self.seconds(lambda K=K, B=B: self.device.trsm(K, B, right=True, transpose=True))
            values[f"trsm {dtype}"] = m * n * n / seconds
        rows = [[name, f"{rate / 1e12:.3g} TFLOP/s"] for name, rate in values.items()]
        table([f"{n:,} columns, {m:,} rows", "measured"], rows)
        self.keep("blocks", measured=values)

    def _potrf(self, A, fill):
        """cuSOLVER's Cholesky in place of a symmetric C-ordered matrix, which is F-ordered just as well."""
        letter, handle = "s" if A.dtype == np.float32 else "d", self.xp.cuda.device.get_cusolver_handle()
        n, pointer, cusolver = len(A), A.data.ptr, self.device._cusolver
        size = getattr(cusolver, letter + "potrf_bufferSize")(handle, fill, n, pointer, n)
        work, info = self.xp.empty(max(1, size), A.dtype), self.xp.zeros(1, np.int32)
        getattr(cusolver, letter + "potrf")(handle, fill, n, pointer, n, work.data.ptr, size, info.data.ptr)
        if int(info[0]):
            raise RuntimeError(f"cuSOLVER's potrf says {int(info[0])} for n = {n}")

    def factor(self):
        """Our Cholesky of half the matrix, and cuSOLVER's of the whole in place, of the same Gram matrix."""
        X = self.data().X_train
        rows, values = [], []
        for n in sorted({min(n, len(X)) for n in self.sizes.factor}):
            K = gram(X[:n], Gaussian(self.sizes.bandwidth), device=self.device)
            ways = [("panels", dtype, width) for dtype in ("float64", "float32") for width in self.sizes.widths]
            ways += [("cuSOLVER", "float64", n)]
            for method, dtype, width in ways:
                try:
                    seconds = self._whole(K) if method == "cuSOLVER" else self._panels(K, dtype, width)
                    rate = n**3 / 3 / seconds
                    values.append({"method": method, "n": n, "dtype": dtype, "width": width, "rate": rate})
                    share = f"{rate / self.rates[dtype]:.0%} of its GEMM"
                    cells = [f"{seconds:.3g} s", f"{rate / 1e12:.3g} TFLOP/s", share]
                except Exception as error:  # too large for the card or for cuSOLVER's indices: that is a result too
                    values.append({"method": method, "n": n, "dtype": dtype, "width": width, "error": str(error)})
                    cells = [f"{type(error).__name__}: {error}".replace("\n", " ")[:100], "", ""]
                self.pool.free_all_blocks()
                rows.append([method, f"{n:,}", dtype, f"{width:,}", *cells])
        table(["method", "n", "precision", "panel", "factor alone", "rate", ""], rows)
        self.keep("factor", measured=values)

    def _whole(self, K):
        n = K.shape[0]
        A = self.device.empty((n, n))
        K.block((0, n), (0, n), out=A)
        return self.seconds(lambda: self._potrf(A, LOWER), repeats=1)

    def _panels(self, K, dtype, width):
        panels = MemoryPanels(K.shape[0], width, np.dtype(dtype), self.device)
        return cholesky(K, panels=panels).seconds["factor"]

    def gram(self):
        """All blocks of the lower triangle as the factorisation asks for them."""
        X = self.data().X_train
        K = gram(X, Gaussian(self.sizes.bandwidth), device=self.device)
        n, width = len(X), self.sizes.block
        rows, values = [], {}
        for dtype in ("float64", "float32"):
            panel = self.device.empty((n * width,), np.dtype(dtype))

            def every_panel(panel=panel):
                for start in range(0, n, width):
                    stop = min(start + width, n)
                    out = panel[: (n - start) * (stop - start)].reshape(n - start, stop - start)
                    K.block((start, n), (start, stop), out=out)

            values[dtype] = self.seconds(every_panel)
            rows.append([dtype, f"{values[dtype]:.3g} s", f"{n * n / 2 / values[dtype] / 1e9:.3g} billion a second"])
        table([f"Gram blocks of n = {n:,} in", "seconds", "entries"], rows)
        self.keep("gram", seconds=values)

    def solve(self):
        """The whole job, as the command line does it."""
        for precision in ("float64", "mixed"):
            spec = SolveSpec(
                data=self.sizes.data,
                n_train=self.sizes.n_train,
                bandwidth=self.sizes.bandwidth,
                device="cuda",
                precision=precision,
            )
            record, _ = run_solve(spec)
            record = json.loads(record.to_json())
            seconds, share = record["seconds"], record["gflops"] * 1e9 / PEAK
            job = sum(seconds.get(name, 0.0) for name in ("gram", "factor", "solve", "refine", "predict"))
            goal = precision == "float64"
            rows = [
                ["Gram, factor, solve, predict", f"<= {BARS['seconds']:g} s" if goal else "", f"{job:.3g} s"],
                [
                    f"factor, share of {PEAK / 1e12:g} TFLOP/s",
                    f">= {BARS['share']:.0%}" if goal else "",
                    f"{share:.0%} ({record['gflops'] / 1e3:.3g} TFLOP/s)",
                ],
                ["seconds by phase", "", ", ".join(f"{name} {value:.3g}" for name, value in seconds.items())],
                ["test error", "0.0122" if self.sizes.data == "mnist" else "", f"{record['test_error']:.4g}"],
                ["norm", "145.10" if self.sizes.data == "mnist" else "", f"{record['norm']:.7g}"],
                ["relative residual", "<= 1e-9", f"{record['relative_residual']:.1e}"],
                ["steps", "", str(record["solver"]["steps"])],
                ["memory pool", "", f"{self.pool.total_bytes() / 1e9:.3g} GB"],
            ]
            table([f"`{record['command']}`, n = {record['n_train']:,}", "bar", "measured"], rows)
            print()
            self.keep("solve", record=record)
            self.pool.free_all_blocks()

    def large(self):
        """More points than MNIST has: its images, and some of them shifted by one pixel."""
        data = self.data()
        rng = np.random.default_rng(0)
        drawn = rng.choice(len(data.X_train), self.sizes.shifted, replace=False)
        shifts = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[rng.integers(0, 4, len(drawn))]
        moved = [np.roll(data.X_train[i], shift, axis=(0, 1)) for i, shift in zip(drawn, shifts, strict=True)]
        X, y = np.concatenate([data.X_train, moved]), np.concatenate([data.y_train, data.y_train[drawn]])
        self._job("large", X, y, data, [("float64", "auto", None), ("mixed", "auto", None)])

    def small(self):
        """MNIST on less memory than the card has."""
        data, sizes = self.data(), self.sizes
        ways = [("mixed", "memory", sizes.mixed_limit)]
        ways += [(precision, "host", sizes.host_limit) for precision in ("float64", "mixed")]
        self._job("small", data.X_train, data.y_train, data, ways)

    def _job(self, part, X, y, data, ways):
        """Solve for (X, y) in each (precision, storage, limit of the pool), and print a row for each."""
        rows = []
        for precision, storage, limit in ways:
            try:
                with self.limited(limit):
                    found = self._solved(X, y, data, precision, storage)
                rows.append([f"{limit / 1e9:g} GB" if limit else "all", *found.pop("cells")])
                self.keep(part, n=len(X), limit=limit, **found)
            except Exception as error:  # the other ways are worth having
                rows.append(
                    [f"{limit / 1e9:g} GB" if limit else "all", precision, storage, str(error)[:200], *[""] * 5]
                )
                self.keep(part, n=len(X), limit=limit, precision=precision, storage=storage, error=str(error))
        header = ["memory", "precision", "factor in", "seconds", "by phase", "factor", "residual", "test error", "pool"]
        print(f"n = {len(X):,}\n")
        table(header, rows)

    def _solved(self, X, y, data, precision, storage):
        """Solve in one way, on a card that is empty but for the points; return what there is to say of it."""
        sizes = {"outputs": len(data.classes), "n_test": len(data.X_test)}
        solver = Auto(device=self.device, precision=precision, storage=storage, **sizes)
        K = gram(X, Gaussian(self.sizes.bandwidth), device=self.device)
        choice, begin = solver.choose(K), time.perf_counter()
        way = choice.way
        with solver.take(choice, K) as factor:
            solution = factor.solve(one_hot(y, len(data.classes)))
            start = time.perf_counter()
            scores = gram(data.X_test, K.kernel, K.points).product(solution.coef)
            done = time.perf_counter()
        seconds = factor.seconds | solution.seconds | {"predict": done - start, "total": done - begin}
        error = error_rate(scores, data.y_test)
        rate = len(X) ** 3 / 3 / seconds["factor"]
        residual, pool = solution.relative_residual, self.pool.total_bytes()
        cells = [way.precision, way.storage, f"{seconds['total']:.3g}"]
        cells += [", ".join(f"{name} {value:.3g}" for name, value in seconds.items()), f"{rate / 1e12:.3g} TFLOP/s"]
        cells += [f"{residual:.1e}", f"{error:.4g}", f"{pool / 1e9:.3g} GB"]
        return {
            "cells": cells,
            "way": dataclasses.asdict(way),
            "seconds": seconds,
            "residual": residual,
            "steps": solution.report["steps"],
            "test_error": error,
            "pool_bytes": pool,
        }


PARTS = {name: getattr(Bench, name) for name in ("gemm", "blocks", "gram", "solve", "large", "small", "factor")}

if __name__ == "__main__":
    main()
