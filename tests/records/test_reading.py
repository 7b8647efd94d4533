"""A folder of records, of today and of before: what is whole is read, the rest is named, and nothing fails."""

import json
import random
from pathlib import Path

import pytest

from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.common.progress import Progress
from kernelfit.experiments.registry import find, kinds, read_records
from kernelfit.records.fits import KIND
from kernelfit.records.reading import Records, read_file
from kernelfit.records.record import FILE, DatasetUsed, append_record
from tests.records.test_records import record

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


class Notes(Progress):
    def __init__(self):
        self.told = []

    def note(self, message):
        self.told.append(message)


OLD = {
    "kernelfit.fit/1": {
        "identity": "abc",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.1.0",
        "estimator": "SVC()",
        "data": {"name": "digits", "test_set": "given", "X_train": "12"},
        "n_train": 30,
        "n_test": 10,
        "n_classes": 10,
        "level": 0.5,
        "seed": 2**200,
        "labels_changed": 13,
        "train_error": 0.0,
        "train_error_clean": 0.0,
        "train_error_corrupted": None,
        "test_error": 0.5,
        "fit_seconds": 0.25,
        "command": "",
    },
    "kernelfit.net/1": {
        "identity": "def",
        "created": "2026-01-01T00:00:00+00:00",
        "version": "0.1.0",
        "command": "kernelfit nn train --model mlp1x512 --data digits --labels random --curve-every 4",
        "dataset": {"asked": "digits", "name": "digits", "provenance": "", "sha256": {}},
        "n_train": 30,
        "n_test": 10,
        "n_classes": 10,
        "input_shape": [64],
        "model": "mlp1x512",
        "parameters": 7,
        "corruption": {"labels": 1.0, "pixels": "true"},
        "training": {},
        "seed": 0,
        "precision": "float32",
        "compiled": False,
        "device": "cpu",
        "stopped_by": "accuracy",
        "epochs": 3,
        "steps": 9,
        "time_to_fit": None,
        "train_error": 0.0,
        "test_error": 0.9,
        "curve": {"epoch": [1, 2], "test_accuracy": [None, 0.1]},
        "step_curve": {"every": 4, "loss": [2.0, 1.0]},
        "seconds": {"total": 1.0},
        "environment": {},
    },
    "kernelfit.bench/1": {
        "created": "2026-01-01T00:00:00+00:00",
        "command": "kernelfit bench --data mnist --n 2000 --bandwidth 5.0 --contender scipy --contender numpy",
        "data": "mnist",
        "bandwidth": 5.0,
        "contender": "scipy",
        "note": "",
        "n": 2000,
        "seconds": 1.5,
        "peak_bytes": 10**9,
        "test_error": 0.05,
        "relative_residual": 1e-12,
        "gemm_rate": 1e11,
    },
    "kernelfit.descent/1": {
        "created": "2026-01-01T00:00:00+00:00",
        "command": "kernelfit descent --data digits --label-noise 0.4 --n-train 50",
        "dataset": {"asked": "digits", "name": "digits", "sha256": {}},
        "features": "fourier",
        "n_train": 50,
        "n_test": 10,
        "d": 64,
        "n_classes": 10,
        "label_noise": 0.4,
        "seeds": [0],
        "grid": [10, 20],
        **{name: [[0.5, 0.0]] for name in ("train_error", "train_squared_error", "test_error")},
        **{name: [[1.0, None]] for name in ("test_squared_error", "norm", "condition")},
        "warnings": [],
        "seconds": 1.0,
    },
}


def lines_of_today(tmp_path):
    for kind in kinds():
        append_record(tmp_path, record(kind))
    return (tmp_path / FILE).read_text().splitlines()


def old_lines():
    kept = [json.dumps({"schema": schema} | fields) for schema, fields in OLD.items()]
    return kept + [line for file in sorted(RESULTS.glob("*.jsonl")) for line in file.read_text().splitlines()[:30]]


def test_all_records_of_the_benchmarks_are_read_with_their_specs():
    found = read_records(RESULTS)
    assert not found.unread and {"solve", "sweep", "ridge", "interpolants", "section5"} <= {each.kind for each in found}
    for each in found:
        spec = find(each.kind).spec.of_command(each.command)
        more = each.kind in ("bench", "net")  # beside the spec, contender and size, or the data, decide which run it is
        assert each.spec and (more or each.id == spec.identity())
    rows = sum(len(getattr(each.results, "rows", [None])) for each in found)
    lines = [json.loads(line) for file in RESULTS.glob("*.jsonl") for line in file.read_text().splitlines()]
    assert rows == sum(len(line.get("results", {}).get("rows", [None])) for line in lines)  # one, in older formats


@pytest.mark.parametrize("schema", OLD)
def test_a_line_of_before_becomes_the_same_record_of_today(tmp_path, schema):
    fields = OLD[schema]
    (tmp_path / "old.jsonl").write_text(json.dumps({"schema": schema} | fields) + "\n")
    [made] = read_records(tmp_path)
    assert made.created == fields["created"] and made.dataset.n_train in (fields.get("n_train"), fields.get("n"))
    same = [name for name in fields if hasattr(made.results, name)]
    assert len(same) >= 8
    assert all(getattr(made.results, name) == fields[name] for name in same)
    if schema == "kernelfit.fit/1":
        assert made.kind == KIND and made.id == "abc"
    else:
        assert made.spec and made.id
    if schema == "kernelfit.descent/1":
        assert made.spec["labels"] == 0.4
    if schema == "kernelfit.net/1":
        assert made.id == find("net").spec(labels="random", curve_every=77).identity()  # how often it is drawn is not


