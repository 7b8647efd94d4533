"""The randomization test of any classifier: can it fit labels that carry no information?

Zhang et al. (CACM 2021), section 2: train on labels of which a fraction p is replaced by classes drawn at random, and
never touch the test labels. A model that reaches zero training error at p = 1 can memorise; whatever makes it
generalise at p = 0 is then not a limit of its capacity. Works for everything with fit and predict. Examples that are
identical can get different labels, which no function fits: a data set with many of them bounds the error from below.
"""

import time
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernelfit import __version__
from kernelfit.common.errors import InputError, UnwrittenError
from kernelfit.common.files import append_lines
from kernelfit.common.progress import Progress
from kernelfit.common.rng import generator
from kernelfit.corruption import corrupt_labels, label_probability
from kernelfit.datasets.labels import classes_of, require_known
from kernelfit.records.fits import KIND, FitResults, RandomizationResult
from kernelfit.records.reading import read_file
from kernelfit.records.record import DatasetUsed, Record, now

_HELD_OUT = 0.2  # share of the examples that serve as test set where none is given


def randomization_test(
    estimator: Any,
    X: Any,
    y: npt.ArrayLike,
    *,
    X_test: Any = None,
    y_test: npt.ArrayLike | None = None,
    levels: Iterable[float] = (0, 0.5, 1),
    seeds: Iterable[int] = (0, 1, 2),
    n_jobs: int | None = None,
    records: str | Path | None = None,
    name: str = "",
    command: str = "",
    progress: Progress | None = None,
) -> RandomizationResult:
    """Fit clones of an estimator to labels corrupted at each level with each seed; return a RandomizationResult.

    Parameters
    ----------
    estimator : object with fit(X, y) and predict(X)
        Cloned for every fit. Where its random_state, or that of a part of it, is None, it becomes the seed of the fit.
    X : array, DataFrame or list of n examples
        Passed on as it is.
    y : array of n labels
    X_test, y_test : optional
        Test examples; a fifth of X, drawn per class by a fixed seed, unless given. Their labels are never corrupted.
    levels : sequence of numbers from 0 to 1
        Probability with which a training label is replaced by a class drawn uniformly over all classes.
    seeds : sequence of int
    n_jobs : int, optional
        Fits at a time, as for joblib. Errors do not depend on it; times do, where the fits compete for cores.
    records : path, optional
        File of JSON lines. Fits found there are not repeated; each new one is appended when it ends. A fit is known by
        its parameters and data, not by the code of a class or function of your own: take a new file when that changes.
    name : str
        What the data are called in the records.
    command : str
        The command line that repeats the test, for the records; nothing where it is called from Python.

    Raises
    ------
    InputError
        Labels, levels or predictions are not what the test needs.
    UnwrittenError
        All fits were made, and some could not be appended to `records`; has the result.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> result = randomization_test(DecisionTreeClassifier(max_depth=2), X, y, levels=(0, 1), seeds=(0,))
    >>> result.fits_random_labels  # a tree of four leaves cannot
    False
    """
    from joblib import Parallel, delayed

    progress = progress or Progress()
    levels = sorted({label_probability(level) for level in _several("levels", levels)})
    seeds = _several("seeds", seeds)
    for seed in seeds:
        generator(seed)  # a wrong one is refused now, not in a worker
    seeds = sorted(set(seeds))
    X, y, X_test, y_test, test_set = _splits(X, y, X_test, y_test)
    classes, labels = _classes(y, y_test)
    hashes = {"X_train": _hash(X), "y_train": _hash(y), "X_test": _hash(X_test), "y_test": _hash(y_test)}
    dataset = DatasetUsed(
        asked=name, name=name, n_train=len(y), n_test=len(y_test), n_classes=len(classes), sha256=hashes
    )
    version = __version__
    common = {"version": version, "command": command, "dataset": dataset, "test_set": test_set}
    common["estimator"] = _named(estimator)
    same = [_hash(_clone(estimator)), *hashes.values()]
    common["test"] = _hash(same)  # of fits that are compared, whoever made them
    asked = [version, *same]
    wanted = {(level, seed): _hash([*asked, level, int(seed)]) for level in levels for seed in seeds}
    kept, unread = ([], []) if records is None else read_file(Path(records), _of_fits, only=KIND, progress=progress)
    known = {record.id: record for record in kept}
    found = {identity: known[identity] for identity in wanted.values() if identity in known}
    missing = [key for key, identity in wanted.items() if identity not in found]
    # Seed by seed, so that what slows the first fits down (loading, compiling) falls on all levels, not on the first.
    missing.sort(key=lambda key: key[::-1])
    unwritten = []
    with progress.phase("fits", len(wanted), done=len(found)) as advance:
        fits = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(
            delayed(_fit)(estimator, X, labels, classes, X_test, y_test, level, seed, wanted[level, seed], common)
            for level, seed in missing
        )
        for record in fits:
            if records:
                try:
                    append_lines(Path(records), record.to_json())
                except OSError as error:  # the other fits are being made meanwhile
                    unwritten.append(error)
            found[record.id] = record
            advance(1)
    in_order = tuple(found[identity] for identity in wanted.values())
    result = RandomizationResult(in_order, len(wanted) - len(missing), len(unread))
    if unwritten:
        message = f"{len(unwritten)} of {len(missing)} fits could not be appended to {records}: {unwritten[0]}"
        raise UnwrittenError(message, result=result) from unwritten[0]
    return result


