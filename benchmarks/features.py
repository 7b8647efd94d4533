"""Image maps on MNIST: how fast, and what they are worth by leave-one-out on 5,000 training points.

    python benchmarks/features.py               both parts: 10 minutes on 2 cores
    python benchmarks/features.py speed         60,000 images by each map, beside a plain script with scipy.fft
    python benchmarks/features.py error         leave-one-out and test errors at n = 5,000
    python benchmarks/features.py error --trials      what was tried for the defaults: 20 minutes

Every run is a process of its own. The bandwidth is the one of least leave-one-out error, by kernelfit.models.bandwidth;
in the trials it is the median distance. The defaults of the features were chosen by leave-one-out too; test errors are
printed only for what has been chosen. Needs MNIST (KERNELFIT_DATA).
"""

import argparse
import json
import statistics
import sys
import time

import common

BAR = 60.0  # seconds for Gabor on 60,000 images and 2 cores
SEEDS = (0, 1)
SUBSETS = 4  # of 5,000 training points, on which trials are compared

CHOSEN = ["pixels", "Wavelet()", "Gabor()", "Scattering()"]
TRIALS = [
    "Gabor()",
    "Gabor(root=1.0)",
    "Gabor(root=1 / 3)",
    "Gabor(step=3)",
    "Gabor(blur=1.6)",
    "Gabor(blur=2.5)",
    "Gabor(aspect=1.0)",
    "Gabor(aspect=0.6)",
    "Gabor(wavelet='cmor0.4-1.0')",
    "Gabor(wavelet='cmor0.6-1.0')",
    "Gabor(orientations=6)",
    "Gabor(orientations=12)",
    "Gabor((4, 8))",
    "Gabor((4, 7, 12))",
    "Gabor((4, 5.6, 8, 11))",
    "Gabor((3, 4.5, 6.5, 9))",
    "Gabor(low=1.0)",
    "Gabor(low=4.0)",
    "Gabor(floor=0.1)",
    "Scattering()",
    "Scattering(root=1 / 3)",
    "Scattering(aspect=1.0)",
    "Scattering(second_wavelengths=(12,), second_weight=0.34)",
    "Scattering(second_orientations=4)",
    "Scattering(second_weight=1.0)",
    "Scattering(second_weight=0.5)",
    "Scattering(second_root=1.0)",
    "Scattering(second_root=1 / 3)",
    "Scattering(second_blur=5.0)",
    "Scattering(second_blur=3.0, second_step=5)",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["speed", "error"], choices=["speed", "error"])
    parser.add_argument("--trials", action="store_true")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    if "--child" in sys.argv:
        name, *arguments = sys.argv[sys.argv.index("--child") + 1 :]
        print(json.dumps({"transform": transform, "plain": plain, "errors": errors}[name](*arguments)))
        return
    options = parser.parse_args()
    common.describe("Image maps as features", {})
    if "speed" in options.parts:
        speed()
    if "error" in options.parts:
        error(options.trials)


def speed():
    baseline = [common.child(__file__, "plain") for _ in range(2)]
    print("\n## 60,000 images of MNIST\n")
    header = ["features", "bar", "time", "processor time", "images / s", "faster by", "and by processor time"]
    rows = [row("the same Gabor bank by scipy.fft, all threads", "", baseline, baseline)]
    for name in CHOSEN[1:]:
        runs = [common.child(__file__, "transform", name) for _ in range(3)]
        bar = f"<= {BAR:.0f} s" if name == "Gabor()" else ""
        rows.append(row(f"{name}, d = {runs[0]['d']:,}", bar, runs, baseline))
    common.table([*header, "peak memory, features included"], rows)
    print(f"\nLargest difference of the plain script's features from Gabor()'s: {baseline[0]['difference']:.1e}")


def row(title, bar, runs, baseline):
    """One line of the table; on a machine with other work, the processor time tells what a quiet one would take."""
    texts, ratios = [], []
    for clock in ("seconds", "processor"):
        values = [run[clock] for run in runs]
        texts.append(common.spread(values, "s"))
        ratios.append(statistics.median(run[clock] for run in baseline) / statistics.median(values))
    rate = 60_000 / statistics.median(run["seconds"] for run in runs)
    peak = f"{runs[0]['peak'] / 1e9:.2f} GB"
    return [title, bar, *texts, f"{rate:,.0f}", *(f"{ratio:.1f}" for ratio in ratios), peak]


def error(trials):
    title = "Trials, leave-one-out alone" if trials else "Chosen by leave-one-out alone"
    print(f"\n## {title}: n = 5,000 of the training points, Gaussian kernel\n")
    seeds = range(SUBSETS) if trials else SEEDS
    header = ["features", "d", "leave-one-out error by subset, %", "mean", "squared error"]
    common.table(header if trials else [*header, "bandwidth", "test error, %", "norm (0/1)"], [])
    for name in TRIALS if trials else CHOSEN:
        runs = [common.child(__file__, "errors", name, seed, int(trials)) for seed in seeds]
        loo = [100 * run["loo"] for run in runs]
        line = [name, f"{runs[0]['d']:,}", " ".join(f"{value:.2f}" for value in loo), f"{statistics.mean(loo):.2f}"]
        line.append(f"{statistics.mean(run['squared'] for run in runs):.4f}")
        if not trials:
            line.append(" ".join(f"{run['bandwidth']:.3g}" for run in runs))
            line.append(" ".join(f"{100 * run['test']:.2f}" for run in runs))
            line.append(" ".join(f"{run['norm']:.0f}" for run in runs))
        print("| " + " | ".join(line) + " |", flush=True)


