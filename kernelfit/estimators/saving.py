"""Fitted estimators on disk without pickle: the file of a KernelExpansion, with parameters and attributes beside it."""

import dataclasses
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from kernelfit import solvers
from kernelfit.backend.device import Device
from kernelfit.common.errors import InputError
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import as_kernel
from kernelfit.models.expansion import KernelExpansion, write_model
from kernelfit.models.fit import FitReport
from kernelfit.models.optimizing import Optimization
from kernelfit.solvers.protocol import Solver


class SavedEstimator(BaseEstimator):
    """An estimator whose prediction is a function_, a KernelExpansion, and that can be saved."""

    function_: KernelExpansion

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to `path`, whole or not at all; `kernelfit.load_model` reads it.

        Parameters and fitted attributes are kept as numbers and texts, functions by their names alone. What was fitted
        on a GPU predicts on the CPU when it is loaded.

        Raises
        ------
        NotFittedError
        InputError
            A class, a solver or a label is not of a kind that can be written so.
        """
        check_is_fitted(self)
        if not type(self).__module__.startswith("kernelfit."):
            raise InputError(f"{type(self).__name__} is a class of your own, which no file holds; pickle it")
        parameters = {name: _parameter(name, value) for name, value in self.get_params(deep=False).items()}
        fitted, arrays, texts = {}, {}, []
        for name, value in vars(self).items():
            if not name.endswith("_") or name.startswith("_") or name == "function_":
                continue
            if isinstance(value, np.ndarray):
                arrays[name] = _array(name, value)
                texts += [name] * (value.dtype == object)
            else:
                fitted[name] = (
                    dataclasses.asdict(value) if isinstance(value, FitReport | Optimization) else _plain(name, value)
                )
        own = {"class": type(self).__name__, "parameters": parameters, "fitted": fitted, "texts": texts}
        classes = {"classes": list(map(str, arrays["classes_"]))} if "classes_" in arrays else {}
        write_model(path, self.function_, classes | {"estimator": own}, **arrays)


def _parameter(name, value):
    """Return a parameter as what JSON has a word for; a dict is a Kernel, a function, a Solver or a dict."""
    if isinstance(value, Kernel):
        return {"kernel": str(value)}
    if isinstance(value, Solver):
        if type(value).__name__ not in solvers.__all__ or not type(value).__module__.startswith("kernelfit."):
            raise InputError(f"{name} = {value} is a solver of your own, which no file holds; pickle the estimator")
        options = {
            field.name: _plain(f"{name}.{field.name}", getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        }
        return {"solver": type(value).__name__, "options": options}
    if isinstance(value, dict):
        return {"pairs": [[_plain(name, key), _plain(name, part)] for key, part in value.items()]}
    if callable(value) and not isinstance(value, Path):
        return {"function": str(as_kernel(value))}
    return _plain(name, value)


def _plain(name, value):
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Path | Device):
        return str(value) if isinstance(value, Path) else value.name
    if isinstance(value, list | tuple):
        return [_plain(name, part) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"{name} is a {type(value).__name__}, which is not written without pickle")


def _array(name, value):
    if value.dtype == object and all(isinstance(part, str) for part in value):
        return value.astype(str)
    if value.dtype.kind not in "fiubUS":
        raise InputError(f"{name} holds {value.dtype}, which is not written without pickle; give texts or numbers")
    return value
