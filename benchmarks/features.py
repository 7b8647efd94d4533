"""Image maps on MNIST: how fast, and what they are worth by leave-one-out on 5,000 training points.

    python benchmarks/features.py               both parts: 10 minutes on 2 cores
    python benchmarks/features.py speed         60,000 images by each map, beside a plain script with scipy.fft
    python benchmarks/features.py error         leave-one-out and test errors at n = 5,000
    python benchmarks/features.py error --trials      every trial behind the defaults: an hour

Each line of the tables is a process of its own. The bandwidth of each subset is the one of least leave-one-out error,
by kernelfit.bandwidth; the defaults of the features were chosen by it too, over subsets of training points alone. Test
errors are printed only without --trials, for what has been chosen. Needs MNIST (KERNELFIT_DATA).
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
    reference = statistics.median(run["seconds"] for run in baseline)
    print("\n## 60,000 images of MNIST\n")
    rows = [["the same Gabor bank by scipy.fft, all threads", "", common.spread([r["seconds"] for r in baseline], "s")]]
    rows[0] += [f"{60_000 / reference:,.0f}", "1", f"{baseline[0]['peak'] / 1e9:.2f} GB"]
    for name in CHOSEN[1:]:
        runs = [common.child(__file__, "transform", name) for _ in range(3)]
        seconds = statistics.median(run["seconds"] for run in runs)
        rows.append([f"{name}, d = {runs[0]['d']:,}", f"<= {BAR:.0f} s" if name == "Gabor()" else ""])
        rows[-1] += [common.spread([run["seconds"] for run in runs], "s"), f"{60_000 / seconds:,.0f}"]
        rows[-1] += [f"{reference / seconds:.1f}", f"{runs[0]['peak'] / 1e9:.2f} GB"]
    common.table(["features", "bar", "time", "images / s", "faster by", "peak memory, features included"], rows)
    print(f"\nLargest difference of the plain script's features from Gabor()'s: {baseline[0]['difference']:.1e}")


def error(trials):
    title = "Trials, leave-one-out alone" if trials else "Chosen by leave-one-out alone"
    print(f"\n## {title}: n = 5,000 of the training points, Gaussian kernel\n")
    seeds = range(SUBSETS) if trials else SEEDS
    header = ["features", "d", "leave-one-out error by subset, %", "mean", "squared error"]
    common.table(header if trials else [*header, "bandwidth", "test error, %", "norm (0/1)"], [])
    for name in TRIALS if trials else CHOSEN:
        runs = [common.child(__file__, "errors", name, seed, int(trials)) for seed in seeds]
        loo = [100 * run["loo"] for run in runs]
        row = [name, f"{runs[0]['d']:,}", " ".join(f"{value:.2f}" for value in loo), f"{statistics.mean(loo):.2f}"]
        row.append(f"{statistics.mean(run['squared'] for run in runs):.4f}")
        if not trials:
            row.append(" ".join(f"{run['bandwidth']:.3g}" for run in runs))
            row.append(" ".join(f"{100 * run['test']:.2f}" for run in runs))
            row.append(" ".join(f"{run['norm']:.0f}" for run in runs))
        print("| " + " | ".join(row) + " |", flush=True)


def features(name):
    from kernelfit.features import Gabor, Pixels, Scattering, Wavelet

    makers = {"Gabor": Gabor, "Scattering": Scattering, "Wavelet": Wavelet}
    return Pixels() if name == "pixels" else eval(name, makers)  # the names are those of this file


def transform(name):
    from kernelfit import backend, datasets

    X = datasets.load("mnist").X_train
    made = features(name)
    start = time.perf_counter()
    F = made.transform(X)
    return {"seconds": time.perf_counter() - start, "d": F.shape[1], "peak": backend.peak_memory()}


def plain():
    """Gabor() as a script would do it: complex FFTs of padded images in float32, filter by filter, on all threads."""
    import numpy as np
    import scipy.fft

    from kernelfit import backend, datasets
    from kernelfit.features import Gabor
    from kernelfit.features.gabor import morlet_bank
    from kernelfit.features.pooling import pooling_matrix

    gabor = Gabor()
    X = datasets.load("mnist").X_train
    start = time.perf_counter()
    h, w = X.shape[1:]
    bank = morlet_bank(gabor.wavelet, gabor.wavelengths, gabor.orientations, gabor.aspect, tolerance=1e-4)
    N = scipy.fft.next_fast_len(h + max(len(taps) for taps in bank) // 2)
    responses = []
    for taps in bank:
        r = len(taps) // 2
        padded = np.zeros((max(N, len(taps)),) * 2, complex)
        padded[: len(taps), : len(taps)] = taps
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
    seconds = time.perf_counter() - start
    difference = np.abs(out[:500].reshape(500, -1) - gabor.transform(X[:500])).max()
    return {"seconds": seconds, "peak": backend.peak_memory(), "difference": float(difference)}


def errors(name, seed, trial):
    import numpy as np

    from kernelfit import datasets
    from kernelfit.bandwidth import choose_bandwidth
    from kernelfit.gram import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.measures import error_rate, one_hot
    from kernelfit.solvers.cholesky import cholesky

    data = datasets.load("mnist", n_train=5000, seed=int(seed))
    X_test = data.X_test[:1] if int(trial) else data.X_test
    X, X_test = features(name).points(data.X_train, X_test)
    choice = choose_bandwidth(X, data.y_train, Gaussian(), n_classes=10, subsample=len(X))
    best = next(row for row in choice.candidates if row["bandwidth"] == choice.bandwidth)
    found = {"loo": best["loo_error"], "squared": best["loo_squared_error"], "bandwidth": choice.bandwidth}
    found["d"] = int(np.prod(X.shape[1:]))
    if not int(trial):
        kernel, Y = Gaussian(choice.bandwidth), one_hot(data.y_train, 10)
        K = gram(X, kernel)
        coef = cholesky(K).solve(Y)
        found["test"] = error_rate(gram(X_test, kernel, K.points).product(coef), data.y_test)
        found["norm"] = float(np.sqrt(np.sum(Y * coef)))
    return found


if __name__ == "__main__":
    main()
