"""The experiments that stand on one factor, beside one solve: what they cost, and the paper's figures that they give.

Needs MNIST. Every run is a process of its own.
"""

import functools

from benchmarks.experiments import gram_of, outcome, settings, solve
from benchmarks.runner import (
    Table,
    apart,
    at_most,
    case,
    figure,
    measures,
    of,
    phases,
    ratio,
    rounds,
    since_start,
    timed,
    within,
)

SMOKE = {"data": "digits", "n": 300, "bandwidth": 1.0}
RIDGES = (0.0, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


# ---- sweeps --------------------------------------------------------------------------------------------------------


@case(
    targets={
        "sweep / solve, n = 20,000": at_most(1.30),
        "sweep / solve, n = 60,000": at_most(1.10),
        "norm, true labels, n = 60,000": within(145.1, 0.05),
        "norm, random labels, n = 60,000": within(1607, 20),
    },
    smoke=SMOKE | {"seeds": 2},
)
def sweep(data="mnist", n=20_000, bandwidth=5.0, precision="float64", seeds=5, repeats=1):
    """Eleven levels of label corruption and five seeds on one factor, beside one solve; predictions included."""
    options = settings(data, n, bandwidth, precision=precision)
    ways = {
        "solve": functools.partial(apart, solve, options),
        "sweep": functools.partial(apart, outcome, "sweep", options | {"seeds": seeds}),
    }
    found = rounds(repeats, ways)
    walls, many = {name: of(runs, "wall", unit="s") for name, runs in found.items()}, found["sweep"][0]
    norms = {level: [row["norm"] for row in many["rows"] if row["level"] == level] for level in (0, 1)}
    errors = [many["rows"][k]["test_error"] for k in (0, -1)]
    rows = {
        "one solve, whole process": walls["solve"],
        f"{len(many['rows'])} sets of labels, whole process": walls["sweep"],
        f"sweep / solve, n = {n:,}": ratio(walls["sweep"], walls["solve"]),
        "seconds of the solve": phases(found["solve"][0]["seconds"]),
        "seconds of the sweep": phases(many["seconds"]),
        f"norm, true labels, n = {n:,}": figure(norms[0], digits=5),
        f"norm, random labels, n = {n:,}": figure(norms[1], digits=5),
        "test error, true to random labels": f"{errors[0]:.4f} to {errors[1]:.4f}",
        "largest relative residual": figure(many["relative_residual"], digits=2),
        "peak memory of the sweep": figure(many["peak_bytes"], "GB", scale=1e9),
    }
    yield measures(f"n = {n:,} of {data}, {precision}", rows)


# ---- estimators ----------------------------------------------------------------------------------------------------


@case(
    targets={"estimator / solve": at_most(1.05), "norm, relative to float64": at_most(1e-8)},
    smoke=SMOKE | {"repeats": 1},
)
def estimators(data="mnist", n=20_000, bandwidth=5.0, repeats=3):
    """An estimator of scikit-learn's kind, fit and predict in mixed precision, beside `kernelfit solve`."""
    ways = {
        "solve": functools.partial(apart, solve, settings(data, n, bandwidth, precision="mixed")),
        "estimator": functools.partial(apart, estimated, data, n, bandwidth, "mixed"),
    }
    found, exact = rounds(repeats, ways), apart(estimated, data, n, bandwidth, "float64")
    solves, ours = found["solve"], found["estimator"]
    rows = {
        "`kernelfit solve`, whole process": of(solves, "wall", unit="s"),
        "estimator: fit and predict, whole process": of(ours, "wall", unit="s"),
        "estimator / solve": ratio(of(ours, "wall"), of(solves, "wall")),
        "the same in float64": figure(exact["wall"], "s"),
        "norm, command line": figure(solves[0]["norm"], digits=12),
        "norm, estimator": figure(ours[0]["norm"], digits=12),
        "norm, estimator in float64": figure(exact["norm"], digits=12),
        "norm, relative to float64": figure(abs(ours[0]["norm"] / exact["norm"] - 1), digits=2),
        "test errors": f"{solves[0]['test_error']:.4f}, {ours[0]['test_error']:.4f}",
        "peak memory, command line": of(solves, "peak_bytes", unit="GB", scale=1e9),
        "peak memory, estimator": of(ours, "peak_bytes", unit="GB", scale=1e9),
    }
    yield measures(f"n = {n:,} of {data}, mixed precision", rows)


def estimated(data, n, bandwidth, precision):
    import kernelfit as kf
    from kernelfit import backend

    used = kf.load_dataset(data, n_train=n)
    X, X_test = (part.reshape(len(part), -1) for part in (used.X_train, used.X_test))
    model = kf.KernelInterpolationClassifier(bandwidth=bandwidth, precision=precision).fit(X, used.y_train)
    error = 1 - model.score(X_test, used.y_test)
    peak = backend.peak_memory()
    return {"norm": model.norm_, "test_error": error, "wall": since_start(), "peak_bytes": peak}


# ---- ridges --------------------------------------------------------------------------------------------------------


@case(smoke=SMOKE)
def ridge(
    data="mnist", n=10_000, bandwidth=5.0, features="pixels", ridges=RIDGES, precision="auto", method="auto", loo=True
):
    """Does regularisation help? Errors and norms along the ridge path; --bandwidth 0 lets leave-one-out choose."""
    options = settings(data, n, bandwidth, features=features, ridges=ridges, precision=precision, loo=loo)
    found = apart(along, options, method)
    rows = [
        {
            "ridge": f"{row['ridge']:g}",
            "training error": figure(row["train_error"]),
            "leave-one-out error": figure(row["loo_error"]),
            "test error": figure(row["test_error"]),
            "corrected, broken": f"{row['test_corrected']}, {row['test_broken']}",
            "norm 0/1": figure(row["norm"], digits=5),
            "norm -1/+1": figure(row["norm_pm1"], digits=5),
            "residual": figure(row["relative_residual"], digits=2),
        }
        for row in found["rows"]
    ]
    chosen = "nothing" if found["chosen_by_loo"] is None else f"{found['chosen_by_loo']:g}"
    note = (
        f"Leave-one-out would choose {chosen}; a larger ridge than the smallest improves leave-one-out: "
        f"{found['loo_improves']}, in hindsight the test error: {found['test_improves']}. {found['method']} "
        f"({found['reason']}); {found['rows'][-1]['way']}; {phases(found['seconds'])} s; peak memory "
        f"{found['peak_bytes'] / 1e9:.2f} GB."
    )
    note += "".join(f" Warning: {warning}." for warning in found["warnings"])
    yield Table(f"{found['name']}, n = {n:,}, {found['kernel']} on {found['features']}", rows, note)


def along(options, method):
    return outcome("ridge", options, method=method)


@case(smoke={"data": "digits", "sizes": (100, 200), "bandwidth": 1.0, "repeats": 1})
def eigendecomposition(data="mnist", sizes=(2_000, 4_000, 8_000), bandwidth=5.0, repeats=3):
    """What decides between the two ways along a ridge path: eigendecompositions beside factors, best of some runs."""
    from scipy.linalg import eigh

    from kernelfit.solvers.panel_cholesky import cholesky
    from kernelfit.solvers.planning.rates import measure_gemm

    cholesky(gram_of(data, min(sizes), bandwidth))  # compiles
    rows = []
    for n in sizes:
        G = gram_of(data, n, bandwidth)
        K, factor = G.block((0, n), (0, n)), cholesky(G)
        ways = {"matrix product": measure_gemm}
        for driver in ("evr", "evd"):
            ways[f"eigh {driver}"] = functools.partial(_seconds_of_eigh, eigh, K, driver)
        ways["Cholesky"] = functools.partial(_seconds, cholesky, G)
        ways["inverse diagonal"] = functools.partial(_seconds, factor.inverse_diagonal)
        found = rounds(repeats, ways)
        rate, best = max(found.pop("matrix product")), {name: min(times) for name, times in found.items()}
        row = {"n": f"{n:,}", "matrix product": figure(rate, "GFLOP/s", scale=1e9)}
        row |= {name: f"{seconds:.2f} s ({seconds * rate / n**3:.2f})" for name, seconds in best.items()}
        factors = best["Cholesky"] + best["inverse diagonal"]
        rows.append(row | {"ridges of equal price": f"{min(best['eigh evr'], best['eigh evd']) / factors:.0f}"})
    note = "In brackets in n^3 operations at the rate of the matrix product of the same minutes."
    yield Table(f"The best of {repeats} runs: on a machine that others use too only that means something", rows, note)


def _seconds(function, *arguments):
    return timed(function, *arguments)[1]


def _seconds_of_eigh(eigh, K, driver):
    copy = K.copy()
    return _seconds(functools.partial(eigh, overwrite_a=True, check_finite=False, driver=driver), copy.T)


# ---- other interpolants --------------------------------------------------------------------------------------------


@case(targets={"largest defect of |f|^2 = |f_0|^2 + |f - f_0|^2": at_most(1e-9)}, smoke=SMOKE | {"n": 200})
def interpolants(data="mnist", n=10_000, bandwidth=5.0):
    """Other interpolants of the same labels, and how much larger their norm is than the minimum (section 5)."""
    found = apart(outcome, "interpolants", settings(data, n, bandwidth))
    seconds = found["seconds"]
    rows = [
        {
            "interpolant": f"{row['name']}, {row['labels']} labels" if row["name"] == "minimum" else row["name"],
            "centres": f"{row['centres']:,}",
            "norm 0/1": figure(row["norm"], digits=4),
            "ratio to the minimum": figure(row["ratio"], digits=4),
            "test error": figure(row["test_error"]),
            "residual": figure(row["relative_residual"], digits=1),
            "condition, at least": figure(row["condition"], digits=1),
            "time": figure(seconds.get(row["name"], seconds["factor"]), "s"),
            "failed": row["failed"],
        }
        for row in found["rows"]
    ]
    yield Table(f"n = {n:,} of {data}, {found['kernel']}", rows)
    rows = {
        "largest defect of |f|^2 = |f_0|^2 + |f - f_0|^2": figure(
            max(row["defect"] or 0.0 for row in found["rows"]), digits=1
        ),
        "whole process": figure(found["wall"], "s"),
        "peak memory": figure(found["peak_bytes"], "GB", scale=1e9),
    }
    yield measures("In all", rows)
