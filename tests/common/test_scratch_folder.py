"""A scratch folder by itself: what is put is what is got, whole or not at all, and only for whom it is meant."""

import os

import numpy as np
import pytest

from kernelfit.common.errors import ScratchError
from kernelfit.common.scratch import ScratchFolder, bytes_in, identity_in

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([], np.int8), "c": np.float32(3.5)}
IDENTITY = {"n": 3, "settings": (1, 0.1, None)}  # a tuple comes back as a list


def test_what_is_put_is_what_is_got(tmp_path):
    with ScratchFolder(tmp_path, "thing", IDENTITY) as files:
        assert files.get("x") is None and identity_in(tmp_path, "thing") is None
        files.put("x", {name: np.asarray(array) for name, array in ARRAYS.items()}, {"step": 5})
    assert identity_in(tmp_path, "thing") == {"n": 3, "settings": [1, 0.1, None]}
    assert identity_in(tmp_path, "other") is None and bytes_in(tmp_path, "thing") >= 52
    with ScratchFolder(tmp_path, "thing", IDENTITY, resume=True) as files:
        arrays, facts = files.get("x")
        assert facts == {"step": 5} and list(arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)
        piece = np.empty(2)
        files.read("x", 8, piece)
        assert piece.tolist() == [1, 2]
        read, out = [], {name: np.empty_like(array) for name, array in arrays.items()}
        assert files.get("x", out=out, advance=read.append)[0]["a"] is out["a"] and sum(read) == 52
        assert np.array_equal(out["a"], ARRAYS["a"])


def test_a_file_that_is_replaced_is_the_old_one_until_it_is_the_new_one(tmp_path, monkeypatch):
    with ScratchFolder(tmp_path, "thing", {}) as files:
        files.put("x", {"a": np.zeros(9)}, 1)
        for size in (3, 30):  # a shorter one must not end with bytes of the longer
            monkeypatch.setattr(os, "replace", lambda *paths: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                files.put("x", {"a": np.ones(size)}, 2)
            monkeypatch.undo()
            assert files.get("x")[1] == 1
        files.put("x", {"a": np.ones(3)}, 2)
        arrays, facts = files.get("x")
        assert (arrays["a"].tolist(), facts) == ([1, 1, 1], 2)


def test_reserved_space_is_taken_and_what_is_too_much_given_back(tmp_path):
    with ScratchFolder(tmp_path, "thing", {}) as files:
        files.reserve({"x": 10**6, "y": 10**6}, "things", lambda size: None)
        assert bytes_in(tmp_path, "thing") >= 2 * 10**6 and files.get("x") is None
        files.put("x", {"a": np.zeros(100)})
        assert bytes_in(tmp_path, "thing") < 1.1 * 10**6
        files.reserve({"x": 10**6}, "things", lambda size: None)
        assert files.get("x")[0]["a"].size == 100, "a finished file is not touched"


def test_what_is_there_is_for_a_run_that_asks_for_it_and_is_the_same(tmp_path):
    with ScratchFolder(tmp_path, "thing", IDENTITY) as files:
        files.put("x", {})
        with pytest.raises(ScratchError, match="in use"):
            ScratchFolder(tmp_path, "thing", IDENTITY, resume=True)
        ScratchFolder(tmp_path, "other", IDENTITY).remove()
    with pytest.raises(ScratchError, match="holds an unfinished thing of n = 3"):
        ScratchFolder(tmp_path, "thing", IDENTITY)
    with pytest.raises(
        ScratchError, match=r"unfinished thing of another problem \(n 3 there, 4 here, more None there, 1"
    ):
        ScratchFolder(tmp_path, "thing", IDENTITY | {"n": 4, "more": 1}, resume=True)


def test_files_that_are_not_its_own_are_left_alone(tmp_path):
    folder = tmp_path / "kernelfit-thing"
    folder.mkdir()
    for name in ("state.npz", "left.bin", ".left.part"):
        (folder / name).write_text("")
    files = ScratchFolder(tmp_path, "thing", {})
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "state.npz"], "no header: nobody's"
    files.put("x", {})
    files.remove()
    assert [path.name for path in folder.iterdir()] == ["state.npz"]
