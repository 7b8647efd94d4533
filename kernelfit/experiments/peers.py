"""Other people's exact solvers of the same problem, and ours: contenders of `kernelfit bench`.

All get the same points, targets, bandwidth and threads, and none gets a ridge beyond what it cannot do without. A
contender runs in a process of its own: `python -m kernelfit.experiments.peers` reads a task as JSON and prints what it
measured. Until its predictions are made that process imports nothing but NumPy and the contender's library, so that
its time is what somebody waits who has the points in files.
"""

import dataclasses
import importlib.util
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class Task:
    """A kernel interpolation problem: a Gaussian kernel of `bandwidth` on points that lie in files.

    Attributes
    ----------
    contender : str
        One of CONTENDERS.
    folder : str
        Holds X.npy, Y.npy and Z.npy, see `save`; gets coef.npy, where the contender gives it, and scores.npy.
    bandwidth : float
    started : float
        time.time() when the process was started.
    scratch : str or None
        Folder on a disk for a solver that needs one.
    """

    contender: str
    folder: str
    bandwidth: float
    started: float
    scratch: str | None = None


def save(folder, X, Y, Z):
    """Write training points (n, ...), targets (n, outputs) and test points (m, ...) to a folder."""
    for name, array in {"X": X, "Y": Y, "Z": Z}.items():
        np.save(Path(folder) / f"{name}.npy", array)


def load(task):
    """Return (X, Y, Z) of a task."""
    return tuple(np.load(Path(task.folder) / f"{name}.npy") for name in "XYZ")


@dataclasses.dataclass(frozen=True)
class Contender:
    """A solver to compare with.

    Attributes
    ----------
    make : callable
        (task, X, Y, Z) -> (fit, predict, found): fit() solves, predict() returns the scores of the test points Z,
        found() a dict with "coef" and "factor_seconds" where the solver gives them.
    squares : float
        Arrays of n x n float64 that it holds at its peak: what the sizes it can run are judged by.
    module : str
        What must be installed.
    note : str
        What a reader of its numbers must know.
    """

    make: object
    squares: float
    module: str = "kernelfit"
    note: str = ""

    @property
    def installed(self):
        """Whether its library can be imported."""
        return importlib.util.find_spec(self.module) is not None


def _ours(precision, storage):
    def make(task, X, Y, Z):
        from kernelfit.grams.matrix import gram
        from kernelfit.kernels import Gaussian
        from kernelfit.solvers.auto import Auto

        state, folder = {}, task.scratch or tempfile.gettempdir()

        def fit():
            state["K"] = gram(X, Gaussian(task.bandwidth))
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                sizes = {"outputs": Y.shape[1], "n_test": len(Z)}
                solver = Auto(precision=precision, storage=storage, scratch=scratch, device="cpu", **sizes)
                with solver.factor(state["K"]) as factor:
                    state["coef"] = factor.solve(Y).coef
                    state["factor_seconds"] = factor.seconds["factor"]

        def predict():
            return gram(Z, Gaussian(task.bandwidth), state["K"].points).product(state["coef"])

        return fit, predict, lambda: state

    return make


def _estimator(task, X, Y, Z):
    from kernelfit.estimators import KernelInterpolator

    model = KernelInterpolator(bandwidth=task.bandwidth)
    return (
        lambda: model.fit(X.reshape(len(X), -1), Y),
        lambda: model.predict(Z.reshape(len(Z), -1)),
        lambda: {"coef": model.dual_coef_},
    )


def _scipy(task, X, Y, Z):
    """The matrix is ready before the clock starts: Fortran order, so that cho_factor can overwrite it in place."""
    import scipy.linalg

    X, Z = floats(X), floats(Z)
    state = {"K": _dense(X, task.bandwidth).T}  # its own transpose, so that rows are columns in Fortran order

    def fit():
        start = time.perf_counter()
        factor = scipy.linalg.cho_factor(state.pop("K"), lower=True, overwrite_a=True, check_finite=False)
        state["factor_seconds"] = time.perf_counter() - start
        state["coef"] = scipy.linalg.cho_solve(factor, Y, check_finite=False)

    def predict():
        return _dense(Z, task.bandwidth, X) @ state["coef"]

    return fit, predict, lambda: state


def _numpy(task, X, Y, Z):
    X, Z, state = floats(X), floats(Z), {}

    def fit():
        state["coef"] = np.linalg.solve(_dense(X, task.bandwidth), Y)

    def predict():
        return _dense(Z, task.bandwidth, X) @ state["coef"]

    return fit, predict, lambda: state


def _gaussian_process(task, X, Y, Z):
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    X, Z = floats(X), floats(Z)
    model = GaussianProcessRegressor(RBF(task.bandwidth), alpha=1e-12, optimizer=None)
    return lambda: model.fit(X, Y), lambda: model.predict(Z), lambda: {"coef": model.alpha_}


def _scikit_learn(task, X, Y, Z):
    from sklearn.kernel_ridge import KernelRidge

    X, Z = floats(X), floats(Z)
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / (2 * task.bandwidth**2))
    return lambda: model.fit(X, Y), lambda: model.predict(Z), lambda: {"coef": model.dual_coef_}


