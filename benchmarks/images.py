"""Image maps: how fast they are, and what they are worth by leave-one-out. Needs MNIST.

Every run is a process of its own. The defaults of the features were chosen by leave-one-out on training points; test
errors are measured only for what has been chosen.
"""

import functools
import statistics
import time

from benchmarks.runner import Table, apart, at_most, case, figure, measures, of, rounds
from kernelfit import datasets

CHOSEN = ("wavelet", "gabor", "scattering")
TRIALS = (
    "gabor",
    *(f"gabor(root={root})" for root in (1.0, 1 / 3)),
    "gabor(step=3)",
    *(f"gabor(blur={blur})" for blur in (1.6, 2.5)),
    *(f"gabor(aspect={aspect})" for aspect in (1.0, 0.6)),
    *(f"gabor(wavelet='cmor{bandwidth}-1.0')" for bandwidth in (0.4, 0.6)),
    *(f"gabor(orientations={count})" for count in (6, 12)),
    *(f"gabor(wavelengths={values})" for values in ((4, 8), (4, 7, 12), (4, 5.6, 8, 11), (3, 4.5, 6.5, 9))),
    *(f"gabor(low={low})" for low in (1.0, 4.0)),
    "gabor(floor=0.1)",
    "scattering",
    "scattering(root=0.3333333333333333)",
    "scattering(aspect=1.0)",
    "scattering(second_wavelengths=(12,), second_weight=0.34)",
    "scattering(second_orientations=4)",
    *(f"scattering(second_weight={weight})" for weight in (1.0, 0.5)),
    *(f"scattering(second_root={root})" for root in (1.0, 1 / 3)),
    "scattering(second_blur=5.0)",
    "scattering(second_blur=3.0, second_step=5)",
)
PLAIN = "the same Gabor bank by scipy.fft, all threads"


# ---- speed ---------------------------------------------------------------------------------------------------------


@case(
    targets={"gabor: time": at_most(60)},
    smoke={"data": "digits", "repeats": 1, "maps": ("gabor(wavelengths=(2, 4), step=2)",)},
)
def features(data="mnist", repeats=3, maps=CHOSEN):
    """All training images by each map, beside a plain script with scipy.fft that makes the Gabor features.

    On a machine with other work the processor time tells what a quiet one would take.
    """
    ways = {PLAIN: functools.partial(apart, plain, data)}
    ways |= {name: functools.partial(apart, transformed, data, name) for name in maps}
    found = rounds(repeats, ways)
    rows = []
    for name, runs in found.items():
        faster = {
            clock: figure([a[clock] / b[clock] for a, b in zip(found[PLAIN], runs, strict=True)])
            for clock in ("seconds", "processor")
        }
        row = {
            "features": name,
            "d": f"{runs[0]['d']:,}",
            "time": of(runs, "seconds", unit="s"),
            "processor time": of(runs, "processor", unit="s"),
            "images / s": figure([run["images"] / run["seconds"] for run in runs]),
            "peak memory, features included": of(runs, "peak", unit="GB", scale=1e9),
        }
        if name != PLAIN:
            row |= {"faster by": faster["seconds"], "faster by processor time": faster["processor"]}
        rows.append(row)
    yield Table(f"{found[PLAIN][0]['images']:,} images of {data}", rows)
    yield measures("The plain script's features beside Gabor's", {"difference": of(found[PLAIN][:1], "difference")})


def transformed(data, name):
    from kernelfit import backend
    from kernelfit.features import parse_features

    X, made = datasets.load(data).X_train, parse_features(name)
    start, busy = time.perf_counter(), time.process_time()
    F = made.transform(X)
    found = {"seconds": time.perf_counter() - start, "processor": time.process_time() - busy}
    return found | {"d": F.shape[1], "images": len(X), "peak": backend.peak_memory()}