def _fit(estimator, X, labels, classes, X_test, y_test, level, seed, identity, common):
    """Fit one clone to corrupted labels; return its Record."""
    try:
        corrupted, _ = corrupt_labels(labels, len(classes), level, seed)
        y, model = classes[corrupted], _clone(estimator, seed)
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
        wrong = _predictions(model, X, len(y), classes) != y
        wrong_test = _predictions(model, X_test, len(y_test), classes) != y_test
    except Exception as error:
        error.add_note(f"in the fit of level {level:g} and seed {seed}")
        raise
    changed = corrupted != labels
    about = {name: common[name] for name in ("version", "command", "dataset")}
    return Record(
        kind=KIND,
        id=identity,
        created=now(),
        spec={"estimator": common["estimator"], "test": common["test"], "level": level, "seed": int(seed)},
        environment={},
        seconds={"total": seconds},
        results=FitResults(
            estimator=common["estimator"],
            test_set=common["test_set"],
            level=level,
            seed=int(seed),
            labels_changed=int(changed.sum()),
            train_error=float(wrong.mean()),
            train_error_clean=None if changed.all() else float(wrong[~changed].mean()),
            train_error_corrupted=float(wrong[changed].mean()) if changed.any() else None,
            test_error=float(wrong_test.mean()),
            fit_seconds=seconds,
        ),
        **about,
    )


def _named(estimator):
    """Return what an estimator is called in records: what it prints, or the name of its class."""
    kind = type(estimator)
    nameless = kind.__repr__ is object.__repr__  # it prints where it lies in memory
    return f"{kind.__module__}.{kind.__qualname__}" if nameless else " ".join(str(estimator).split())


def _of_fits(kind):
    """Return what a record of a fit holds: what an experiment has as `results`."""
    return types.SimpleNamespace(results=FitResults)


def _clone(estimator, seed=None):
    """Return an unfitted copy; with a seed, every random_state in it that is None becomes that seed."""
    from sklearn.base import clone

    if isinstance(estimator, type) or not all(
        callable(getattr(estimator, method, None)) for method in ("fit", "predict")
    ):
        raise InputError(f"the estimator must be an object with fit and predict; got {str(estimator)[:80]}")
    copy = clone(estimator, safe=False)
    if seed is not None and hasattr(copy, "get_params"):
        found = copy.get_params()
        states = [key for key in found if key.split("__")[-1] == "random_state" and found[key] is None]
        copy.set_params(**dict.fromkeys(states, int(seed)))
    return copy


def _predictions(model, X, n, classes):
    predicted = np.asarray(model.predict(X))
    if predicted.shape != (n,) or not np.isin(predicted, classes).all():
        raise InputError(
            f"predict returned {predicted.dtype} of shape {predicted.shape}; expected {n} labels out of "
            f"{len(classes)} classes. The test is for classifiers: is this a regressor, or are these scores?"
        )
    return predicted


def _splits(X, y, X_test, y_test) -> tuple[Any, np.ndarray, Any, np.ndarray, str]:
    """Return X, y, X_test, y_test and where the test examples came from."""
    y = np.asarray(y)
    require_known(y)
    if (X_test is None) != (y_test is None):
        raise InputError("X_test and y_test belong together: give both, or neither")
    if X_test is not None:
        m, y_test = X_test.shape[0] if hasattr(X_test, "shape") else len(X_test), np.asarray(y_test)
        if y_test.shape[:1] != (m,):
            raise InputError(f"X_test has {m} examples, and y_test the shape {y_test.shape}; give a label for each")
        return X, y, X_test, y_test, "given"
    from sklearn.model_selection import train_test_split

    try:
        X, X_test, y, y_test = train_test_split(X, y, test_size=_HELD_OUT, stratify=y, random_state=0)
    except (ValueError, TypeError) as error:  # lengths that differ, a class with one member, texts beside numbers
        raise InputError(f"no test set was given, and none could be held out: {error}") from error
    return X, y, X_test, y_test, f"a fifth of the examples, {len(y_test):,}, held out per class with seed 0"


def _classes(y, y_test):
    """Return the classes, and the index of each training label among them."""
    if y.ndim != 1 or y_test.ndim != 1 or (y.dtype.kind == "f" and not (y % 1 == 0).all()):
        raise InputError(f"labels must be one class for each example; got {y.dtype} {y.shape} and {y_test.shape}")
    classes, labels = classes_of(y)
    unknown = np.setdiff1d(y_test, classes)
    if unknown.size:
        raise InputError(f"the test labels hold {unknown[:5]}, which no training example has")
    return classes, labels


def _several(name, values):
    found = list(values) if np.iterable(values) and not isinstance(values, str) else []
    if not found:
        raise InputError(f"{name} = {values!r}; give a sequence of at least one")
    return found


def _hash(value):
    """Return joblib's hash of an object's content."""
    import joblib

    try:
        return joblib.hash(value, coerce_mmap=True)
    except Exception as error:  # pickle may fail in any way
        raise InputError(
            f"{str(value)[:80]} cannot be pickled, so its fits cannot be told apart ({error}). Likely cause: a lambda "
            "or a function inside a function; define it in a module"
        ) from error
