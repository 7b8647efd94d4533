"""Fitted estimators from the files that they were saved to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernelfit import solvers
from kernelfit.common.errors import DataError, InputError
from kernelfit.estimators.classifier import KernelInterpolationClassifier
from kernelfit.estimators.interpolator import KernelInterpolator
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel, parse_kernel
from kernelfit.models.expansion import read_model
from kernelfit.models.fit import FitReport
from kernelfit.models.optimizing import Optimization

_KINDS = {kind.__name__: kind for kind in (KernelInterpolator, KernelInterpolationClassifier)}


def load_model(path: str | Path, *, kernel: Kernel | Callable | None = None) -> Any:
    """Return what was saved: a fitted estimator, or the KernelExpansion of `kernelfit solve --save`.

    It predicts with the same bits on the same machine. Nothing is unpickled and no code of the file is run: a kernel
    that is a function of the user's own is to be given again.

    Parameters
    ----------
    path : path
    kernel : Kernel or function, optional
        The fitted kernel, kernel_, where it is or holds a function.

    Raises
    ------
    DataNotFoundError, DataError
        There is no such file, or it is not a whole model file.
    InputError
        The kernel is needed, or is another than the one that was fitted.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import kernelfit as kf
    >>> X = np.linspace(0, 1, 20)[:, None]
    >>> model = kf.KernelInterpolator(bandwidth=0.1).fit(X, np.sin(6 * X[:, 0]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.npz")
    ...     loaded = kf.load_model(f"{folder}/model.npz")
    >>> loaded, bool((loaded.predict(X) == model.predict(X)).all())
    (KernelInterpolator(bandwidth=0.1), True)
    """
    function, header, arrays = read_model(path, kernel=None if kernel is None else as_kernel(kernel))
    if "estimator" not in header:
        return function
    try:
        own = header["estimator"]
        parameters = {name: _restored(value, kernel, function) for name, value in own["parameters"].items()}
        model: Any = _KINDS[own["class"]](**parameters)
        fitted = {name: arrays[name] for name in arrays if name.endswith("_")} | own["fitted"]
        fitted |= {name: fitted[name].astype(object) for name in own["texts"]}
        if "report_" in fitted:
            fitted["report_"] = _typed(fitted["report_"], FitReport)
        if "optimization_" in fitted:
            fitted["optimization_"] = _typed(fitted["optimization_"], Optimization)
    except Exception as error:  # whatever else the header may say
        raise DataError(f"{path}: the estimator in it is damaged, or of a later version: {error!r}") from error
    vars(model).update(fitted, function_=function)
    return model


def _restored(value, given, function):
    match value:
        case {"kernel": text}:
            try:
                return parse_kernel(text, imports=False)
            except InputError:  # a kernel of the user's own, which was given
                own = as_kernel(given)
                return own if str(own) == text else function.kernel
        case {"function": _}:
            return given
        case {"pairs": pairs}:
            return dict(pairs)
        case {"solver": name, "options": options}:
            if name not in solvers.__all__:
                raise ValueError(f"no solver is called {name!r}")
            return getattr(solvers, name)(**options)
    return value


def _typed(fields, kind):
    import msgspec

    return msgspec.convert(fields, kind)
