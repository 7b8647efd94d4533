"""Predicting with a saved model."""

import csv
import io

import numpy as np

from kernelfit import datasets
from kernelfit.common.errors import DataError
from kernelfit.common.files import write_text
from kernelfit.common.progress import Progress
from kernelfit.datasets.dataset import composed
from kernelfit.datasets.labels import decided, error_rate, undecided
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.expansion import read_model
from kernelfit.models.trend import trend_values


def run_predict(path, *, data, kernel=None, n_test=None, seed=0, data_dir=None, progress=None):
    """Predict the test split of `data` with the model at `path`; return (result, rows).

    The result is a dict with dataset, n_test, test_error and warnings, a list of sentences; the rows are (index in the
    whole test split, predicted class, true class) for each example, the class "" where no score is the one largest.
    """
    progress = progress or Progress()
    model, header, beside = read_model(path, kernel=parse_kernel(kernel) if kernel else None)
    if header.get("estimator", {}).get("class") == "KernelInterpolator":
        raise DataError(
            f"{path} holds a KernelInterpolator, which predicts numbers, not classes; read it by kernelfit.load_model"
        )
    loaded = datasets.load(data, n_test=n_test, seed=seed, data_dir=data_dir, progress=progress)
    if model.pixels != "true":
        raise DataError(
            f"the model was fitted to {model.pixels} pixels, and its file does not hold what was done to them; "
            "kernelfit predict serves models of true pixels"
        )
    place = {composed(name): k for k, name in enumerate(model.classes)}
    if set(place) != set(loaded.classes) or len(place) < len(model.classes):
        raise DataError(
            f"the model knows the classes {', '.join(model.classes)}, but {loaded.name} has {', '.join(loaded.classes)}"
        )
    true = np.array([place[name] for name in loaded.classes])[loaded.y_test]  # the order may be another
    scores = model(loaded.X_test, progress=progress)
    if "trend_coef_" in beside:
        scores = scores + trend_values(loaded.X_test, beside["trend_centre_"], beside["trend_coef_"])
    result = {"dataset": loaded.name, "n_test": len(loaded.y_test), "test_error": error_rate(scores, true)}
    result["warnings"] = undecided(scores)
    names = np.array(model.classes, dtype=object)
    predicted = np.where(decided(scores), names[scores.argmax(axis=1)], "")
    return result, list(zip(loaded.rows_test.tolist(), predicted.tolist(), names[true].tolist(), strict=True))


def write_predictions(path, rows):
    """Write the rows of run_predict to `path` as CSV, whole or not at all; return the path."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("index", "predicted", "true"), *rows])
    return write_text(path, text.getvalue())
