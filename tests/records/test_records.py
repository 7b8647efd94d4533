"""Records: one line of strict JSON each, the same after a round trip, and refused by name where it is not one."""

import dataclasses
import datetime
import json
import math

import pytest

from kernelfit.common.errors import DataError
from kernelfit.common.progress import Progress
from kernelfit.experiments.registry import find, kinds
from kernelfit.experiments.solve import SolveResults, SolveSpec
from kernelfit.records.reading import read_file
from kernelfit.records.record import FILE, SCHEMA, append_record, decoded, make_record, now
from tests.support.records import results_of

INF, NAN = math.inf, math.nan


def record(kind="solve", seed=0, changes=None, **more):
    experiment = find(kind)
    results = dataclasses.replace(results_of(experiment.results), **(changes or {}))
    spec = experiment.spec(**({"seed": seed} if kind == "solve" else {}))
    return make_record(spec, results, kind=kind, seconds={"total": 1.25, "factor": 0.1 + 0.2}, **more)


def read(path):
    return read_file(path, find, progress=Progress())


def strict(line):
    """Parse JSON as the standard has it: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("kind", kinds())
def test_a_round_trip_changes_nothing(tmp_path, kind):
    original = record(kind)
    path = append_record(tmp_path, original)
    assert path == tmp_path / FILE
    [again], unread = read(path)
    assert not unread and again == original and type(again.results) is find(kind).results
    assert strict(path.read_text()) == strict(again.to_json())
    assert again.schema == SCHEMA and again.id == find(kind).spec.of_command(again.command).identity()


def test_numbers_that_are_not_finite_become_none_at_any_depth():
    made = record(
        changes={
            "norm": NAN,
            "condition_estimate": INF,
            "norm_per_output": [1.0, -INF, NAN],
            "norm_pm1": 1e200,
            "bandwidth_choice": {"candidates": [{"loo_error": NAN, "pair": (INF, 2.0)}]},
        }
    )
    assert made.results.norm is None and made.results.condition_estimate is None
    assert made.results.norm_per_output == [1.0, None, None] and made.results.norm_pm1 is None
    assert made.results.bandwidth_choice == {"candidates": [{"loo_error": None, "pair": [None, 2.0]}]}
    strict(made.to_json())


@pytest.mark.parametrize(
    "text",
    [
        "données 数据 🙂",
        'quotes " and \\ backslashes',
        "two\nlines\r\nand\ttabs",
        "separators \u2028 \u2029 \x85 \x0b \x0c \x1c",
        "zero \x00",
        b"caf\xe9.npz".decode("utf-8", "surrogateescape"),  # a file name that is not UTF-8, as Python hands it over
    ],
    ids=["unicode", "quotes", "newlines", "separators", "zero", "no unicode"],
)
def test_any_text_stays_on_one_line(tmp_path, text):
    original = record(warnings=[text], command=f"kernelfit solve --data '{text}'", environment={text: text})
    path = append_record(tmp_path, original)
    [line] = path.read_bytes().decode().removesuffix("\n").split("\n")
    [again], _ = read(path)
    assert again.results == original.results and strict(line)["warnings"]


def test_records_are_appended_in_order(tmp_path):
    folder = tmp_path / "runs" / "new"
    records = [record(seed=seed) for seed in range(3)]
    assert {append_record(folder, each) for each in records} == {folder / FILE}
    append_record(folder, *records)
    assert read(folder / FILE) == (records * 2, [])


def test_results_of_another_form_are_an_error_when_they_are_made():
    with pytest.raises(DataError, match="train_error"):
        record(changes={"train_error": 1.5})
    with pytest.raises(DataError, match="ridge"):
        record(changes={"ridge": None})


def needed(cls):
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(cls) if f.default is missing and f.default_factory is missing]


@pytest.mark.parametrize("field", needed(SolveResults))
def test_each_result_without_a_default_is_needed(field):
    fields = strict(record().to_json())
    del fields["results"][field]
    with pytest.raises(DataError, match=field):
        decoded(fields, SolveResults)


def test_the_id_is_of_what_decides_the_outcome():
    ids = [SolveSpec(**options).identity() for options in ({}, {"seed": 1}, {"ridge": 1e-3}, {"labels": "random"})]
    assert len(set(ids)) == 4
    assert SolveSpec(scratch="/a", memory="8GB", device="cpu", data_dir="/b").identity() == ids[0]
    assert SolveSpec(bandwidth=2).identity() == SolveSpec(bandwidth=2.0).identity()


def test_now_is_the_time_in_utc():
    moment = datetime.datetime.fromisoformat(now())
    assert moment.utcoffset() == datetime.timedelta(0)
    # The clock is read once more, after now(), which drops less than a second.
    assert 0 <= (datetime.datetime.now(datetime.UTC) - moment).total_seconds() < 60
