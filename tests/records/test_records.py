"""Records: one line of strict JSON each, the same after a round trip, and refused by name where it is not one."""

import dataclasses
import datetime
import json

import pytest

from kernelfit.common.errors import DataError
from kernelfit.records.record import SCHEMA, Record, append_record, now

OPTIONAL = ("solver", "augmentation", "histograms", "pictures")
INF, NAN = float("inf"), float("nan")


def record(**changes):
    fields = {
        "created": now(),
        "version": "0.1.0",
        "command": "kernelfit solve --data digits",
        "dataset": {"name": "digits", "sha256": {"X_train": "ab", "y_train": "cd"}},
        "n_train": 1437,
        "n_test": 360,
        "d": 64,
        "n_classes": 10,
        "kernel": "gaussian(bandwidth=1.5)",
        "bandwidth_choice": {"n": 1000, "candidates": [{"bandwidth": 0.1, "loo_error": 0.25}]},
        "features": "pixels",
        "corruption": {"labels": 0.5, "pixels": "true", "seed": 3, "sha256": "ef"},
        "ridge": 0.0,
        "method": "cholesky",
        "precision": "float64",
        "device": "cpu",
        "seed": 0,
        "train_error": 0.0,
        "test_error": 1 / 3,
        "loo_error": None,
        "norm": 145.1024000001,
        "norm_pm1": 2e2 / 7,
        "norm_per_output": [0.1, 1e-300, 1.7976931348623157e308],
        "norm_pm1_per_output": [1.0],
        "norm_disagreement": 5e-324,
        "relative_residual": 1.2e-11,
        "condition_estimate": 1e9,
        "smallest_pivot": 7e-4,
        "warnings": ["one", "two"],
        "seconds": {"total": 1.25, "factor": 0.1 + 0.2},
        "gflops": 65.0,
        "gemm_gflops": 77.0,
        "peak_bytes": 2**40 + 1,
        "environment": {"python": "3.11", "blas": ["openblas"], "threads": 2},
    }
    return Record(**(fields | changes))


def strict(line):
    """Parse JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_a_round_trip_changes_nothing():
    original = record()
    line = original.to_json()
    assert Record.from_json(line) == original
    assert Record.from_json(line).to_json() == line
    assert strict(line) == dataclasses.asdict(original)
    assert strict(line)["schema"] == SCHEMA


def test_numbers_that_are_not_finite_become_null_at_any_depth():
    original = record(
        norm=NAN,
        condition_estimate=INF,
        norm_per_output=[1.0, -INF, NAN],
        norm_pm1_per_output=[1.0, -INF, NAN],
        seconds={"total": 1.0, "factor": NAN},
        bandwidth_choice={"candidates": [{"loo_error": NAN, "pair": (INF, 2.0)}]},
    )
    fields = strict(original.to_json())
    assert fields["norm"] is None and fields["condition_estimate"] is None
    assert fields["norm_per_output"] == [1.0, None, None]
    assert fields["seconds"] == {"total": 1.0, "factor": None}
    assert fields["bandwidth_choice"] == {"candidates": [{"loo_error": None, "pair": [None, 2.0]}]}
    assert Record.from_json(original.to_json()).norm is None


@pytest.mark.parametrize(
    "text",
    [
        "données 数据 🙂",
        'quotes " and \\ backslashes',
        "two\nlines\r\nand\ttabs",
        "separators \u2028 \u2029 \x85 \x0b \x0c \x1c",
        "zero \x00",
    ],
    ids=["unicode", "quotes", "newlines", "separators", "zero"],
)
def test_any_text_stays_on_one_line(tmp_path, text):
    original = record(dataset={"name": text, text: 1}, warnings=[text])
    path = append_record(tmp_path, original)
    [line] = path.read_bytes().decode().removesuffix("\n").split("\n")
    assert Record.from_json(line) == original


def test_a_path_that_is_not_unicode_does_not_lose_the_record(tmp_path):
    """Python hands a file name that is not UTF-8 to the program with lone surrogates in it."""
    name = b"caf\xe9.npz".decode("utf-8", "surrogateescape")
    path = append_record(tmp_path, record(command=f"kernelfit solve --data {name}"))
    assert Record.from_json(path.read_bytes().decode()).n_train == 1437


def test_records_are_appended_in_order(tmp_path):
    folder = tmp_path / "runs" / "new"
    records = [record(seed=seed) for seed in range(3)]
    paths = {append_record(folder, each) for each in records}
    assert paths == {folder / "records.jsonl"}
    with open(folder / "records.jsonl", encoding="utf-8") as file:
        assert [Record.from_json(line) for line in file] == records


@pytest.mark.parametrize(
    "line",
    [
        "",
        "\n",
        "not json",
        "{",
        record().to_json()[:-20],
        record().to_json() + record().to_json(),
        "null",
        "3",
        '"text"',
        "[]",
        "{}",
        json.dumps({"schema": "kernelfit.record/0"}),
        json.dumps({"schema": None}),
        json.dumps({"schema": [SCHEMA]}),
        json.dumps({"schema": SCHEMA}),
        json.dumps({"schema": SCHEMA, "seed": 3, "unknown": 1}),
        "[" * 100_000,
        '{"schema": ' + "9" * 10_000 + "}",
    ],
    ids=lambda line: repr(line)[:40],
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(DataError, match="not a"):
        Record.from_json(line)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Record) if field.name not in OPTIONAL])
def test_each_field_is_needed_and_no_other_is_known(field):
    fields = dataclasses.asdict(record())
    with pytest.raises(DataError):
        Record.from_json(json.dumps({key: value for key, value in fields.items() if key != field}))
    with pytest.raises(DataError):
        Record.from_json(json.dumps(fields | {field + "_": 1}))


def test_now_is_the_time_in_utc():
    moment = datetime.datetime.fromisoformat(now())
    assert moment.utcoffset() == datetime.timedelta(0)
    # The clock is read once more, after now(), which drops less than a second.
    assert 0 <= (datetime.datetime.now(datetime.UTC) - moment).total_seconds() < 60