def features(name):
    from kernelfit.features import Gabor, Pixels, Scattering, Wavelet

    makers = {"Gabor": Gabor, "Scattering": Scattering, "Wavelet": Wavelet}
    return Pixels() if name == "pixels" else eval(name, makers)  # the names are those of this file


def transform(name):
    from kernelfit import backend, datasets

    X = datasets.load("mnist").X_train
    made = features(name)
    start, busy = time.perf_counter(), time.process_time()
    F = made.transform(X)
    found = {"seconds": time.perf_counter() - start, "processor": time.process_time() - busy}
    return found | {"d": F.shape[1], "peak": backend.peak_memory()}


def plain():
    """Gabor() as a script would do it: complex FFTs of padded images in float32, filter by filter, on all threads."""
    import numpy as np
    import scipy.fft

    from kernelfit import backend, datasets
    from kernelfit.features import Gabor
    from kernelfit.features.blur import pooling_matrix
    from kernelfit.features.gabor import morlet_bank

    gabor = Gabor()
    X = datasets.load("mnist").X_train
    start, busy = time.perf_counter(), time.process_time()
    h, w = X.shape[1:]
    bank = morlet_bank(gabor.wavelet, gabor.wavelengths, gabor.orientations, gabor.aspect, tolerance=1e-4)
    N = scipy.fft.next_fast_len(h + max(len(taps) for taps in bank) // 2)
    responses = []
    for taps in bank:
        r = len(taps) // 2
        wrapped = np.zeros((N, N), complex)
        offsets = np.arange(-r, r + 1) % N
        np.add.at(wrapped, np.ix_(offsets, offsets), taps)
        responses.append(scipy.fft.fft2(wrapped).astype(np.complex64))
    P = pooling_matrix(h, blur=gabor.blur, step=gabor.step).astype(np.float32)
    out = np.empty((len(X), len(bank) + 1, len(P), len(P)), np.float32)
    threads = backend.num_threads()
    for first in range(0, len(X), 500):
        x = X[first : first + 500].astype(np.float32) / 255
        spectra = scipy.fft.fft2(x, (N, N), workers=threads)
        for k, response in enumerate(responses):
            rows = scipy.fft.ifft(spectra * response, axis=1, workers=threads)[:, :h]
            z = scipy.fft.ifft(rows, axis=2, workers=threads)[:, :, :w]
            m = np.sqrt(z.real**2 + z.imag**2 + np.float32(gabor.floor**2))
            out[first : first + 500, k] = P @ m**gabor.root @ P.T
        out[first : first + 500, -1] = gabor.low * (P @ x @ P.T)
    found = {"seconds": time.perf_counter() - start, "processor": time.process_time() - busy}
    difference = np.abs(out[:500].reshape(500, -1) - gabor.transform(X[:500])).max()
    return found | {"peak": backend.peak_memory(), "difference": float(difference)}


def errors(name, seed, trial):
    import numpy as np

    from kernelfit import datasets
    from kernelfit.datasets.labels import error_rate, one_hot
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.models.bandwidth import choose_bandwidth, median_distance
    from kernelfit.solvers.cholesky import Cholesky

    data = datasets.load("mnist", n_train=5000, seed=int(seed))
    X, X_test = features(name).points(data.X_train, data.X_test[:1] if int(trial) else data.X_test)
    if int(trial):
        bandwidth, Y = median_distance(X), one_hot(data.y_train, 10)
        factor = Cholesky().factor(gram(X, Gaussian(bandwidth)))
        scores = factor.solve(Y).left_out(factor.inverse_diagonal())
        squared = float(np.mean(np.sum((scores - Y) ** 2, axis=1)))
        return {"loo": error_rate(scores, data.y_train), "squared": squared, "d": X.shape[1]}
    Y = one_hot(data.y_train, 10)
    choice = choose_bandwidth(X, Y, Gaussian(), score="error", subsample=len(X))
    best = next(row for row in choice.candidates if row["bandwidth"] == choice.bandwidth)
    found = {"loo": best["loo_error"], "squared": best["loo_squared_error"], "bandwidth": choice.bandwidth}
    found["d"] = int(np.prod(X.shape[1:]))
    kernel = Gaussian(choice.bandwidth)
    K = gram(X, kernel)
    solution = Cholesky().factor(K).solve(Y)
    found["test"] = error_rate(gram(X_test, kernel, K.points).product(solution.coef), data.y_test)
    found["norm"] = solution.norm.total
    return found


if __name__ == "__main__":
    main()
