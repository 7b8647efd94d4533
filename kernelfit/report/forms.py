"""Which fields of a line the report reads, and of which form they must be; whatever else a line holds is left alone.

The forms are those of _TESTS. With "?" behind it a field may be null, or missing, which reads as null. "a.b" is the
field b of the map a.
"""

import math
import re

from kernelfit.errors import DataError
from kernelfit.report.paper import SECTION_5_CLAIMS

_SHARED = {"created": "text", "command": "text", "dataset.name": "text", "n_train": "count", "n_test": "count"}
_SHARED |= {"n_classes": "count", "seconds.total": "number", "seconds": "seconds"}
_CORRUPTION = {"corruption.labels": "number", "corruption.pixels": "text", "corruption.labels_changed": "count?"}
CURVES = ("train_error", "train_squared_error", "test_error", "test_squared_error", "norm", "condition")
"""Fields of a line of double descent: lists over seeds of lists over the grid."""
_NORMS = {"norm": "number?", "norm_pm1": "number?"}  # null where rounding left a negative square

FORMS = {
    "kernelfit.record/1": {
        **_SHARED,
        **_CORRUPTION,
        **_NORMS,
        "dataset.asked": "text",
        "kernel": "text",
        "features": "text",
        "ridge": "number",
        "method": "text",
        "precision": "text",
        "train_error": "number",
        "test_error": "number",
        "loo_error": "number?",
        "relative_residual": "number?",
        "gemm_gflops": "number",
        "peak_bytes": "count",
        "warnings": "texts",
        "augmentation": "map?",
        "augmentation.what": "text?",
        "pictures": "pictures?",
        "histograms": "histograms?",
    },
    "kernelfit.sweep/1": {
        **_SHARED,
        "norm": "number",
        "norm_pm1": "number",
        "test_margins.mean": "number",
        "features": "text?",
        "kernels": "names",
        "method": "text",
        "relative_residual": "number?",
        "pixels": "text",
        "level": "number",
        "seed": "count",
        "train_error": "number",
        "test_error": "number",
        "loo_error": "number?",
        "recovered": "number?",
    },
    "kernelfit.ridge/1": {
        **_SHARED,
        "features": "text?",
        "norm": "number",
        "norm_pm1": "number",
        "kernel": "text",
        "method": "text",
        "reason": "text",
        "warnings": "texts",
        "chosen_by_loo": "number?",
        "loo_improves": "flag?",
        "test_improves": "flag?",
        "ridge": "number",
        "train_error": "number",
        "test_error": "number",
        "loo_error": "number?",
        "test_corrected": "count",
        "test_broken": "count",
        "relative_residual": "number",
    },
    "kernelfit.interpolants/1": {
        **_SHARED,
        "features": "text?",
        **_NORMS,
        "kernel": "text",
        "name": "text",
        "labels": "text",
        "centres": "count",
        "ratio": "number?",
        "test_error": "number?",
        "relative_residual": "number?",
        "condition": "number?",
        "failed": "text",
    },
    "kernelfit.section5/1": {
        **_NORMS,
        "row": "claim",
        "scale": "text",
        "command": "text",
        "created": "text",
        "dataset": "text",
        "features": "text?",
        "n_train": "count",
        "n_test": "count",
        "test_error": "number?",
        "loo_error": "number?",
        "ridge": "number?",
        "seconds": "number",
        "distance": "number?",
        "norm_elsewhere": "number?",
        "path": "path?",
        "others": "others?",
    },
    "kernelfit.bench/1": {
        "created": "text",
        "command": "text?",
        "data": "text",
        "bandwidth": "number",
        "contender": "text",
        "note": "text?",
        "n": "count",
        "skipped": "text?",
        "seconds": "number?",
        "peak_bytes": "count?",
        "test_error": "number?",
        "relative_residual": "number?",
        "gemm_rate": "number?",
    },
    "kernelfit.fit/1": {
        "identity": "text",
        "created": "text",
        "command": "text?",
        "estimator": "text",
        "data.name": "text",
        "data.test_set": "text",
        "n_train": "count",
        "n_test": "count",
        "n_classes": "count",
        "level": "number",
        "seed": "count",
        "train_error": "number",
        "train_error_clean": "number?",
        "train_error_corrupted": "number?",
        "test_error": "number",
        "fit_seconds": "number",
    },
    "kernelfit.descent/1": {
        "created": "text",
        "command": "text",
        "dataset.name": "text",
        "features": "text",
        "n_train": "positive",
        "n_test": "count",
        "d": "count",
        "n_classes": "positive",
        "label_noise": "number",
        "seeds": "numbers",
        "grid": "grid",
        **dict.fromkeys(CURVES, "curve"),
        "warnings": "texts",
        "seconds": "number",
    },
    "kernelfit.net/1": {
        **_SHARED,
        **_CORRUPTION,
        "identity": "text",
        "dataset.asked": "text?",
        "model": "text",
        "parameters": "count",
        "seed": "count",
        "stopped_by": "text",
        "epochs": "count",
        "steps": "count",
        "training": "map",
        "training.augment": "flag?",
        "training.weight_decay": "number?",
        "training.lr": "number?",
        "time_to_fit": "map?",
        "time_to_fit.epochs": "number?",
        "time_to_fit.steps": "number?",
        "time_to_fit.seconds": "number?",
        "train_error": "number",
        "test_error": "number",
        "test_error_top5": "number?",
        "train_loss": "number?",
        "curve": "map",
        "curve.epoch": "numbers?",
        "curve.steps": "numbers?",
        "curve.loss": "numbers?",
        "curve.test_accuracy": "numbers?",
        "step_curve": "map?",
        "step_curve.every": "count?",
        "step_curve.loss": "numbers?",
        "norms": "map?",
        "norms.spectral_product": "number?",
        "warnings": "texts",
    },
}
_NEEDED_FOR_VERDICTS = {name: {"path": "path"} for name in ("mnist-pixels-ridge", "mnist-gabor-ridge")}
_NEEDED_FOR_VERDICTS |= {name: {"test_error": "number", "norm": "number"} for name in ("mnist-pixels", "mnist-gabor")}
_NEEDED_FOR_VERDICTS["linear"] = {"distance": "number?", "norm_elsewhere": "number?", "norm": "positive"}
_LARGEST = 2.0**63
_TESTS = {  # "numbers" may have gaps, null; a "number" is finite
    "text": lambda value: isinstance(value, str),
    "number": lambda value: _is_number(value),
    "positive": lambda value: _is_number(value) and value > 0,
    "count": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST,
    "flag": lambda value: isinstance(value, bool),
    "claim": lambda value: isinstance(value, str) and value in SECTION_5_CLAIMS,
    "grid": lambda value: isinstance(value, list) and len(value) > 1 and all(map(_TESTS["positive"], value)),
    "curve": lambda value: isinstance(value, list) and bool(value) and all(map(_are_numbers, value)),
    "path": lambda value: _are_maps(value, 2, ridge="number", test_error="number"),
    "others": lambda value: _are_maps(value, 1, name="text", labels="text", ratio="number"),
    "map": lambda value: isinstance(value, dict),
    "names": lambda value: isinstance(value, dict) and value and all(isinstance(part, str) for part in value.values()),
    "seconds": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "texts": lambda value: isinstance(value, list) and all(isinstance(part, str) for part in value),
    "histograms": lambda value: isinstance(value, dict) and all(map(_is_histogram, value.values())),
    "pictures": lambda value: isinstance(value, dict) and _are_pictures(**value),
    "numbers": lambda value: isinstance(value, list) and all(part is None or _is_number(part) for part in value),
}


