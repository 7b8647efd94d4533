"""One GPU, measured: its products, its own Cholesky, ours, and the whole job on MNIST.

Runs on a bare checkout, also as `python benchmarks/gpu.py`, with CuPy and the numerical packages alone.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from benchmarks.__main__ import main

    sys.exit(main(["gpu", *sys.argv[1:]]))

import contextlib
import dataclasses
import functools
import math
import time
import traceback
import types

import numpy as np

from benchmarks.experiments import MNIST, enlarged
from benchmarks.runner import Table, at_least, at_most, case, figure, measures, phases, timed, within

PEAK = 66.9e12  # float64 operations per second of an H200's tensor cores, by its data sheet
LOWER, UPPER = 0, 1  # cuBLAS's names
PARTS = ("gemm", "blocks", "gram", "solve", "large", "small", "factor")


@case(
    targets={
        "Gram, factor, solve, predict: solve, float64": at_most(2.2),
        f"factor / {PEAK / 1e12:g} TFLOP/s: solve, float64": at_least(0.60),
        "test error: solve": within(0.0122, 0.0002),
        "norm: solve": within(145.10, 0.05),
        "relative residual": at_most(1e-9),
        "largest error, products of pixels": at_most(0),
    },
    smoke={"data": "digits", "n": 250, "bandwidth": 1.0, "gemm": (64,), "block": 24, "rows": 100, "large": 350}
    | {"factor": (100, 200), "widths": (24, 64), "mixed_limit": 2e9, "host_limit": 1e9, "stand_in": True},
)
def gpu(
    parts=PARTS,
    data="mnist",
    n=MNIST,
    bandwidth=5.0,
    gemm=(8192, 16_384),
    block=2048,
    rows=60_000,
    factor=(20_000, 40_000, 60_000),
    widths=(1024, 2048, 4096),
    large=100_000,
    mixed_limit=16e9,
    host_limit=6e9,
    stand_in=False,
):
    """One GPU: its products, its own Cholesky, ours, and the whole job on MNIST; meant for 8 minutes of one H200.

    It has not been run on a GPU yet. Parts: gemm (rates of matrix products, those of float16 halves among them, and
    whether products of pixels as int8 are exact), blocks (the routines that a panel is made of), gram (all Gram blocks
    of the lower triangle and nothing else), solve (all of MNIST), large (n = 100,000: MNIST, and images moved by one
    pixel), small (MNIST with 16 GB of the card in mixed precision, and with 6 GB, streamed from the memory of the
    host), factor (our panels by width and precision, and cuSOLVER's Cholesky in place; last, since a fault inside of it
    would take the card from what follows). A part that fails says so, and the others go on. Everything is run small
    before it is timed. --smoke runs all of it on the tests' stand-in for CuPy, without a GPU.
    """
    sizes, failed = types.SimpleNamespace(**locals()), []
    with _stand_in() if stand_in else contextlib.nullcontext():
        from kernelfit import backend

        bench = Bench(backend.device("cuda"), sizes)
        yield measures("The card", {name: str(value) for name, value in bench.device.describe().items()})
        for part in parts:
            try:
                with bench.limited(None):
                    yield from getattr(bench, part)()
            except Exception as error:
                traceback.print_exc()
                failed.append(part)
                yield measures(part, {"failed": f"{type(error).__name__}: {error}".replace("\n", " ")})
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


@contextlib.contextmanager
def _stand_in():
    """Put the tests' stand-in in the place of CuPy, and make tiles small enough for several of them."""
    from kernelfit.backend import cuda
    from kernelfit.solvers import out_of_core
    from kernelfit.solvers.planning import rates
    from tests.support import fake_cuda

    cuda.open_cuda = functools.partial(cuda.open_cuda, tile=64, panel=24)
    cuda.Cuda.probe, out_of_core.PIECE = 64, 600
    upload = rates._measure_upload
    rates._measure_upload = lambda device: upload(device, count=1000)
    with fake_cuda.installed():
        yield


