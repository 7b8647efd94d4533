"""Predicting with a saved model."""

import csv
import io

from kernelfit import datasets, measures
from kernelfit.errors import DataError
from kernelfit.files import write_text
from kernelfit.kernel_text import parse_kernel
from kernelfit.model import load_model
from kernelfit.progress import Progress


def run_predict(path, *, data, kernel=None, n_test=None, seed=0, data_dir=None, progress=None):
    """Predict the test split of `data` with the model at `path`; return (result, rows).

    The result is a dict with dataset, n_test and test_error, the rows (index, predicted class, true class) for each
    example.
    """
    progress = progress or Progress()
    model = load_model(path, kernel=parse_kernel(kernel) if kernel else None)
    loaded = datasets.load(data, n_test=n_test, seed=seed, data_dir=data_dir, progress=progress)
    if model.pixels != "true":
        raise DataError(
            f"the model was fitted to {model.pixels} pixels, and its file does not hold what was done to them; "
            "kernelfit predict serves models of true pixels"
        )
    if loaded.classes != model.classes:
        raise DataError(
            f"the model knows the classes {', '.join(model.classes)}, but {loaded.name} has {', '.join(loaded.classes)}"
        )
    scores = model.scores(loaded.X_test, progress=progress)
    result = {
        "dataset": loaded.name,
        "n_test": len(loaded.y_test),
        "test_error": measures.error_rate(scores, loaded.y_test),
    }
    pairs = zip(scores.argmax(axis=1), loaded.y_test, strict=True)
    return result, [(i, model.classes[predicted], model.classes[true]) for i, (predicted, true) in enumerate(pairs)]


def write_predictions(path, rows):
    """Write the rows of run_predict to `path` as CSV, whole or not at all; return the path."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("index", "predicted", "true"), *rows])
    return write_text(path, text.getvalue())
