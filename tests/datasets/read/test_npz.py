import numpy as np
import pytest

from kernelfit.common.errors import DataError, IntegrityError, NotEnoughMemoryError
from kernelfit.common.progress import Progress
from kernelfit.datasets import load


def arrays(**changes):
    rng = np.random.default_rng(0)
    parts = {
        "X_train": rng.integers(0, 256, (6, 3, 2), np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "X_test": rng.integers(0, 256, (3, 3, 2), np.uint8),
        "y_test": np.array([2, 1, 0]),
    }
    return {key: value for key, value in (parts | changes).items() if value is not None}


def saved(folder, **changes):
    path = folder / "mine.npz"
    np.savez(path, **arrays(**changes))
    return path


def test_round_trip(tmp_path):
    data = load(saved(tmp_path))
    assert data.name == "mine" and data.classes == ("0", "1", "2")
    for key, value in arrays().items():
        assert (getattr(data, key) == value).all()
    assert data.X_train.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_stay_as_they_are(tmp_path, dtype):
    X = np.random.default_rng(0).normal(size=(6, 5)).astype(dtype)
    data = load(str(saved(tmp_path, X_train=X, X_test=X[:3])))
    assert data.X_train.dtype == dtype and (data.X_train == X).all()


@pytest.mark.parametrize(
    ("train", "test", "classes", "names", "y_train", "y_test"),
    [
        ([7, 3, 7, 3, 9, 9], [9, 3, 7], None, "3 7 9", [1, 0, 1, 0, 2, 2], [2, 0, 1]),
        ([-1, 1] * 3, [1, 1, -1], None, "-1 1", [0, 1] * 3, [1, 1, 0]),
        (["dog", "cat"] * 3, ["cat"] * 3, None, "cat dog", [1, 0] * 3, [0] * 3),
        ([b"dog", b"cat"] * 3, ["cat"] * 3, None, "cat dog", [1, 0] * 3, [0] * 3),
        (["dog", "cat"] * 3, ["ant"] * 3, ["dog", "cat", "ant"], "dog cat ant", [0, 1] * 3, [2] * 3),
        ([0, 1] * 3, [2, 2, 0], ["x", "y", "z"], "x y z", [0, 1] * 3, [2, 2, 0]),
        (["5", "3"] * 3, ["3"] * 3, [3, 5], "3 5", [1, 0] * 3, [0] * 3),
    ],
)
def test_labels_become_indices(tmp_path, train, test, classes, names, y_train, y_test):
    extra = {} if classes is None else {"classes": np.array(classes)}
    data = load(saved(tmp_path, y_train=np.array(train), y_test=np.array(test), **extra))
    assert data.classes == tuple(names.split())
    assert data.y_train.tolist() == y_train and data.y_test.tolist() == y_test


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "missing: y_test"),
        ({"weights": np.zeros(3)}, "unknown: weights"),
        ({"X_train": arrays()["X_train"].astype(np.int64)}, r"int64, values \d+ to \d+; .*astype\(numpy.uint8\)"),
        ({"X_train": arrays()["X_train"] > 9}, "dtype bool"),
        ({"X_train": arrays()["X_train"].astype(np.complex128)}, "dtype complex128"),
        ({"X_train": arrays()["X_train"] * np.nan}, "NaN"),
        ({"X_test": np.zeros((0, 3, 2), np.uint8), "y_test": np.array([], int)}, "y_test has shape"),
        ({"X_train": np.uint8(1)}, "shape"),
        ({"y_train": np.arange(6) / 2}, "class labels are needed"),
        ({"y_train": np.arange(6) > 2}, "class labels are needed"),
        ({"y_train": np.array([None] * 6)}, "object array"),
        ({"y_train": np.zeros((6, 1), int)}, "one label per example"),
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(3, int)}, "at least two classes"),
        ({"y_test": np.array([2, 1, 5])}, "label 5 is not one of the classes 0, 1, 2"),
        ({"y_test": np.array(["2", "1", "0"])}, "same kind"),
        ({"y_train": np.array([b"\xff", b"a"] * 3), "y_test": np.array([b"a"] * 3)}, "UTF-8"),
        ({"classes": np.array(["a", "b"])}, "run from 0 to 2"),
        ({"classes": np.array(["a", "b", "b"])}, "distinct"),
        ({"classes": np.array(2)}, "distinct"),
        ({"classes": np.array([0.5, 1.5, 2.5])}, "distinct"),
    ],
)
def test_unusable_content_is_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        load(saved(tmp_path, **changes))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 28, 28), (4, 8, 8)])
def test_channels_first_are_refused_with_the_cure(tmp_path, shape, dtype):
    X = np.random.default_rng(0).integers(0, 256, (6, *shape)).astype(dtype)
    with pytest.raises(DataError, match=rf"X_train.*{shape[0]} channels? first.*X_train\.transpose\(0, 2, 3, 1\)"):
        load(saved(tmp_path, X_train=X, X_test=X[:3]))
    cured = X.transpose(0, 2, 3, 1)
    assert load(saved(tmp_path, X_train=cured, X_test=cured[:3])).X_train.shape == cured.shape


