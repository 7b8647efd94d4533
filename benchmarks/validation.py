"""Choosing bandwidth and ridge by folds: in closed form, and by scikit-learn's grid search over its KernelRidge."""

import numpy as np

from benchmarks.runner import Table, at_least, at_most, case, figure, timed

_BANDWIDTHS = (2.5, 3.5, 5.0, 7.0, 10.0, 14.0, 20.0, 28.0)  # sqrt(2) apart; on the digits they are divided by 4


@case(
    targets={"GridSearchCV / kernelfit": at_least(10), "largest difference of a score": at_most(1e-8)},
    smoke={"data": "digits", "n": 200, "ridges": 3, "bandwidths": 3},
)
def cross_validation(data="mnist", n=5000, ridges=10, bandwidths=8, folds=5):
    """Ridge by bandwidth by folds: KernelInterpolatorCV beside GridSearchCV over scikit-learn's KernelRidge.

    Targets are 0/1 for classes, the score is the negative mean squared error. The peer is measured on the four
    candidates of the two best ridges and bandwidths, and scaled to all: every candidate costs it the same fits.
    """
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.model_selection import GridSearchCV, KFold

    from kernelfit import datasets
    from kernelfit.datasets.labels import one_hot
    from kernelfit.estimators import KernelInterpolatorCV

    used = datasets.load(data, n_train=n)
    X, Y = used.X_train.reshape(n, -1) / 255, one_hot(used.y_train, 10)
    widths = np.array(_BANDWIDTHS[:bandwidths]) / (1 if data == "mnist" else 4)
    values = np.logspace(-6, 0, ridges)
    score, cv = "neg_mean_squared_error", KFold(folds)
    few = slice(0, min(n, 1200))  # several tiles and strips
    KernelInterpolatorCV(bandwidths=widths[:2], ridges=values[:2], cv=cv).fit(X[few], Y[few])  # compiles
    ours = KernelInterpolatorCV(bandwidths=widths, ridges=values, cv=cv, scoring=score)
    ours, seconds = timed(ours.fit, X, Y)
    table = ours.cv_results_["mean_test_score"].reshape(len(widths), len(values))
    best_widths = np.sort(np.argsort(-np.nanmax(table, axis=1))[:2])
    best_values = np.sort(np.argsort(-np.nanmax(table, axis=0))[:2])
    gammas = 1 / (2 * widths[best_widths] ** 2)
    grid = {"alpha": values[best_values], "gamma": gammas}
    peer = GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=cv, scoring=score, refit=False)
    peer, part = timed(peer.fit, X, Y)
    scores = peer.cv_results_["mean_test_score"].reshape(len(best_values), len(best_widths)).T
    scaled = part * table.size / scores.size
    chosen = ours.best_params_["bandwidth"], ours.best_params_["ridge"]
    theirs = 1 / np.sqrt(2 * peer.best_params_["gamma"]), peer.best_params_["alpha"]
    row = {
        "candidates x folds": f"{table.size} x {folds}",
        "kernelfit, with the last fit": figure(seconds, "s"),
        f"GridSearchCV on {scores.size}": figure(part, "s"),
        "scaled to all": figure(scaled, "s"),
        "GridSearchCV / kernelfit": figure(scaled / seconds),
        "largest difference of a score": figure(float(abs(scores - table[np.ix_(best_widths, best_values)]).max())),
        "same choice": "yes" if np.allclose(chosen, theirs) else f"no: {chosen}, {theirs}",
    }
    yield Table(f"n = {n:,} of {data}", [row], f"Chosen: bandwidth {chosen[0]:.3g}, ridge {chosen[1]:.1e}.")
