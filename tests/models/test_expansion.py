"""Models on disk: the same predictions after a round trip, and a named error for every file that is no model."""

import io
import json
import re
import sys
import zipfile

import numpy as np
import pytest

from kernelfit import KernelInterpolator
from kernelfit import load_model as kf_load
from kernelfit.common.errors import DataError, DataNotFoundError, InputError, KernelfitError
from kernelfit.kernels import Cosine, Custom, Gaussian, Laplacian, Linear, Precomputed
from kernelfit.models.expansion import KernelExpansion, load_model

GAUSSIAN, QUARTIC = Gaussian(3.0), Cosine(4)
CLASSES = ("zero", "één", "二")


def model(kernel=GAUSSIAN, dtype=np.uint8):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 256, (20, 6, 5)).astype(dtype)
    return KernelExpansion(kernel, X, rng.normal(size=(20, 3)), CLASSES, ridge=1e-3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


HEADER = {
    "format": "kernelfit.model/2",
    "kernel": "gaussian(bandwidth=3.0)",
    "classes": CLASSES,
    "ridge": 0.0,
    "pixels": "true",
    "features": "pixels",
    "seed": 0,
}


def write(path, **changes):
    """Write a model file by hand, with parts changed, or left out where None."""
    parts = {"header": HEADER, "X": model().points, "coef": model().coef} | changes
    if isinstance(parts["header"], dict):
        parts["header"] = json.dumps(parts["header"])
    np.savez(path, **{name: np.asarray(value) for name, value in parts.items() if value is not None})


@pytest.mark.parametrize("kernel", [Gaussian(3.0), QUARTIC, 0.3 * Laplacian(0.1) + Linear() * 2, Gaussian(3)], ids=str)
def test_a_round_trip_predicts_the_same_bits(path, kernel):
    saved = model(kernel)
    saved.save(path)
    loaded = load_model(path)
    assert loaded.kernel == kernel and loaded.classes == CLASSES and loaded.ridge == 1e-3
    for name in ("points", "coef"):
        before, after = getattr(saved, name), getattr(loaded, name)
        assert after.dtype == before.dtype and np.array_equal(after, before)
    X = np.random.default_rng(1).integers(1, 256, (13, 6, 5), np.uint8)
    assert np.array_equal(loaded(X), saved(X))
    assert loaded(X).shape == (13, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_point_data_survive_a_round_trip(path, dtype):
    saved = model(dtype=dtype)
    saved.save(path)
    loaded = load_model(path)
    assert loaded.points.dtype == dtype and np.array_equal(loaded.points, saved.points)
    assert np.array_equal(loaded(saved.points[:4]), saved(saved.points[:4]))


def test_scores_are_sums_of_coefficients_times_kernel_values():
    made = model(Linear())
    X = made.points[:5].reshape(5, -1) / 255
    # Sums of 30 and of 20 products of numbers below 4, in another order.
    np.testing.assert_allclose(made(made.points[:5]), X @ (made.points.reshape(20, -1) / 255).T @ made.coef, atol=1e-12)


def test_a_precomputed_kernel_is_saved_without_its_matrix(path):
    A = np.random.default_rng(0).normal(size=(200, 200))
    saved = KernelExpansion(Precomputed(), A + A.T, np.random.default_rng(1).normal(size=(200, 3)), CLASSES)
    saved.save(path)
    assert path.stat().st_size < 3 * saved.coef.nbytes < saved.points.nbytes
    cross = np.random.default_rng(2).normal(size=(7, 200))
    assert np.array_equal(load_model(path)(cross), saved(cross))
    with pytest.raises(DataError, match="does not fit 200"):
        load_model(path)(cross[:, :150])


def test_saving_leaves_one_file_of_the_given_name(tmp_path):
    model().save(tmp_path / "new" / "model.anything")
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["model.anything"]
    assert load_model(str(tmp_path / "new" / "model.anything")).classes == CLASSES


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
def test_an_interrupted_save_leaves_the_old_model(path, monkeypatch, error):
    model().save(path)
    before = path.read_bytes()

    def half(file, **arrays):
        file.write(before[: len(before) // 2])
        raise error

    monkeypatch.setattr(np, "savez_compressed", half)
    with pytest.raises(error):
        model(QUARTIC).save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert load_model(path).kernel == Gaussian(3.0)


# ---- kernels of one's own ------------------------------------------------------------------------------------------


def own(A, B):
    return A @ B.T


@pytest.mark.parametrize(
    "text",
    [
        "os:system",
        "planted:f",
        "0.5 * planted:f",
        "custom('planted:f')",
        "0.5 * custom('planted:f') + linear()",
        r"custom('planted\x3af')",  # a colon that is not in the text
        r"linear() + custom('planted\N{COLON}f')",
    ],
)
def test_a_model_never_makes_python_import_anything(path, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "planted.py").write_text("open('executed', 'w').close()\ndef f(A, B):\n    return A @ B.T\n")
    write(path, header=HEADER | {"kernel": text})
    with pytest.raises(KernelfitError):
        load_model(path)
    with pytest.raises(InputError, match="not with"):
        load_model(path, kernel=Custom(own, "mine:own"))
    assert sys.modules.pop("planted", None) is None and not (tmp_path / "executed").exists()


def test_a_kernel_of_ones_own_is_given_again(path):
    saved = model(Custom(own, "mine:own"))
    saved.save(path)
    with pytest.raises(InputError, match=r"mine:own.*name it again"):
        load_model(path)
    loaded = load_model(path, kernel=Custom(own, "mine:own"))
    assert np.array_equal(loaded(saved.points), saved(saved.points))


@pytest.mark.parametrize(
    "kernel", [Gaussian(3.1), Laplacian(3.0), Gaussian(), Linear(), Custom(own, "mine:own")], ids=str
)
def test_another_kernel_than_the_one_fitted_is_refused(path, kernel):
    model().save(path)
    with pytest.raises(InputError, match="was fitted with the kernel gaussian"):
        load_model(path, kernel=kernel)
    assert load_model(path, kernel=Gaussian(3.0)).kernel == Gaussian(3.0)


# ---- files that are no models --------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataNotFoundError, match="no model file"):
        load_model(tmp_path / "missing.npz")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(DataError):
        load_model(tmp_path)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


HUGE = npy(np.zeros(4)).replace(b"(4,)", b"(99999999999999,)").replace(b" " * 14 + b"\n", b"\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),  # an empty zip
        np.random.default_rng(0).bytes(3000),
        b"PK\x03\x04" + np.random.default_rng(1).bytes(3000),
        b"\x93NUMPY" + np.random.default_rng(2).bytes(300),
        npy(np.zeros((3, 3))),
        npy(np.array({"a": 1}, dtype=object)),
        b"\x80\x04N.",  # a pickle
        zipped(**{"readme.txt": "hello"}),
        zipped(**{"header.npy": "hello", "X.npy": "hello", "coef.npy": "hello"}),
        zipped(**{"header.npy": npy(np.array(json.dumps(HEADER))), "X.npy": HUGE, "coef.npy": HUGE}),
    ],
    ids=[
        *(
            "empty",
            "one",
            "magic",
            "empty zip",
            "random",
            "zip random",
            "npy random",
            "npy",
            "npy of objects",
            "pickle",
        ),
        *("zip of text", "zip of text as npy", "huge"),
    ],
)
def test_files_of_other_kinds(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError):
        load_model(path)


def test_truncated_files(path):
    model().save(path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            load_model(path)


def test_a_changed_byte_is_noticed_or_harmless(path):
    saved = model()
    saved.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for position in rng.choice(len(whole), 400, replace=False):
        changed = bytearray(whole)
        changed[position] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        try:
            loaded = load_model(path)
        except DataError:
            continue
        assert np.array_equal(loaded.points, saved.points) and np.array_equal(loaded.coef, saved.coef)
        assert loaded.kernel == saved.kernel and loaded.classes == saved.classes


class Planted:
    def __reduce__(self):
        return (open, ("executed", "w"))


@pytest.mark.parametrize("part", ["header", "X", "coef"])
def test_pickled_objects_are_refused_unread(path, tmp_path, monkeypatch, part):
    monkeypatch.chdir(tmp_path)
    write(path, **{part: np.array([Planted()] * 20, dtype=object)})
    assert not (tmp_path / "executed").exists()
    with pytest.raises(DataError):
        load_model(path)
    assert not (tmp_path / "executed").exists()


def test_what_is_written_by_hand_below_would_load_if_nothing_were_changed(path):
    write(path)
    assert load_model(path).kernel == Gaussian(3.0)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "not json",
        "[]",
        "null",
        '"kernelfit.model/2"',
        "[" * 100_000,
        np.zeros((3, 3)),
        {},
        *({name: value for name, value in HEADER.items() if name != left_out} for left_out in HEADER),
        *(
            HEADER | {name: value}
            for name, values in {
                "format": ["kernelfit.model/1", ["kernelfit.model/2"], None],
                "kernel": [None, 5, [], {}, "", "nonsense", "__import__('os')", "-" * 100_000 + "1", "linear-" * 9],
                "classes": [None, 3, ["a"], ["a"] * 4],
                "ridge": [None, "a lot", [], {}],
            }.items()
            for value in values
        ),
    ],
    ids=lambda header: repr(header)[:120].replace("\n", ""),
)
def test_a_damaged_header_is_a_data_error(path, header):
    write(path, header=header)
    with pytest.raises(DataError, match=re.escape(str(path))):
        load_model(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"X": None},
        {"coef": None},
        {"X": np.array(3.0)},
        {"X": np.zeros((19, 6, 5))},
        {"coef": np.zeros((19, 3))},
        {"coef": np.zeros((20, 4))},
        {"coef": np.zeros(20)},
        {"coef": np.array(1.0)},
        {"coef": np.zeros((20, 3), np.float32)},
        {"coef": np.zeros((20, 3), complex)},
        {"coef": np.full((20, 3), np.nan)},
        {"coef": np.full((20, 3), np.inf)},
    ],
    ids=lambda changes: " ".join(f"{name} {getattr(value, 'shape', None)}" for name, value in changes.items()),
)
def test_a_damaged_array_is_a_data_error(path, changes):
    write(path, **changes)
    with pytest.raises(DataError):
        load_model(path)


