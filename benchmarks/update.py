"""Further points for a fitted estimator, beside a fit to all of them."""

import time

from benchmarks.runner import at_least, at_most, case, figure, measures, timed


@case(
    targets={
        "fit / update": at_least(10),
        "fit / update, processor time": at_least(10),
        "coefficients differ, relative": at_most(1e-10),
    },
    smoke={"data": "digits", "n": 300, "more": 20, "bandwidth": 1.0, "repeats": 1},
)
def update(data="mnist", n=5000, more=100, bandwidth=4.0, ridge=0.01, repeats=5):
    """KernelInterpolationClassifier.update with some points more, beside a fit to all; remove, beside a fit without.

    The factor is kept by the first fit, as `keep_factor=True` asks. Processor time, with one thread, does not see what
    else the machine does. A fit measures the residual of all rows and the condition, an update the residual of the new
    rows and of 64 others.
    """
    import numpy as np

    from kernelfit import KernelInterpolationClassifier, datasets

    used = datasets.load(data, n_train=n + more)
    X, y = used.X_train.reshape(n + more, -1), used.y_train
    options = {"bandwidth": bandwidth, "ridge": ridge, "keep_factor": True}
    KernelInterpolationClassifier(**options).fit(X[:200], y[:200]).update(X[200:210], y[200:210])  # compiles
    fits, updates, removals, refits, far, gone, processor = [], [], [], [], [], [], []
    for _ in range(repeats):
        model = KernelInterpolationClassifier(**options).fit(X[:n], y[:n])
        begin = time.process_time()
        updates.append(timed(model.update, X[n:], y[n:])[1])
        processor.append(time.process_time() - begin)
        coef, seconds = timed(model.remove, np.arange(more))
        removals.append(seconds)
        coef_updated, residual = model.dual_coef_, model.report_.relative_residual
        del model
        begin = time.process_time()
        whole, seconds = timed(KernelInterpolationClassifier(**options).fit, X, y)
        fits.append(seconds)
        processor[-1] = (time.process_time() - begin) / processor[-1]
        far.append(float(abs(coef_updated - whole.dual_coef_).max() / abs(whole.dual_coef_).max()))
        condition = whole.report_.condition_estimate
        del whole
        without, seconds = timed(KernelInterpolationClassifier(**options).fit, X[more:], y[more:])
        refits.append(seconds)
        gone.append(float(abs(coef[more:] - without.dual_coef_).max() / abs(without.dual_coef_).max()))
        del without
    rows = {
        f"update by {more:,} points": figure(updates, "s"),
        "fit to all": figure(fits, "s"),
        "fit / update": figure([a / b for a, b in zip(fits, updates, strict=True)]),
        "fit / update, processor time": figure(processor),
        "coefficients differ, relative": figure(far, digits=2),
        "condition, at least": figure(condition, digits=2),
        "residual of an update": figure(residual, digits=2),
        f"remove {more:,} points": figure(removals, "s"),
        "fit without / remove": figure([a / b for a, b in zip(refits, removals, strict=True)]),
        "coefficients of remove differ, relative": figure(gone, digits=2),
    }
    yield measures(f"n = {n:,} of {data}, ridge {ridge:g}", rows)
