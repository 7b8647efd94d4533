"""The randomization test of a classifier named by its import path, on a dataset named as everywhere."""

import ast
import dataclasses
import shlex
from pathlib import Path

import numpy as np

from kernelfit import datasets
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.text_forms import import_callable
from kernelfit.common.validation import check_integer
from kernelfit.corruption import label_probability
from kernelfit.randomization import randomization_test


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomizeSpec:
    """What to test; the fields are the options of `kernelfit randomize`.

    Attributes
    ----------
    estimator : str
        Import path of a class, or of a function that returns an estimator: "module.Class".
    param : tuple of str
        Its arguments as "name=value"; a value is a Python literal, or else the text itself.
    levels : tuple of float
    seeds : int
        Seeds 0, 1, ..., seeds - 1 are run.
    jobs : int
        Fits at a time; -1 for all cores.
    runs : str or None
        Folder whose fits.jsonl keeps each fit, and is asked for fits done already.
    """

    estimator: str = "sklearn.ensemble.RandomForestClassifier"
    param: tuple = ()
    data: str = "digits"
    levels: tuple = (0.0, 0.5, 1.0)
    seeds: int = 3
    jobs: int = 1
    n_train: int | None = None
    n_test: int | None = None
    data_dir: str | None = None
    runs: str | None = "runs"

    def __post_init__(self):
        for level in self.levels:
            label_probability(level)
        check_integer("seeds", self.seeds)
        if self.jobs != -1:  # all cores
            check_integer("jobs", self.jobs)

    def command(self):
        """Return the command line that repeats the run."""
        words = ["kernelfit", "randomize"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default or field.name in ("estimator", "data"):
                for each in value if isinstance(value, tuple) else (value,):
                    words += ["--" + field.name.replace("_", "-"), str(each)]
        return shlex.join(words)


def run_randomize(spec, *, progress=None):
    """Run a RandomizeSpec; return the RandomizationResult.

    Images are flattened, and pixels divided by 255 in float32. An estimator with a parameter `image_shape`, as
    kernelfit.nn.NetClassifier has one, is told what the rows were, unless it was given.

    Raises
    ------
    KernelfitError
        The estimator cannot be made, the data not loaded, or the labels not used.
    """
    progress = progress or Progress()
    estimator = make_estimator(spec.estimator, spec.param)
    data = datasets.load(spec.data, n_train=spec.n_train, n_test=spec.n_test, data_dir=spec.data_dir, progress=progress)
    options = estimator.get_params() if hasattr(estimator, "get_params") else {}
    if data.X_train.ndim > 2 and options.get("image_shape", "no such parameter") is None:
        estimator.set_params(image_shape=data.X_train.shape[1:])
    return randomization_test(
        estimator,
        _vectors(data.X_train),
        data.y_train,
        X_test=_vectors(data.X_test),
        y_test=data.y_test,
        levels=spec.levels,
        seeds=range(spec.seeds),
        n_jobs=spec.jobs,
        records=None if spec.runs is None else Path(spec.runs) / "fits.jsonl",
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
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.isidentifier():
            raise InputError(f"`param` {option!r} was not understood; write name=value, as in n_estimators=50")
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