@pytest.mark.parametrize(
    "X",
    [np.zeros(20), np.array(["text"] * 20), np.full((20, 30), np.nan), np.zeros((20, 7))],
    ids=lambda X: f"{X.dtype}{X.shape}",
)
def test_points_that_predict_nothing_are_refused_at_the_latest_when_asked(path, X):
    write(path, X=X)
    with pytest.raises(KernelfitError):
        load_model(path)(np.zeros((2, 30)))


def test_images_of_another_shape_are_refused(path):
    X = np.random.default_rng(0).random((20, 6, 5))
    f = KernelExpansion(GAUSSIAN, X, np.ones((20, 1)))
    f.save(path)
    for function in (f, load_model(path)):
        with pytest.raises(InputError, match=r"images are \(5, 6, 1\); the function was fitted to \(6, 5, 1\)"):
            function(X.transpose(0, 2, 1))
        assert np.array_equal(function(X[..., None]), function(X)) and np.array_equal(
            function(X.reshape(20, -1)), function(X)
        )


def test_the_norm_of_a_small_output_beside_a_large_one():
    X = np.random.default_rng(0).standard_normal((12, 2))
    coef = np.column_stack([np.ones(12), 1e-170 * np.ones(12), np.zeros(12), 1e200 * np.ones(12)])
    found = KernelExpansion(Gaussian(bandwidth=1.0), X, coef).norm_per_output
    np.testing.assert_allclose(found, found[0] * np.array([1, 1e-170, 0, 1e200]), rtol=1e-12)


@pytest.mark.parametrize(
    "kernel", [Gaussian(tuple(np.linspace(5, 15, 784).tolist())), sum([Linear()] * 150, Gaussian(3.0))]
)
def test_a_kernel_of_a_long_text_is_read_back(tmp_path, kernel):
    X = np.random.default_rng(0).standard_normal((20, 784))
    model = KernelInterpolator(kernel=kernel).fit(X, X[:, 0])
    model.save(tmp_path / "m.npz")
    again, function = kf_load(tmp_path / "m.npz"), load_model(tmp_path / "m.npz")
    assert again.kernel_ == function.kernel == kernel
    assert np.array_equal(again.predict(X[:3]), model.predict(X[:3]))
