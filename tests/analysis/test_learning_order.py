from itertools import pairwise

import numpy as np
import pytest

from kernelfit.analysis.learning_order import (
    first_learnt,
    forgetting_events,
    learning_summary,
    learnt_for_good,
    load_correctness,
    save_correctness,
)
from kernelfit.common.errors import DataError, InputError

# Rows are epochs; the examples are: always, never, late, forgotten twice, lost at the end.
CORRECT = np.array([[1, 0, 0, 1, 0], [1, 0, 0, 0, 1], [1, 0, 1, 1, 1], [1, 0, 1, 0, 0], [1, 0, 1, 1, 0]], dtype=bool)


def test_what_is_learnt_when():
    assert forgetting_events(CORRECT).tolist() == [0, 0, 0, 2, 1]
    assert first_learnt(CORRECT).tolist() == [1, 0, 3, 1, 2]
    assert learnt_for_good(CORRECT).tolist() == [1, 0, 3, 5, 0]


def test_a_loop_over_examples_agrees():
    correct = np.random.default_rng(0).random((9, 200)) < 0.6
    for function, one in (
        (forgetting_events, lambda c: sum(a and not b for a, b in pairwise(c))),
        (first_learnt, lambda c: next((k + 1 for k, right in enumerate(c) if right), 0)),
        (learnt_for_good, lambda c: next((k + 1 for k in range(9) if all(c[k:])), 0)),
    ):
        assert function(correct).tolist() == [one(list(column)) for column in correct.T]


def test_summary():
    found = learning_summary(CORRECT, np.array([False, False, True, True, False]))
    assert found == {
        "never_learnt": pytest.approx(0.2),
        "forgotten": pytest.approx(0.4),
        "forgetting_events": pytest.approx(0.6),
        "first_learnt_clean": 1.5,
        "first_learnt_corrupted": 2.0,
    }
    assert learning_summary(CORRECT[:, :1], np.array([False]))["first_learnt_corrupted"] is None


def test_the_file_gives_back_every_bit(tmp_path):
    path = tmp_path / "deep" / "bits.npz"
    save_correctness(path, [np.packbits(row) for row in CORRECT], 5)
    assert np.array_equal(load_correctness(path), CORRECT)
    path.write_bytes(b"torn")
    with pytest.raises(DataError, match="correctness"):
        load_correctness(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"\x93NUMPY", "cut"], ids=str)
def test_a_damaged_file_is_no_correctness(tmp_path, content):
    path = tmp_path / "a.npz"
    save_correctness(path, list(np.packbits(CORRECT, axis=1)), 5)
    assert np.array_equal(load_correctness(path), CORRECT)
    path.write_bytes(path.read_bytes()[:-9] if content == "cut" else content)
    with pytest.raises(DataError, match="no correctness"):
        load_correctness(path)
    np.savez(path, packed=np.zeros((2, 1)), n=3)
    with pytest.raises(DataError, match="no correctness"):
        load_correctness(path)


@pytest.mark.parametrize("told", [first_learnt, learnt_for_good, forgetting_events])
def test_no_epochs_tell_nothing(told):
    for wrong in (CORRECT[:0], CORRECT[0]):
        with pytest.raises(InputError, match="one epoch or more"):
            told(wrong)
