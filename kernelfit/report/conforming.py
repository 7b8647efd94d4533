"""Whether a line is a Record that the report can show: every field that it reads is there and of its form."""

import math
import re
from collections.abc import Callable
from typing import Any

from kernelfit.common.errors import DataError
from kernelfit.report.forms import CURVES, FORMS, NEEDED_FOR_VERDICTS, NEEDED_WHEN_DONE
from kernelfit.report.paper import SECTION_5_CLAIMS

_LARGEST, _TOO_LARGE = 2.0**63, 1e100  # of integers, and of numbers: sums and squares stay finite
_LARGEST_SEED = 2**256  # NumPy's own have 128 bits
_TESTS: dict[str, Callable[[Any], Any]] = {  # "numbers" and "curve" may have gaps, null
    "text": lambda value: isinstance(value, str),
    "number": lambda value: _is_number(value),
    "measure": lambda value: _is_number(value),
    "share": lambda value: _is_number(value) and 0 <= value <= 1,
    "size": lambda value: _is_number(value) and value >= 0,
    "positive": lambda value: _is_number(value) and value > 0,
    "positive count": lambda value: _TESTS["count"](value) and value > 0,
    "count": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST,
    "flag": lambda value: isinstance(value, bool),
    "claim": lambda value: isinstance(value, str) and value in SECTION_5_CLAIMS,
    "seed": lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_SEED,
    "grid": lambda value: isinstance(value, list) and bool(value) and all(map(_TESTS["positive"], value)),
    "curve": lambda value: isinstance(value, list) and bool(value) and all(map(_TESTS["numbers"], value)),
    "path": lambda value: _are_maps(value, 2, ridge="number", test_error="number"),
    "others": lambda value: _are_maps(value, 1, name="text", labels="text", ratio="measure"),
    "map": lambda value: isinstance(value, dict),
    "names": lambda value: isinstance(value, dict) and value and all(isinstance(part, str) for part in value.values()),
    "seconds": lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
    "texts": lambda value: isinstance(value, list) and all(isinstance(part, str) for part in value),
    "histograms": lambda value: isinstance(value, dict) and all(map(_is_histogram, value.values())),
    "pictures": lambda value: isinstance(value, dict) and _are_pictures(**value),
    "numbers": lambda value: isinstance(value, list) and all(part is None or _is_number(part) for part in value),
}


def conform(fields):
    """Return the fields of a line with every optional field in its place, and NaN for measures that are null.

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
    row = fields.get("row")
    if schema == "kernelfit.section5/1" and isinstance(row, str):
        forms = forms | NEEDED_FOR_VERDICTS.get(row, {})
    done = {"kernelfit.bench/1": fields.get("skipped") is None, "kernelfit.interpolants/1": fields.get("failed") == ""}
    if done.get(schema):
        forms = forms | {"test_error": "share"} | NEEDED_WHEN_DONE[schema]
    for path, form in forms.items():
        _conform(fields, path, form)
    if schema == "kernelfit.descent/1":
        for name in CURVES:
            if {len(run) for run in fields[name]} != {len(fields["grid"])}:
                raise DataError("the curves are not as long as the grid")
            fields[name] = [list(map(_number_or_nan, run)) for run in fields[name]]
    for each in fields.get("others") or () if schema == "kernelfit.section5/1" else ():
        each["ratio"] = _number_or_nan(each.get("ratio"))
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
    if form == "measure" and name in holder and holder[name] is None:
        holder[name] = math.nan
        return
    value = holder.setdefault(name, None)
    if value is None and form.endswith("?"):
        return
    if value is None:
        raise DataError(f"{path} is missing")
    if not _TESTS[form.rstrip("?")](value):
        raise DataError(f"{path} is no {form.rstrip('?')}: {str(value)[:40]!r}")


def _are_maps(value, least, **forms):
    """Whether value is a list of at least so many maps whose fields have these forms."""
    if not isinstance(value, list) or len(value) < least or not all(isinstance(each, dict) for each in value):
        return False
    return all(_fits(each.get(name), form) for each in value for name, form in forms.items())


def _fits(value, form):
    return (value is None and form == "measure") or _TESTS[form](value)


def _number_or_nan(value):
    return math.nan if value is None else value


def _is_histogram(value):
    """Whether value has low, high and counts, as kernelfit.records.pictures.histogram returns them."""
    if not isinstance(value, dict):
        return False
    low, high, counts = (value.get(name) for name in ("low", "high", "counts"))
    ends = _is_number(low) and _is_number(high) and low < high
    return ends and isinstance(counts, list) and 0 < len(counts) <= 200 and all(map(_TESTS["count"], counts))


def _are_pictures(misclassified=(), memorised=(), filters=None, **_):
    """Whether the arguments are pictures as kernelfit.records.pictures makes them."""
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
    return isinstance(value, float) and abs(value) < _TOO_LARGE  # NaN is not