def conform(fields):
    """Return the fields of a line with every optional field in its place.

    Raises
    ------
    DataError
        The schema is not known, or a field that the report reads is missing or of another form.
    """
    if not isinstance(fields, dict):
        raise DataError("no JSON object")
    schema = fields.get("schema")
    forms = FORMS.get(schema) if isinstance(schema, str) else None
    if forms is None:
        raise DataError(f"no Record of a schema that the report knows: {str(schema)[:60]!r}")
    if schema == "kernelfit.section5/1":
        forms = forms | _NEEDED_FOR_VERDICTS.get(fields.get("row"), {})
    if schema == "kernelfit.bench/1" and fields.get("skipped") is None:
        forms = forms | {name: forms[name].rstrip("?") for name in ("seconds", "peak_bytes", "test_error", "gemm_rate")}
    for path, form in forms.items():
        _conform(fields, path, form)
    if schema == "kernelfit.descent/1" and {len(run) for name in CURVES for run in fields[name]} != {
        len(fields["grid"])
    }:
        raise DataError("the curves are not as long as the grid")
    return fields


def _conform(fields, path, form):
    *parents, name = path.split(".")
    holder = fields
    for parent in parents:
        holder = holder.get(parent)
        if holder is None and form.endswith("?"):
            return
        if not isinstance(holder, dict):
            raise DataError(f"{path} is missing")
    value = holder.setdefault(name, None)
    if value is None and form.endswith("?"):
        return
    if value is None:
        raise DataError(f"{path} is missing")
    if not _TESTS[form.rstrip("?")](value):
        raise DataError(f"{path} is no {form.rstrip('?')}: {str(value)[:40]!r}")


def _are_numbers(value):
    return isinstance(value, list) and all(map(_is_number, value))


def _are_maps(value, least, **forms):
    """Whether value is a list of at least so many maps whose fields have these forms."""
    if not isinstance(value, list) or len(value) < least or not all(isinstance(each, dict) for each in value):
        return False
    return all(_TESTS[form](each.get(name)) for each in value for name, form in forms.items())


def _is_histogram(value):
    """Whether value has low, high and counts, as kernelfit.illustrations.histogram returns them."""
    if not isinstance(value, dict):
        return False
    low, high, counts = (value.get(name) for name in ("low", "high", "counts"))
    ends = _is_number(low) and _is_number(high) and low < high
    return ends and isinstance(counts, list) and 0 < len(counts) <= 200 and all(map(_TESTS["count"], counts))


def _are_pictures(misclassified=(), memorised=(), filters=None, **_):
    """Whether the arguments are pictures as kernelfit.illustrations makes them."""
    lists = isinstance(misclassified, list | tuple) and isinstance(memorised, list | tuple)
    return lists and all(map(_is_example, [*misclassified, *memorised])) and (filters is None or _is_png(filters))


def _is_example(value):
    if not isinstance(value, dict) or not _TESTS["count"](value.get("index")):
        return False
    texts = [value.get("label"), value.get("predicted"), value.get("true", "")]
    return all(isinstance(text, str) for text in texts) and _is_png(value.get("png"))


def _is_png(value):
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9+/]{1,20000}={0,2}", value) is not None


def _is_number(value):
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _LARGEST
    return isinstance(value, float) and math.isfinite(value)
