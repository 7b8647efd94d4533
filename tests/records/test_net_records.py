import dataclasses
import json
import math

import pytest

from kernelfit.common.errors import DataError
from kernelfit.records.nets import NetRecord, append_net, read_nets


def made(identity="a", **changed):
    plain = {str: "", int: 0, float: 0.5, bool: False, dict: {}, list: []}
    fields = {field.name: plain.get(field.type) for field in dataclasses.fields(NetRecord) if field.name != "schema"}
    return NetRecord(**fields | {"identity": identity} | changed)


def test_a_record_survives_its_json():
    record = made(curve={"epoch": [1, 2], "loss": [2.3, 0.1]}, time_to_fit={"epochs": 2, "steps": 8, "seconds": 0.5})
    assert NetRecord.from_json(record.to_json()) == record


def test_numbers_that_are_not_finite_become_null():
    line = made(train_loss=math.nan, step_curve={"every": 1, "loss": [math.inf]}).to_json()
    assert json.loads(line)["train_loss"] is None and json.loads(line)["step_curve"]["loss"] == [None]


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"schema": "kernelfit.net/1"}', '{"schema": "kernelfit.fit/1"}'])
def test_other_lines_are_refused(line):
    with pytest.raises(DataError):
        NetRecord.from_json(line)


def test_a_file_keeps_the_last_of_each_and_skips_torn_lines(tmp_path):
    path = tmp_path / "runs" / "nets.jsonl"
    assert read_nets(path) == {}
    append_net(path, made("a", steps=1))
    with open(path, "a") as file:
        file.write(made("b").to_json()[:40])
    append_net(path, made("a", steps=2))
    assert {key: record.steps for key, record in read_nets(path).items()} == {"a": 2}
