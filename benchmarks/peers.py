"""Other people's exact solvers of the same problem on the same threads: the contenders of `kernelfit bench`."""

import functools

from benchmarks.experiments import gram_of, outcome
from benchmarks.runner import Table, apart, at_least, at_most, case, figure, measures, of, ratio, rounds

NAMES = ("kernelfit mixed", "kernelfit float64", "scipy", "scikit-learn")
CRASHES = ("killed by SIGSEGV", "killed by SIGABRT", "killed by SIGILL")
NOTE = (
    "Limit: n^3 / 3 at the float64 matrix-product rate measured right before. Ratios are of the same round. scipy's "
    "matrix was ready before the clock started, so that only its fit compares, with the fit of kernelfit."
)


@case(
    targets={
        "scikit-learn: time / mixed": at_least(2.5),
        "scikit-learn: memory / mixed": at_least(5),
        "scikit-learn: time / float64": at_least(2),
        "scikit-learn: memory / float64": at_least(4),
        "scipy: fit / mixed": at_least(1.5),
        "coefficients, kernelfit and scikit-learn, relative": at_most(1e-8),
    },
    smoke={"data": "digits", "n": 300, "bandwidth": 1.0, "repeats": 1},
)
def peers(data="mnist", n=20_000, bandwidth=5.0, repeats=3, contenders=NAMES):
    """scikit-learn's KernelRidge and LAPACK by scipy beside kernelfit: fit, and predictions of the test points.

    Where the kernels that OpenBLAS chose crash, the contender runs with AVX2 kernels, and its row says so.
    """
    kernels, crashes, options = {}, [], {"data": data, "sizes": (n,), "bandwidth": bandwidth}

    def contend(name):
        row = apart(outcome, "bench", options | {"contenders": (name,)}, **kernels.get(name, {}))
        if row.get("skipped") in CRASHES and name not in kernels:
            kernels[name] = {"OPENBLAS_CORETYPE": "Haswell"}
            crashes.append(f"{name} with the kernels that OpenBLAS chose: {row['skipped']}.")
            return contend(name)
        return row

    found = rounds(repeats, {name: functools.partial(contend, name) for name in contenders})
    rows = [_row(name, found, n, name in kernels) for name in contenders]
    yield Table(f"n = {n:,} of {data}: medians of {repeats} rounds", rows, " ".join([NOTE, *crashes]))
    smaller = min(n, 10_000)
    rows = apart(differences, data, smaller, bandwidth)
    yield measures(f"Largest differences, n = {smaller:,}", {name: figure(value) for name, value in rows.items()})


def _row(name, found, n, avx2):
    runs = found[name]
    row = {"solver": name}
    if any(run.get("skipped") for run in runs):
        return row | {"fit": next(run["skipped"] for run in runs if run.get("skipped"))}
    row |= {
        "kernels": "AVX2" if avx2 else "",
        "fit": of(runs, "fit_seconds", unit="s"),
        "fit and predict": of(runs, "seconds", unit="s"),
        "whole process": of(runs, "process_seconds", unit="s"),
        "limit": figure([n**3 / 3 / run["gemm_rate"] for run in runs], "s"),
        "peak memory": of(runs, "peak_bytes", unit="GB", scale=1e9),
        "residual": of(runs, "relative_residual", digits=2),
        "test error": of(runs, "test_error"),
    }
    for ours in ("mixed", "float64"):
        others = found.get(f"kernelfit {ours}", [])
        if others and name != f"kernelfit {ours}" and not any(run.get("skipped") for run in others):
            compared = {"fit": "fit_seconds"} if name == "scipy" else {"time": "seconds", "memory": "peak_bytes"}
            row |= {f"{what} / {ours}": ratio(of(runs, key), of(others, key)) for what, key in compared.items()}
    return row


OURS, REFERENCE = "kernelfit estimator", "scikit-learn"
EVERYBODY = (OURS, "kernelfit mixed", REFERENCE, "scikit-learn GP", "torch", "gpytorch")
TIMES = {500: 1.0, 2_000: 1.0, 5_000: 1.5, 10_000: 2.0, 20_000: 3.0}


@case(
    targets={f"{REFERENCE}, n = {n:,}: process / {OURS}": at_least(times) for n, times in TIMES.items()},
    smoke={"data": "digits", "sizes": (100, 200), "bandwidth": 1.0, "repeats": 1, "contenders": (OURS, REFERENCE)},
)
def sizes(data="mnist", sizes=tuple(TIMES), bandwidth=5.0, repeats=3, contenders=EVERYBODY, kernels="Haswell"):
    """Whole processes, from their start to their predictions, from n = 500 up: float64 points, the same BLAS kernels.

    Imports and reading the points count. kernelfit's estimator runs cold too: without code that earlier runs compiled
    and kept. Everybody gets the kernels of OpenBLAS that are named here; torch brings a library of its own.
    """
    for n in sizes:
        runs = {name: {"contenders": (name,)} for name in contenders}
        runs |= {f"{name}, cold": {"contenders": (name,), "cold": True} for name in contenders if name == OURS}
        options = {"data": data, "sizes": (n,), "bandwidth": bandwidth, "floats": True}
        contend = {
            name: functools.partial(apart, outcome, "bench", options | own, OPENBLAS_CORETYPE=kernels)
            for name, own in runs.items()
        }
        found = rounds(repeats, contend)
        yield Table(f"n = {n:,} of {data}: medians of {repeats} rounds", [_whole(name, found, n) for name in runs])


def _whole(name, found, n):
    runs, ours = found[name], found.get(OURS, [])
    row = {"solver": f"{name}, n = {n:,}"}
    skipped = [run["skipped"] for run in runs if run.get("skipped")]
    if skipped:
        return row | {"whole process": skipped[0]}
    row |= {
        "whole process": of(runs, "process_seconds", unit="s"),
        "fit and predict": of(runs, "seconds", unit="s"),
        "peak memory": of(runs, "peak_bytes", unit="GB", scale=1e9),
        "kernels": " ".join(runs[0]["blas"]),
    }
    if not name.startswith(OURS) and ours and not any(run.get("skipped") for run in ours):
        row[f"process / {OURS}"] = ratio(of(runs, "process_seconds"), of(ours, "process_seconds"))
    return row


def differences(data, n, bandwidth):
    """Return how far the coefficients and the predictions of scikit-learn are from ours."""
    import numpy as np
    from sklearn.kernel_ridge import KernelRidge

    from kernelfit import datasets
    from kernelfit.datasets.labels import one_hot
    from kernelfit.grams.matrix import gram
    from kernelfit.solvers.panel_cholesky import cholesky

    used = datasets.load(data, n_train=n)
    K, Y = gram_of(data, n, bandwidth), one_hot(used.y_train, 10)
    coef = cholesky(K).solve(Y)
    scores = gram(used.X_test, K.kernel, K.points).product(coef)
    X, Z = (part.reshape(len(part), -1) / 255 for part in (used.X_train, used.X_test))
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / (2 * bandwidth**2)).fit(X, Y)
    far = np.abs(model.dual_coef_ - coef).max() / np.abs(coef).max()
    return {
        "coefficients, kernelfit and scikit-learn, relative": float(far),
        "predictions": float(np.abs(model.predict(Z) - scores).max()),
    }