def plain(data):
    """Gabor features as a script would make them: complex FFTs in float32, filter by filter, on all threads."""
    import numpy as np
    import scipy.fft

    from kernelfit import backend
    from kernelfit.features.blur import pooling_matrix
    from kernelfit.features.gabor import Gabor, morlet_bank

    X = datasets.load(data).X_train
    gabor = Gabor() if X.shape[1] > 8 else Gabor((2, 4), step=2)
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
    found |= {"d": out[0].size, "images": len(X), "difference": float(difference)}
    return found | {"peak": backend.peak_memory()}


# ---- worth ---------------------------------------------------------------------------------------------------------


@case(smoke={"data": "digits", "n": 200, "maps": ("pixels",), "seeds": 1})
def features_worth(data="mnist", n=5_000, maps=("pixels", *CHOSEN), seeds=2):
    """Leave-one-out and test errors of each map on 5,000 training points, the bandwidth chosen by leave-one-out."""
    rows = []
    for name in maps:
        runs = [apart(chosen_errors, data, n, name, seed) for seed in range(seeds)]
        bandwidths = " ".join(f"{run['bandwidth']:.3g}" for run in runs)
        rows.append(_worth(name, runs) | {"bandwidth": bandwidths, "test error": of(runs, "test")})
        rows[-1] |= {"norm 0/1": of(runs, "norm")}
    yield Table(f"n = {n:,} of {data}, Gaussian kernel, seeds 0 to {seeds - 1}", rows)


@case(smoke={"data": "digits", "n": 200, "maps": ("pixels",), "seeds": 1})
def features_trials(data="mnist", n=5_000, maps=TRIALS, seeds=4):
    """What was tried for the defaults, by leave-one-out alone; the bandwidth is the median distance."""
    rows = [_worth(name, [apart(trial, data, n, name, seed) for seed in range(seeds)]) for name in maps]
    yield Table(f"n = {n:,} of {data}, Gaussian kernel, seeds 0 to {seeds - 1}", rows)


def _worth(name, runs):
    loo, squared = ([run[key] for run in runs] for key in ("loo", "squared"))
    row = {"features": name, "d": f"{runs[0]['d']:,}", "leave-one-out error": figure(loo)}
    return row | {"mean": figure(statistics.mean(loo)), "mean squared error": figure(statistics.mean(squared))}


def chosen_errors(data, n, name, seed):
    import numpy as np

    from kernelfit.datasets.labels import error_rate
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.models.bandwidth import choose_bandwidth
    from kernelfit.solvers.cholesky import Cholesky

    used, X, X_test, Y = _points(data, n, name, seed)
    choice = choose_bandwidth(X, Y, Gaussian(), score="error", subsample=len(X))
    best = next(row for row in choice.candidates if row["bandwidth"] == choice.bandwidth)
    K = gram(X, Gaussian(choice.bandwidth))
    solution = Cholesky().factor(K).solve(Y)
    test = error_rate(gram(X_test, K.kernel, K.points).product(solution.coef), used.y_test)
    found = {"loo": best["loo_error"], "squared": best["loo_squared_error"], "bandwidth": choice.bandwidth}
    return found | {"d": int(np.prod(X.shape[1:])), "test": test, "norm": solution.norm.total}


def trial(data, n, name, seed):
    import numpy as np

    from kernelfit.datasets.labels import error_rate
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.models.bandwidth import median_distance
    from kernelfit.solvers.cholesky import Cholesky

    used, X, _, Y = _points(data, n, name, seed)
    factor = Cholesky().factor(gram(X, Gaussian(median_distance(X))))
    scores = factor.solve(Y).left_out(factor.inverse_diagonal())
    squared = float(np.mean(np.sum((scores - Y) ** 2, axis=1)))
    return {"loo": error_rate(scores, used.y_train), "squared": squared, "d": int(np.prod(X.shape[1:]))}


def _points(data, n, name, seed):
    """Return the Dataset, the features of its training and test images, and targets."""
    from kernelfit.datasets.labels import one_hot
    from kernelfit.features import parse_features

    used = datasets.load(data, n_train=n, seed=seed)
    X, X_test = parse_features(name).points(used.X_train, used.X_test)
    return used, X, X_test, one_hot(used.y_train, len(used.classes))
