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
    yield _worth(data, n, maps, seeds, chosen=True)


@case(smoke={"data": "digits", "n": 200, "maps": ("pixels",), "seeds": 1})
def features_trials(data="mnist", n=5_000, maps=TRIALS, seeds=4):
    """What was tried for the defaults, by leave-one-out alone; the bandwidth is the median distance."""
    yield _worth(data, n, maps, seeds, chosen=False)


def _worth(data, n, maps, seeds, chosen):
    rows = []
    for name in maps:
        runs = [apart(errors, data, n, name, seed, chosen) for seed in range(seeds)]
        loo = of(runs, "leave-one-out error")
        row = {"features": name, "d": f"{runs[0].pop('d'):,}", "leave-one-out error": loo}
        row["mean"] = figure(statistics.mean(loo.values))
        rows.append(row | {key: of(runs, key) for key in list(runs[0])[1:]})
    return Table(f"n = {n:,} of {data}, Gaussian kernel, seeds 0 to {seeds - 1}", rows)


def errors(data, n, name, seed, chosen):
    """Return what the features are worth; test errors only where the bandwidth was chosen by leave-one-out."""
    import numpy as np

    from kernelfit.datasets.labels import error_rate, one_hot
    from kernelfit.features import parse_features
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.models.bandwidth import choose_bandwidth, median_distance
    from kernelfit.solvers.cholesky import Cholesky

    used = datasets.load(data, n_train=n, seed=seed)
    X, X_test = parse_features(name).points(used.X_train, used.X_test)
    Y, options = one_hot(used.y_train, len(used.classes)), {"score": "error", "subsample": len(X)}
    bandwidth = choose_bandwidth(X, Y, Gaussian(), **options).bandwidth if chosen else median_distance(X)
    K = gram(X, Gaussian(bandwidth))
    factor = Cholesky().factor(K)
    solution = factor.solve(Y)
    scores = solution.left_out(factor.inverse_diagonal())
    found = {"leave-one-out error": error_rate(scores, used.y_train)}
    found |= {"d": int(np.prod(X.shape[1:])), "squared error": float(np.mean(np.sum((scores - Y) ** 2, axis=1)))}
    if chosen:
        test = error_rate(gram(X_test, K.kernel, K.points).product(solution.coef), used.y_test)
        found |= {"bandwidth": float(bandwidth), "test error": test, "norm 0/1": solution.norm.total}
    return found
