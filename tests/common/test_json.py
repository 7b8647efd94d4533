"""What is printed and kept is JSON as the standard has it, and old lines that are not can be read all the same."""

import ast
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import kernelfit
from kernelfit import cli
from kernelfit.common.files import append_lines
from kernelfit.records.record import from_json, to_json

NAN, INF = float("nan"), float("inf")
FEW = ["--n-train", "40", "--n-test", "20", "--bandwidth", "2"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def strict(line):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


@dataclasses.dataclass
class Row:
    norm: float
    path: Path


def test_every_value_becomes_strict_json():
    value = {
        "plain": [1, 2.5, "é", None, True],
        "not finite": [NAN, INF, -INF, (NAN, 1.0)],
        "numpy": [
            np.float32(0.5),
            np.float32("nan"),
            np.int64(3),
            np.bool_(True),
            np.array([[1.0, NAN]]),
            np.str_("a"),
        ],
        "row": Row(NAN, Path("a/b")),
        "rows": (Row(1.0, Path("c")),),
    }
    assert strict(to_json(value)) == {
        "plain": [1, 2.5, "é", None, True],
        "not finite": [None, None, None, [None, 1.0]],
        "numpy": [0.5, None, 3, True, [[1.0, None]], "a"],
        "row": {"norm": None, "path": "a/b"},
        "rows": [{"norm": 1.0, "path": "c"}],
    }


def test_old_lines_and_those_of_other_editors_are_read():
    assert from_json('\ufeff{"norm": NaN, "errors": [Infinity, -Infinity, 1]}') == {
        "norm": None,
        "errors": [None, None, 1],
    }
    assert from_json('{"a": 3}\r\n') == {"a": 3}


def test_several_lines_are_appended_all_or_none(monkeypatch):
    path = append_lines("a.jsonl", '{"a": 1}', '{"a": 2}')
    before = Path(path).read_bytes()
    assert before == b'{"a": 1}\n{"a": 2}\n'
    monkeypatch.setattr(
        "kernelfit.common.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(OSError):
        append_lines("a.jsonl", '{"a": 3}', '{"a": 4}')
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["sweep", *FEW, "--labels", "0", "1", "--seeds", "1"],
        ["interpolants", *FEW, "--others", "pairs"],
        ["measures", *FEW],
        ["ridge", *FEW, "--ridge", "0", "1e-3"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_number_that_is_not_finite_is_null_on_standard_output_and_in_the_file(arguments, monkeypatch, capsys):
    norm = dataclasses.make_dataclass("Norm", ["total", "per_output", "disagreement"])
    monkeypatch.setattr("kernelfit.solvers.solution.rkhs_norm", lambda *_: norm(NAN, [NAN], INF))
    assert cli.main([*arguments, "--json", "--quiet"]) == 0
    assert "null" in to_json(strict(capsys.readouterr().out))
    for file in Path().glob("runs/*.jsonl"):
        assert all(strict(line) for line in file.read_text().splitlines())


def test_no_other_module_writes_json_of_results():
    """The texts that json.dumps still makes are keys, headers and hashes of kernelfit's own."""
    allowed = {
        "record",
        "expansion",
        "matrix",
        "scratch",
        "checkpoint",
        "plan",
        "net",
        "spec",
        "net_curves",
        "bench",
        "peers",
    }
    root = Path(kernelfit.__file__).parent
    found = {
        path.stem
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.dumps"
    }
    assert "record" in found and found <= allowed | {"checkpoints"}, found - allowed