class Bench:
    """The parts, and what they share: the device, the sizes, and the data."""

    def __init__(self, device, sizes):
        from kernelfit.solvers.planning.rates import measure_gemm

        self.device, self.sizes = device, sizes
        self.xp, self.pool = device.xp, device.xp.get_default_memory_pool()
        self.rates = {name: measure_gemm(device.probe, dtype=name, device=device) for name in ("float64", "float32")}
        self.rates["halves"] = measure_gemm(device.probe, dtype=np.float32, device=device, halves=True)
        self.data = enlarged(sizes.data, sizes.n)
        for precision in ("float64", "mixed"):
            self._solved(dataclasses.replace(self.data, **_first(self.data, 2000)), precision, "memory")  # compiles

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

    def seconds(self, function, repeats=3):
        """Return the least seconds that function() takes on the device, after a first time that is not counted."""
        times = []
        for _ in range(1 + repeats):
            self.device.synchronize()
            start = time.perf_counter()
            function()
            self.device.synchronize()
            times.append(time.perf_counter() - start)
        return min(times[1:])

    def random(self, shape, dtype):
        """Return numbers between -1 and 1, made on the device."""
        return self.xp.sin(self.xp.arange(math.prod(shape), dtype=dtype)).reshape(shape)

    def gram_of(self, X):
        from kernelfit.grams.matrix import gram
        from kernelfit.kernels import Gaussian

        return gram(X, Gaussian(self.sizes.bandwidth), device=self.device)

    # ---- parts -----------------------------------------------------------------------------------------------------

    def gemm(self):
        """Rates, and the largest error of products of pixels."""
        from kernelfit.solvers.planning.rates import measure_gemm

        m, k, rows = self.sizes.rows, self.sizes.block, {}
        for dtype, halves in (("float64", False), ("float32", False), ("float32", True)):
            what = f"{dtype}{' as halves of float16' * halves}"
            for n in self.sizes.gemm:
                rate = measure_gemm(n, dtype=np.dtype(dtype), device=self.device, halves=halves)
                rows[f"{what}, n = {n:,}"] = _rate(rate)
            A, C = self.random((m, k), dtype), self.xp.zeros((m, k), np.dtype(dtype))
            options = {"alpha": -1.0, "beta": 1.0, "transpose_b": True}
            product = self.device.subtract_halves if halves else functools.partial(self.device.gemm, **options)
            taken = self.seconds(functools.partial(product, A, A[:k], C))
            rows[f"{what}, {m:,} x {k:,} by its square, as a panel asks for"] = _rate(2 * m * k * k / taken)
        error, rate = self._pixels()
        rows |= {"largest error, products of pixels": figure(error), "products of pixels": _rate(rate)}
        yield measures("gemm: matrix products", rows)

    def _pixels(self):
        """Return the largest error of products of pixels against float64, which is exact, and their rate."""
        n, d = self.sizes.gemm[0], 784
        pixels = np.random.default_rng(0).integers(-128, 128, (n, d), np.int8)
        pixels[0] = pixels[-1] = -128  # the largest sum there is
        A, C, exact = self.device.array(pixels), self.device.empty((n, n), np.int32), self.device.empty((n, n))
        wide = A.astype(np.float64)
        self.device.gemm(wide, wide, exact, transpose_b=True)
        taken = self.seconds(lambda: self.device.multiply_pixels(A, A, C))
        return float(self.xp.abs(exact - C).max()), 2 * n * n * d / taken

    def blocks(self):
        """Rates of potrf in both triangles and of the triangular solve below it, at the width of a panel."""
        n, m, rows = self.sizes.block, self.sizes.rows, {}
        for dtype in ("float64", "float32"):
            K = self.random((n, n), dtype)
            K = K @ K.T / n
            self.xp.fill_diagonal(K, K.diagonal() + 1.0)
            for name, fill in (("upper, which is ours", UPPER), ("lower", LOWER)):
                copies = [K.copy() for _ in range(4)]
                taken = self.seconds(lambda copies=copies, fill=fill: self._potrf(copies.pop(), fill))
                rows[f"potrf {dtype} {name}"] = _rate(n**3 / 3 / taken)
            self.device.potrf(K)
            B = self.random((m, n), dtype)
            taken = self.seconds(functools.partial(self.device.trsm, K, B, right=True, transpose=True))
            rows[f"trsm {dtype}"] = _rate(m * n * n / taken)
        yield measures(f"blocks: {n:,} columns, {m:,} rows", rows)

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
        X, rows = self.data.X_train, []
        for n in sorted({min(n, len(X)) for n in self.sizes.factor}):
            K = self.gram_of(X[:n])
            kinds = ("float64", "float32", "halves")
            ways = [("panels", dtype, width) for dtype in kinds for width in self.sizes.widths]
            for method, dtype, width in [*ways, ("cuSOLVER", "float64", n)]:
                row = {"method": f"{method}, n = {n:,}, {dtype}, {width:,} columns"}
                try:
                    taken = self._whole(K) if method == "cuSOLVER" else self._panels(K, dtype, width)
                    rate = n**3 / 3 / taken
                    row |= {"factor alone": figure(taken, "s"), "rate": _rate(rate)}
                    row["rate / matrix product"] = figure(rate / self.rates[dtype])
                except Exception as error:  # too large for the card or for cuSOLVER's indices: that is a result too
                    row["factor alone"] = f"{type(error).__name__}: {error}".replace("\n", " ")[:100]
                self.pool.free_all_blocks()
                rows.append(row)
        yield Table("factor", rows)

    def _whole(self, K):
        n = K.shape[0]
        A, taken = self.device.empty((n, n)), math.inf
        for _ in range(2):  # the first of a size also loads code
            K.block((0, n), (0, n), out=A)
            self.device.synchronize()
            start = time.perf_counter()
            self._potrf(A, LOWER)
            self.device.synchronize()
            taken = time.perf_counter() - start
        return taken

    def _panels(self, K, dtype, width):
        from kernelfit.solvers.panel_cholesky import cholesky
        from kernelfit.solvers.panels import MemoryPanels

        halves = dtype == "halves"
        panels = MemoryPanels(K.shape[0], width, np.dtype("float32" if halves else dtype), self.device)
        return cholesky(K, panels=panels, halves=halves).seconds["factor"]

    def gram(self):
        """All blocks of the lower triangle as the factorisation asks for them."""
        K, n, width, rows = self.gram_of(self.data.X_train), len(self.data.X_train), self.sizes.block, []
        for dtype in ("float64", "float32"):
            panel = self.device.empty((n * width,), np.dtype(dtype))

            def every_panel(panel=panel):
                for start in range(0, n, width):
                    stop = min(start + width, n)
                    out = panel[: (n - start) * (stop - start)].reshape(n - start, stop - start)
                    K.block((start, n), (start, stop), out=out)

            taken = self.seconds(every_panel)
            rate = figure(n * n / 2 / taken, "billion entries a second", scale=1e9)
            rows.append({"blocks in": dtype, "time": figure(taken, "s"), "rate": rate})
        yield Table(f"gram: n = {n:,}", rows)

    def solve(self):
        """The whole job: MNIST, with all of the card."""
        yield from self._ways("solve", self.data, [("float64", "memory", None), ("mixed", "memory", None)])

    def large(self):
        """More points than MNIST has: its images, and some of them moved by one pixel."""
        more = enlarged(self.sizes.data, self.sizes.large)
        yield from self._ways("large", more, [("float64", "auto", None), ("mixed", "auto", None)])

    def small(self):
        """MNIST on less memory than the card has."""
        ways = [("mixed", "memory", self.sizes.mixed_limit)]
        ways += [(precision, "host", self.sizes.host_limit) for precision in ("float64", "mixed")]
        yield from self._ways("small", self.data, ways)

    def _ways(self, part, data, ways):
        """Solve for a Dataset in each (precision, storage, limit of the pool); yield a Table for each."""
        for precision, storage, limit in ways:
            room = f"within {limit / 1e9:g} GB" if limit else "with all memory"
            title = f"{part}: n = {len(data.X_train):,}, {precision}, {room}"
            try:
                with self.limited(limit):
                    rows = self._solved(data, precision, storage, part)
            except Exception as error:  # the other ways are worth having
                rows = {"failed": str(error)[:200]}
            yield measures(title, rows)

    def _solved(self, data, precision, storage, part=""):
        """Solve in one way, on a card that is empty but for the points; return what there is to say of it."""
        from kernelfit.datasets.labels import error_rate, one_hot
        from kernelfit.grams.matrix import gram
        from kernelfit.solvers.auto import Auto

        n, outputs = len(data.X_train), len(data.classes)
        options = {"outputs": outputs, "n_test": len(data.X_test), "storage": storage}
        solver, K = Auto(device=self.device, precision=precision, **options), self.gram_of(data.X_train)
        choice = solver.choose(K)
        with solver.take(choice, K) as factor:
            solution = factor.solve(one_hot(data.y_train, outputs))
            K_test = gram(data.X_test, K.kernel, K.points)
            scores, predicting = timed(factor.predict, K_test, solution.coef)
        seconds = factor.seconds | solution.seconds | {"predict": predicting}
        job = sum(seconds.get(name, 0.0) for name in ("gram", "factor", "solve", "refine", "predict"))
        part = part if n == MNIST else f"{part}, n = {n:,}"
        rate, which = n**3 / 3 / seconds["factor"], f"{part}, {precision}"
        return {
            f"Gram, factor, solve, predict: {which}": figure(job, "s"),
            "seconds": phases(seconds),
            "factor in": f"{choice.way.precision}, {choice.way.storage}{', halves' * choice.way.halves}",
            "factor, rate": _rate(rate),
            f"factor / {PEAK / 1e12:g} TFLOP/s: {which}": figure(rate / PEAK),
            "factor / matrix product": figure(rate / choice.plan.rates.gemm(precision, halves=choice.way.halves)),
            f"test error: {part}": figure(error_rate(scores, data.y_test)),
            f"norm: {part}": figure(solution.norm.total, digits=7),
            "relative residual": figure(solution.relative_residual, digits=2),
            "steps": str(solution.report["steps"]),
            "memory pool": figure(self.pool.total_bytes(), "GB", scale=1e9),
        }


def _rate(value):
    return figure(value, "TFLOP/s", scale=1e12)


def _first(data, n):
    return {"X_train": data.X_train[:n], "y_train": data.y_train[:n]}