@pytest.mark.parametrize("shape", [(3, 3, 3), (1, 4, 1), (3, 8, 4), (5, 5, 7), (2, 6, 6)])
def test_what_may_be_channels_last_is_taken_so(tmp_path, shape):
    X = np.zeros((6, *shape), np.uint8)
    assert load(saved(tmp_path, X_train=X, X_test=X[:3])).X_train.shape == X.shape


def test_labels_in_two_spellings_of_unicode_are_one_class(tmp_path):
    composed, apart = "caf\u00e9", "cafe\u0301"
    y_train, y_test = np.array([composed, apart, "tea"] * 2), np.array([apart.encode(), composed.encode(), b"tea"])
    data = load(saved(tmp_path, y_train=y_train, y_test=y_test))
    assert data.classes == (composed, "tea")
    assert data.y_train.tolist() == [0, 0, 1] * 2 and data.y_test.tolist() == [0, 0, 1]
    named = load(saved(tmp_path, y_train=y_train, y_test=y_test, classes=np.array(["tea", apart])))
    assert named.classes == ("tea", composed) and named.y_test.tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="distinct"):
        load(saved(tmp_path, y_train=y_train, y_test=y_test, classes=np.array(["tea", apart, composed])))


def test_the_order_in_memory_and_the_width_of_labels_do_not_matter(tmp_path):
    plain = load(saved(tmp_path))
    parts = {key: np.asfortranarray(arrays()[key]) for key in ("X_train", "X_test")}
    parts |= {"y_train": arrays()["y_train"].astype(np.uint8), "y_test": arrays()["y_test"].astype(">i2")}
    data = load(saved(tmp_path, **parts))
    assert data.hashes() == plain.hashes() and data.classes == plain.classes


def test_grey_levels_stored_as_floats_are_told(tmp_path):
    notes = []

    class Told(Progress):
        def note(self, message):
            notes.append(message)

    X = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.float32)
    for values, told in ((X, 1), (X / 255, 0), (X + 0.5, 0), (X - 100, 0), (X[:, :3, :3], 0), (X * 300, 0)):
        notes.clear()
        data = load(saved(tmp_path, X_train=values, X_test=values[:3]), progress=Told())
        assert ["astype(numpy.uint8)" in note for note in notes] == [True] * told and data.X_train.dtype == np.float32


@pytest.mark.parametrize("change", [lambda d: d[:-30], lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"PK" * 99])
def test_a_truncated_file_is_an_integrity_error(tmp_path, change):
    path = saved(tmp_path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IntegrityError, match=r"mine\.npz"):
        load(path)


def test_a_flipped_bit_is_found(tmp_path):
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.find(arrays()["X_train"].tobytes())] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="CRC"):
        load(path)


def test_a_shape_beyond_memory_is_refused(tmp_path):
    path = saved(tmp_path)
    data = path.read_bytes()
    lie = data.replace(b"'shape': (6, 3, 2), }" + b" " * 14, b"'shape': (600000000000000, 3, 2), }")
    assert len(lie) == len(data) and lie != data
    path.write_bytes(lie)
    with pytest.raises((IntegrityError, NotEnoughMemoryError), match=r"mine\.npz"):
        load(path)


def test_an_npy_file_is_not_an_npz(tmp_path):
    with open(tmp_path / "mine.npz", "wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(IntegrityError, match="savez"):
        load(tmp_path / "mine.npz")