def test_lines_of_one_run_become_one_record_and_runs_stay_apart(tmp_path):
    row = {
        "schema": "kernelfit.ridge/1",
        "created": "2026-01-01T00:00:00+00:00",
        "command": "kernelfit solve --data digits --kernel gaussian --ridge 0.0 0.5",
        "dataset": {"asked": "digits", "name": "digits", "sha256": {}},
        **dict.fromkeys(("n_train", "n_test", "n_classes"), 10),
        "kernel": "gaussian(bandwidth=1.0)",
        "method": "refactoring",
        "reason": "asked for",
        "seconds": {"total": 2.0},
        **dict.fromkeys(("train_error", "test_error"), 0.5),
        **dict.fromkeys(("norm", "norm_pm1", "relative_residual"), 1.0),
        **dict.fromkeys(("test_corrected", "test_broken"), 0),
    }
    later = row | {"created": "2026-01-02T00:00:00+00:00"}
    lines = [row | {"ridge": 0.0}, later | {"ridge": 0.0}, row | {"ridge": 0.5}, later | {"ridge": 0.5}]
    (tmp_path / "ridge.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_records(tmp_path)
    assert [[each.ridge for each in made.results.rows] for made in found] == [[0.0, 0.5]] * 2
    assert {made.command for made in found} == {"kernelfit ridge --data digits --kernel gaussian --ridge 0.0 0.5"}
    [last] = found.latest("ridge")
    assert last.created == later["created"] and last.spec["ridges"] == [0.0, 0.5]


def test_the_latest_of_each_run_are_in_order_of_time_and_apart_by_data():
    def made(seed, second, data="1"):
        used = DatasetUsed(asked="a.npz", name="a", n_train=1, n_test=1, n_classes=2, sha256={"X_train": data})
        return record(seed=seed, created=f"2026-01-01T00:00:0{second}+00:00", dataset=used)

    a, b, again, other = made(0, 0), made(1, 1), made(0, 2), made(0, 3, "2")
    assert Records([a, b, again, other]).latest("solve") == [b, again, other]


def test_a_throw_away_run_of_damaged_lines_is_read_or_named(tmp_path):
    """7,000 lines, each a whole one with a part cut, swapped, or of another type: each is read, or named."""
    rng = random.Random(0)
    whole = lines_of_today(tmp_path) + old_lines()
    (tmp_path / FILE).unlink()
    damaged = [_damaged(rng.choice(whole), rng) for _ in range(7000)]
    for start in range(0, len(damaged), 1000):
        (tmp_path / f"{start}.jsonl").write_bytes(b"\n".join(damaged[start : start + 1000]))
    notes = Notes()
    found = read_records(tmp_path, progress=notes)
    assert len(found.unread) > 1000 and len(found) > 300
    assert len(notes.told) == len(found.unread)
    assert all(each.reason and 0 < each.number <= 1000 for each in found.unread)


def _damaged(line, rng):
    kind = rng.randrange(5)
    data = line.encode()
    if kind == 0:
        return data[: rng.randrange(len(data))]
    if kind == 1:
        place = rng.randrange(len(data))
        return data[:place] + bytes([rng.randrange(256)]).replace(b"\n", b" ") + data[place + 1 :]
    fields = json.loads(line)
    part = fields
    while True:
        name = rng.choice(list(part))
        inner = part[name]
        if kind == 4 and isinstance(inner, dict) and inner:
            part = inner
            continue
        break
    if kind == 2:
        del part[name]
    else:
        part[name] = rng.choice(
            [None, "", "text", -1, 1e308, 2**70, [], {}, [[]], True, {"a": None}, ["a"], float("nan")]
        )
    return json.dumps(fields).encode()


def test_what_holds_no_records_is_said(tmp_path):
    with pytest.raises(DataNotFoundError, match="does not exist"):
        read_records(tmp_path / "none")
    with pytest.raises(DataNotFoundError, match=r"no \.jsonl"):
        read_records(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        read_records(tmp_path / "file")
    (tmp_path / "folder.jsonl").mkdir()
    [unread] = read_records(tmp_path).unread
    assert (unread.file, unread.number) == ("folder.jsonl", 0)


def test_one_kind_can_be_asked_for(tmp_path):
    path = append_record(tmp_path, record("solve"), record(KIND))
    path.write_text(path.read_text() + "torn")
    found, unread = read_file(tmp_path / FILE, lambda kind: find(KIND), only=KIND, progress=Progress())
    assert [each.kind for each in found] == [KIND] and len(unread) == 1


def test_a_frame_has_a_row_for_each_row(tmp_path):
    pandas = pytest.importorskip("pandas")
    append_record(tmp_path, record("sweep"), record("solve"))
    frame = read_records(tmp_path).to_frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame["kind"]) == ["sweep", "solve"]
    assert {"test_error", "norm", "level", "command"} <= set(frame.columns)


def test_half_a_character_spoils_one_line(tmp_path):
    line = record("solve").to_json()
    broken = json.loads(line) | {"seconds": {"total": "\ud800"}}
    (tmp_path / FILE).write_text("\n".join([line, json.dumps(broken), line]) + "\n")
    found = read_records(tmp_path)
    assert len(found) == 2 and [each.number for each in found.unread] == [2]


def test_a_folder_that_cannot_be_read_is_not_an_empty_one(tmp_path, monkeypatch):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refused)  # a superuser may read any
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        read_records(tmp_path)
