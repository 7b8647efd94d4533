"""Other people's exact solvers of the same problem, and ours: contenders of `kernelfit bench`.

All get the same points, targets, bandwidth and threads, and none gets a ridge beyond what it cannot do without. A
contender runs in a process of its own: `python -m kernelfit.experiments.peers` reads a task as JSON and prints what it
measured.
"""

import dataclasses
import importlib.util
import json
import sys
import tempfile
import time

import numpy as np

from kernelfit import backend, datasets
from kernelfit.datasets.labels import error_rate, one_hot
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Gaussian
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.scaling import relative_residuals


@dataclasses.dataclass(frozen=True)
class Task:
    """A kernel interpolation problem: a Gaussian kernel of `bandwidth` on n training images of a dataset."""

    contender: str
    data: str
    n: int
    bandwidth: float
    data_dir: str | None = None
    scratch: str | None = None


@dataclasses.dataclass(frozen=True)
class Contender:
    """A solver to compare with.

    Attributes
    ----------
    make : callable
        (task, dataset, targets) -> (fit, predict, found): fit() solves, predict() returns the scores of the test
        points, found() a dict with "coef" and "factor_seconds" where the solver gives them.
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
    def make(task, data, Y):
        state, folder = {}, task.scratch or tempfile.gettempdir()

        def fit():
            state["K"] = gram(data.X_train, Gaussian(task.bandwidth))
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                sizes = {"outputs": Y.shape[1], "n_test": len(data.X_test)}
                solver = Auto(precision=precision, storage=storage, scratch=scratch, device="cpu", **sizes)
                with solver.factor(state["K"]) as factor:
                    state["coef"] = factor.solve(Y).coef
                    state["factor_seconds"] = factor.seconds["factor"]

        def predict():
            return gram(data.X_test, Gaussian(task.bandwidth), state["K"].points).product(state["coef"])

        return fit, predict, lambda: state

    return make


def _scipy(task, data, Y):
    """The matrix is ready before the clock starts: Fortran order, so that cho_factor can overwrite it in place."""
    import scipy.linalg

    n = len(Y)
    # Its own transpose, so that rows of ours are columns in Fortran order.
    state = {"K": gram(data.X_train, Gaussian(task.bandwidth)).block((0, n), (0, n)).T}

    def fit():
        start = time.perf_counter()
        factor = scipy.linalg.cho_factor(state.pop("K"), lower=True, overwrite_a=True, check_finite=False)
        state["factor_seconds"] = time.perf_counter() - start
        state["coef"] = scipy.linalg.cho_solve(factor, Y, check_finite=False)

    def predict():
        return _dense(data.X_test, task.bandwidth, data.X_train) @ state["coef"]

    return fit, predict, lambda: state


def _numpy(task, data, Y):
    state = {}

    def fit():
        state["coef"] = np.linalg.solve(_dense(data.X_train, task.bandwidth), Y)

    def predict():
        return _dense(data.X_test, task.bandwidth, data.X_train) @ state["coef"]

    return fit, predict, lambda: state


def _scikit_learn(task, data, Y):
    from sklearn.kernel_ridge import KernelRidge

    X, Z = _floats(data.X_train), _floats(data.X_test)
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / (2 * task.bandwidth**2))
    return lambda: model.fit(X, Y), lambda: model.predict(Z), lambda: {"coef": model.dual_coef_}


def _torch(task, data, Y):
    import torch

    X, Z, targets = (torch.from_numpy(array) for array in (_floats(data.X_train), _floats(data.X_test), Y))
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


def _gpytorch(task, data, Y):
    import gpytorch
    import torch

    X, Z = (torch.from_numpy(_floats(part)) for part in (data.X_train, data.X_test))
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


def _cuml(task, data, Y):
    from cuml.kernel_ridge import KernelRidge

    X, Z = _floats(data.X_train), _floats(data.X_test)
    model = KernelRidge(alpha=1e-12, kernel="rbf", gamma=1 / (2 * task.bandwidth**2), output_type="numpy")
    return lambda: model.fit(X, Y), lambda: model.predict(Z), lambda: {"coef": np.asarray(model.dual_coef_)}


CONTENDERS = {
    "kernelfit float64": Contender(_ours("float64", "memory"), 0.55),
    "kernelfit mixed": Contender(_ours("mixed", "memory"), 0.28),
    "kernelfit disk": Contender(_ours("float64", "disk"), 0.25),
    "scipy": Contender(_scipy, 1.1, "scipy", "dpotrf on a matrix that is ready before the clock starts"),
    "numpy": Contender(_numpy, 3.1, "numpy", "a script: matrix product, exp, numpy.linalg.solve (LU)"),
    "scikit-learn": Contender(_scikit_learn, 2.3, "sklearn", "KernelRidge(alpha=1e-12)"),
    "torch": Contender(_torch, 3.1, "torch", "cdist, linalg.cholesky"),
    "gpytorch": Contender(_gpytorch, 4.0, "gpytorch", "ExactGP by Cholesky, noise 1e-8; fit and predict in one"),
    "cuml": Contender(_cuml, 2.3, "cuml", "KernelRidge(alpha=1e-12)"),
}


def measure(task):
    """Run one contender and return what it took, JSON-ready: seconds, bytes, test error, relative residual."""
    data = datasets.load(task.data, n_train=task.n, data_dir=task.data_dir)
    Y = one_hot(data.y_train, len(data.classes))
    fit, predict, state = CONTENDERS[task.contender].make(task, data, Y)
    loaded = backend.peak_memory()
    begin = time.perf_counter()
    fit()
    fitted = time.perf_counter()
    scores = predict()
    done = time.perf_counter()
    peak = backend.peak_memory()
    found = state()
    residual = None
    if found.get("coef") is not None:
        fitted_again = gram(data.X_train, Gaussian(task.bandwidth)).product(found["coef"])
        residual = float(relative_residuals(Y, fitted_again).max())
    return {
        "fit_seconds": fitted - begin,
        "predict_seconds": done - fitted,
        "seconds": done - begin,
        "factor_seconds": found.get("factor_seconds"),
        "loaded_bytes": loaded,
        "peak_bytes": peak,
        "test_error": error_rate(scores, data.y_test),
        "relative_residual": residual,
    }


def _floats(X):
    return X.reshape(len(X), -1) / 255 if X.dtype == np.uint8 else X.reshape(len(X), -1).astype(np.float64)


def _dense(X, bandwidth, Z=None):
    """The Gaussian matrix as a NumPy script makes it."""
    A = _floats(X)
    B = A if Z is None else _floats(Z)
    K = A @ B.T
    K *= -2.0
    K += np.einsum("ij,ij->i", A, A)[:, None]
    K += np.einsum("ij,ij->i", B, B)
    np.maximum(K, 0.0, out=K)
    K *= -1 / (2 * bandwidth**2)
    return np.exp(K, out=K)


if __name__ == "__main__":
    print(json.dumps(measure(Task(**json.loads(sys.argv[1])))))
