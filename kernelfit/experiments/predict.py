"""Predicting with a saved model."""

import csv
import io

import numpy as np

from kernelfit import datasets, measures
from kernelfit.datasets.dataset import composed
from kernelfit.errors import DataError
from kernelfit.files import atomic_write
from kernelfit.kernel_text import parse_kernel
from kernelfit.model import load_model
from kernelfit.progress import Progress


def run_predict(path, *, data, out=None, kernel=None, n_test=None, seed=0, data_dir=None, progress=None):
    """Predict the test split of `data` with the model at `path`; return a dict with dataset, n_test and test_error.

    Writes one CSV line per example (index, predicted, true) to `out` if given, whole or not at all.
    """
    progress = progress or Progress()
    model = load_model(path, kernel=parse_kernel(kernel) if kernel else None)
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
    scores = model.scores(loaded.X_test, progress=progress)
    if out is not None:
        with atomic_write(out) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            writer = csv.writer(text)
            writer.writerow(["index", "predicted", "true"])
            for i, labels in enumerate(zip(scores.argmax(axis=1), true, strict=True)):
                writer.writerow([i, *(model.classes[label] for label in labels)])
            text.flush()
            text.detach()  # the file belongs to atomic_write
    return {
        "dataset": loaded.name,
        "n_test": len(loaded.y_test),
        "test_error": measures.error_rate(scores, true),
    }
