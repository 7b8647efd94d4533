"""The randomization test of a classifier named by its import path, on a dataset named as everywhere."""

import ast
import dataclasses
from pathlib import Path

import numpy as np

from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.spec import option
from kernelfit.common.text_forms import import_callable
from kernelfit.corruption import label_probability
from kernelfit.experiments.parts import LABELS, Data, label_levels
from kernelfit.experiments.registry import Experiment
from kernelfit.randomization import randomization_test
from kernelfit.records.fits import KIND, FitResults
from kernelfit.records.record import FILE


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomizeSpec(Data):
    """What to test; images are flattened, and pixels divided by 255."""

    words = ("randomize",)

    estimator: str = option(
        "sklearn.ensemble.RandomForestClassifier",
        "Import path of a class with fit and predict, or of a function that makes one.",
        shown=True,
    )
    param: tuple[str, ...] = option((), "name=value for each argument: a Python literal, or text; default: none.")
    labels: tuple[float, ...] = option(  # type: ignore[assignment]
        (0.0, 0.5, 1.0), LABELS, parse=label_levels, old="levels"
    )
    seeds: int = option(3, "How many seeds are run at each level: 0, 1, ...", least=1)
    jobs: int = option(1, "Fits at a time; -1 for all cores.", least=-1, incidental=True)

    def check(self):
        for level in self.labels:
            label_probability(level)
        if self.jobs == 0:
            raise InputError("jobs = 0; give a number of fits at a time, or -1 for all cores")


def run_randomize(spec, *, runs=None, progress=None):
    """Run a RandomizeSpec; return the RandomizationResult.

    Each fit is a record in the folder `runs`, where there is one, and fits found there are not repeated. Images are
    flattened, and pixels divided by 255 in float32. An estimator with a parameter `image_shape`, as
    kernelfit.nn.NetClassifier has one, is told what the rows were, unless it was given.

    Raises
    ------
    KernelfitError
        The estimator cannot be made, the data not loaded, or the labels not used.
    """
    progress = progress or Progress()
    estimator = make_estimator(spec.estimator, spec.param)
    data = spec.load(progress)
    options = estimator.get_params() if hasattr(estimator, "get_params") else {}
    if data.X_train.ndim > 2 and options.get("image_shape", "no such parameter") is None:
        estimator.set_params(image_shape=data.X_train.shape[1:])
    return randomization_test(
        estimator,
        _vectors(data.X_train),
        data.y_train,
        X_test=_vectors(data.X_test),
        y_test=data.y_test,
        levels=spec.labels,
        seeds=range(spec.seeds),
        n_jobs=spec.jobs,
        records=None if runs is None else Path(runs) / FILE,
        name=data.name,
        command=spec.command(),
        progress=progress,
    )


def make_estimator(path, options=()):
    """Return the estimator that an import path "module.Class" and options ("name=value", ...) stand for.

    Raises
    ------
    InputError
        There is no such module or class, or it does not take these options.
    """
    made, arguments = _imported(path), {}
    for given in options:
        name, equals, text = given.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"`param` {given!r} was not understood; write name=value, as in n_estimators=50")
        try:
            arguments[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            arguments[name] = text  # kernel=rbf
    try:
        estimator = made(**arguments)
    except Exception as error:  # a user's class may fail in any way
        raise InputError(f"{path} could not be made with {arguments}: {type(error).__name__}: {error}") from error
    if not all(callable(getattr(estimator, method, None)) for method in ("fit", "predict")):
        raise InputError(f"{path} has no fit and predict; name a classifier, as sklearn.tree.DecisionTreeClassifier")
    return estimator


def _imported(path):
    module, dot, name = path.replace(":", ".").rpartition(".")
    if not dot or not name.isidentifier():
        raise InputError(f"estimator {path!r} is no import path; write module.Class, as sklearn.svm.SVC")
    return import_callable(f"{module}:{name}", "estimator")


def _vectors(X):
    flat = X.reshape(len(X), -1)
    return flat / np.float32(255) if X.dtype == np.uint8 else flat


EXPERIMENT = Experiment(KIND, RandomizeSpec, FitResults, run_randomize, several=True)