def _torch(task, X, Y, Z):
    import torch

    X, Z, targets = (torch.from_numpy(array) for array in (floats(X), floats(Z), Y))
    gamma, state = 1 / (2 * task.bandwidth**2), {}

    def kernel(A, B):
        return torch.cdist(A, B).square_().mul_(-gamma).exp_()

    def fit():
        K = kernel(X, X)
        start = time.perf_counter()
        L = torch.linalg.cholesky(K)
        state["factor_seconds"] = time.perf_counter() - start
        state["coef"] = torch.cholesky_solve(targets, L).numpy()

    return fit, lambda: (kernel(Z, X) @ torch.from_numpy(state["coef"])).numpy(), lambda: state


def _gpytorch(task, X, Y, Z):
    import gpytorch
    import torch

    X, Z = (torch.from_numpy(floats(part)) for part in (X, Z))
    outputs, n = Y.shape[1], len(Y)

    class ExactGP(gpytorch.models.ExactGP):
        def __init__(self, likelihood):
            super().__init__(X, torch.from_numpy(Y).T.contiguous(), likelihood)
            self.mean_module = gpytorch.means.ZeroMean(batch_shape=torch.Size([outputs]))
            self.covar_module = gpytorch.kernels.RBFKernel()
            self.covar_module.lengthscale = task.bandwidth

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    noise = gpytorch.constraints.GreaterThan(1e-9)
    likelihood = gpytorch.likelihoods.GaussianLikelihood(noise_constraint=noise)
    likelihood.noise = 1e-8
    model = ExactGP(likelihood).double()
    state = {}

    def fit():
        model.eval()
        likelihood.eval()
        # Cholesky at every size, and only the mean: its defaults would turn to conjugate gradients above n = 800.
        with (
            torch.no_grad(),
            gpytorch.settings.max_cholesky_size(10 * n),
            gpytorch.settings.skip_posterior_variances(),
            gpytorch.settings.fast_computations(False, False, False),
        ):
            state["scores"] = model(Z).mean.numpy().T

    return fit, lambda: state["scores"], lambda: state


def _cuml(task, X, Y, Z):
    from cuml.kernel_ridge import KernelRidge

    X, Z = floats(X), floats(Z)
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / (2 * task.bandwidth**2), output_type="numpy")
    return lambda: model.fit(X, Y), lambda: model.predict(Z), lambda: {"coef": np.asarray(model.dual_coef_)}


CONTENDERS = {
    "kernelfit float64": Contender(_ours("float64", "memory"), 0.55),
    "kernelfit mixed": Contender(_ours("mixed", "memory"), 0.28),
    "kernelfit disk": Contender(_ours("float64", "disk"), 0.25),
    "kernelfit estimator": Contender(_estimator, 0.55, "kernelfit", "KernelInterpolator(), precision auto"),
    "scipy": Contender(_scipy, 1.1, "scipy", "dpotrf on a matrix that is ready before the clock starts"),
    "numpy": Contender(_numpy, 3.1, "numpy", "a script: matrix product, exp, numpy.linalg.solve (LU)"),
    "scikit-learn": Contender(_scikit_learn, 2.3, "sklearn", "KernelRidge(alpha=1e-12)"),
    "scikit-learn GP": Contender(
        _gaussian_process, 3.3, "sklearn", "GaussianProcessRegressor(alpha=1e-12, optimizer=None)"
    ),
    "torch": Contender(_torch, 3.1, "torch", "cdist, linalg.cholesky"),
    "gpytorch": Contender(_gpytorch, 4.0, "gpytorch", "ExactGP by Cholesky, noise 1e-8; fit and predict in one"),
    "cuml": Contender(_cuml, 2.3, "cuml", "KernelRidge(alpha=1e-12)"),
}


def measure(task):
    """Run one contender, write what it found to the folder of its task, and return what it took, JSON-ready."""
    folder = Path(task.folder)
    fit, predict, found = CONTENDERS[task.contender].make(task, *load(task))
    begin = time.perf_counter()
    fit()
    fitted = time.perf_counter()
    scores = predict()
    done, ended = time.perf_counter(), time.time()
    from kernelfit.backend.machine import peak_memory  # now that nothing is measured any more
    from kernelfit.backend.threads import blas_pools

    peak = peak_memory()
    np.save(folder / "scores.npy", scores)
    if found().get("coef") is not None:
        np.save(folder / "coef.npy", found()["coef"])
    return {
        "process_seconds": ended - task.started,
        "fit_seconds": fitted - begin,
        "predict_seconds": done - fitted,
        "seconds": done - begin,
        "factor_seconds": found().get("factor_seconds"),
        "peak_bytes": peak,
        "blas": sorted({getattr(pool, "architecture", None) or pool.internal_api for pool in blas_pools()}),
    }


def floats(X):
    """Return points as float64 rows; pixels are divided by 255."""
    return X.reshape(len(X), -1) / 255 if X.dtype == np.uint8 else X.reshape(len(X), -1).astype(np.float64)


def _dense(X, bandwidth, Z=None):
    """The Gaussian matrix as a NumPy script makes it."""
    Z = X if Z is None else Z
    K = X @ Z.T
    K *= -2.0
    K += np.einsum("ij,ij->i", X, X)[:, None]
    K += np.einsum("ij,ij->i", Z, Z)
    np.maximum(K, 0.0, out=K)
    K *= -1 / (2 * bandwidth**2)
    return np.exp(K, out=K)


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
