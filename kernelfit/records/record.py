"""Record: everything needed to repeat, check and plot one run, as one JSON line."""

import dataclasses
import datetime
import json
import math
from pathlib import Path

from kernelfit.common.errors import DataError
from kernelfit.common.files import append_lines

SCHEMA = "kernelfit.record/1"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The outcome of one solve. Errors are fractions, times seconds, memory bytes; None is "not measured".

    Attributes
    ----------
    dataset : dict
        asked (the name or path given), name, provenance, and the SHA-256 of each array before corruption.
    kernel : str
        As parse_kernel reads it, the bandwidth filled in.
    bandwidth_choice : dict or None
        How an automatic bandwidth was chosen: subsample size and the leave-one-out errors of all candidates.
    corruption : dict
        labels (probability), pixels, seed, labels_replaced and labels_changed (counts), sha256 of the corrupted data.
    loo_error : float or None
        Closed-form leave-one-out error on the training points.
    norm, norm_pm1 : float
        sqrt(tr(coef^T K coef)) for 0/1 and for -1/+1 targets.
    norm_per_output, norm_pm1_per_output : list of float
        sqrt(coef_c^T K coef_c) for each class.
    norm_disagreement : float
        Relative difference of `norm` between two routes, one through recomputed Gram blocks, one through the factor; or
        of norm_pm1, or of one of the classes, where it is largest. Early Records have it of all classes pooled.
    relative_residual : float
        |Y_c - (K + ridge I) coef_c| / |Y_c| against recomputed Gram blocks, of the class c where it is largest. Early
        Records have it of all classes pooled, |Y - (K + ridge I) coef|_F / |Y|_F, which is never more.
    condition_estimate : float or None
        Of K + ridge I in the 1-norm; a lower bound, with or without a shift. None where it would cost too much.
    smallest_pivot : float
        Of the factor: an upper bound on the smallest eigenvalue of K + (ridge + shift) I.
    precision : str
        float64, or mixed: a float32 factor, corrected in float64.
    solver : dict or None
        What the solver did: precision, storage, panel_width, shift, breakdowns, steps and residuals of conjugate
        gradients, fallback, resumed_panels, why this precision ("reason"). Another engine than the local one names
        itself ("engine") and adds what it has to say.
    augmentation : dict or None
        what, rows (of the system that was solved, at least n_train), left_out (copies equal to another image).
    histograms : dict or None
        train_margins, test_margins and, with leave-one-out, loo_margins and loo_residuals, each as
        kernelfit.records.pictures.histogram returns it.
    pictures : dict or None
        For the report, as kernelfit.records.pictures makes them: misclassified and memorised (lists of examples
        with index, label, predicted and png; the latter with true), filters (a PNG in base64, or None).
    seconds : dict
        load, features, bandwidth, forecast, allocate, gram, precondition, factor, solve, refine, check, condition,
        leave_one_out, predict, total.
    gflops : float or None
        Operations of the factorisation (n^3 / 3, less those of resumed panels) over seconds["factor"], in 10^9 per
        second; gemm_gflops is the matrix-product rate before it.
    peak_bytes : int
        Largest resident memory of any process of the run up to its end.
    """

    schema: str = SCHEMA
    created: str
    version: str
    command: str
    dataset: dict
    n_train: int
    n_test: int
    d: int
    n_classes: int
    kernel: str
    bandwidth_choice: dict | None
    features: str
    corruption: dict
    ridge: float
    method: str
    precision: str
    device: str
    seed: int
    train_error: float
    test_error: float
    loo_error: float | None
    norm: float
    norm_pm1: float
    norm_per_output: list
    norm_pm1_per_output: list
    norm_disagreement: float
    relative_residual: float
    condition_estimate: float | None
    smallest_pivot: float
    warnings: list
    seconds: dict
    gflops: float | None
    gemm_gflops: float | None
    peak_bytes: int
    environment: dict
    solver: dict | None = None
    augmentation: dict | None = None
    histograms: dict | None = None
    pictures: dict | None = None

    def to_json(self):
        """Return the Record as one line of strict JSON; numbers that are not finite become null."""
        return to_json(self)

    @classmethod
    def from_json(cls, line):
        """Return the Record of a JSON line; raises DataError if it is not one of this schema."""
        return parse_record(cls, SCHEMA, line)


def append_record(folder, record):
    """Append a Record to records.jsonl in `folder` (made if missing); return the file's path."""
    return append_json(Path(folder) / "records.jsonl", record)


def append_json(path, *values):
    """Append values to the file at `path`, a line of strict JSON each, all of them or none; return the path."""
    return append_lines(path, *map(to_json, values))


def parse_record(cls, schema, line):
    """Return the record, of dataclass `cls`, of a JSON line; raises DataError if it is not one of this schema."""
    try:
        fields = from_json(line)
        if not isinstance(fields, dict) or fields.get("schema") != schema:
            raise DataError(f"not a record of schema {schema}: {line[:80]!r}")
        return cls(**fields)
    except DataError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"not a whole record of schema {schema}: {error}") from error


def read_lines(path, parse, *, progress):
    """Return (what `parse` makes of each line of a file, how many lines were skipped); a missing file is an empty one.

    A line of which `parse` raises DataError, such as one torn when a run was killed, is told to `progress` and skipped.
    """
    found, skipped = [], 0
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    found.append(parse(line))
                except DataError as error:
                    skipped += 1
                    progress.note(f"{path}, line {number}, is skipped: {str(error)[:160]}")
    except FileNotFoundError:
        pass
    return found, skipped


def now():
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def to_json(value):
    """Return a value as one line of strict JSON, as every command and every record writes it.

    Numbers that are not finite, for which JSON has no word, become null; NumPy's numbers and arrays plain ones;
    dataclasses dicts; paths and whatever else is no number, text, list or dict, its text.

    Examples
    --------
    >>> to_json({"norm": float("nan"), "errors": (0.5, float("inf"))})
    '{"norm": null, "errors": [0.5, null]}'
    """
    return json.dumps(_plain(value), allow_nan=False)


def from_json(line):
    """Return the value of a line of JSON; NaN and Infinity, which old lines may hold, become None, as to_json has them.

    A byte order mark, which some editors put before a text, is skipped. Raises ValueError if it is no JSON, or
    RecursionError.
    """
    return json.loads(line.removeprefix("\ufeff"), parse_constant=lambda name: None)


def _plain(value):
    """Return a value of dicts, lists, texts, whole and finite numbers, booleans and None."""
    if hasattr(value, "tolist"):  # a number or an array of NumPy's
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if dataclasses.is_dataclass(value):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
