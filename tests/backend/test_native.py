"""Compiled functions: kept for the next process, compiled anew where anything has changed, and right in every case."""

import math
import os
import random
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest

from kernelfit.backend import compiling, fingerprint, native
from tests.support.campaigns import rounds

FACTOR = 3.0


def _scaled(x):
    return FACTOR * x


def _sums(A, b, weight, power, both, extra, out):
    """out[i] = sum_j (3 A[i, j] weight + b[j])^power, plus both numbers; the number of negative ones is returned."""
    negative = 0
    for i in range(A.shape[0]):
        total = both[0] + both[1]
        for j in range(A.shape[1]):
            term = 1.0
            for _ in range(power):
                term *= _scaled(A[i, j]) * weight + b[j]
            total += term
        if extra is not None:
            total += extra[i]
        out[i] = total
        negative += total < 0
    return negative


def expected(A, b, weight, power, both, extra):
    values = ((3 * np.asarray(A, float) * weight + b) ** power).sum(axis=1) + sum(both)
    return values if extra is None else values + extra


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    return tmp_path / "cache" / "native"


@pytest.fixture
def compiled(monkeypatch):
    """The list of functions that were compiled."""
    seen = []

    def counting(name, function, *rest):
        seen.append(function.__name__)
        return object_code(name, function, *rest)

    object_code = compiling.object_code
    monkeypatch.setattr(compiling, "object_code", counting)
    return seen


def arguments(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 9)), rng.normal(size=9), 0.5, 2, (0.25, np.float32(-1.5)), None


def check(function, *given):
    given, out = given or arguments(), np.empty(len((given or arguments())[0]))
    negative = function(*given, out)
    np.testing.assert_allclose(out, expected(*given), rtol=1e-14)
    assert negative == (out < 0).sum()


@pytest.mark.parametrize("layout", ["rows", "columns", "parts", "reversed", "empty"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int64])
def test_arrays_of_any_layout_and_type_are_read_where_they_lie(layout, dtype):
    base = np.random.default_rng(1).integers(0, 9, (12, 18)).astype(dtype)
    base.flags.writeable = False
    A = {
        "rows": base[:6, :9].copy(),
        "columns": base[:9, :6].T,
        "parts": base[::2, ::2],
        "reversed": base[5::-1, 8::-1],
        "empty": base[:0, :9],
    }[layout]
    function = _KEPT.setdefault("sums", native.Native(_sums))  # compiled once for each type and layout
    check(function, A, np.arange(9.0), 0.5, 2, (0.25, np.float32(-1.5)), np.arange(float(len(A))))


_KEPT: dict = {}


def test_a_function_is_compiled_once_for_all_processes(compiled, cache):
    for _ in range(2):
        check(native.Native(_sums))
    assert compiled == ["_sums"] and len(os.listdir(cache)) == 1
    A, *rest = arguments()
    check(native.Native(_sums), A.T[:9, :6], np.arange(6.0), *rest[1:])
    assert len(compiled) == 2 and len(os.listdir(cache)) == 2


PROGRAM = """
import sys
import numpy as np
from kernelfit import Linear, gram
X = np.random.default_rng(0).normal(size=(50, 20))
K = gram(X, Linear())
found = K.block((0, 50), (0, 50))
assert abs(found - X @ X.T).max() < 1e-13 * abs(found).max()
print("numba" in sys.modules, found.tobytes().hex())
"""


def start(program=PROGRAM):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def answer(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert not err
    return out.split()


def test_the_second_process_has_the_same_bits_without_numba(cache):
    first, second = answer(start()), answer(start())
    assert (first[0], second[0]) == ("True", "False") and first[1] == second[1]
    (file,) = cache.iterdir()
    damaged = bytearray(file.read_bytes())
    damaged[-100] ^= 4
    file.write_bytes(damaged)
    third, fourth = answer(start()), answer(start())
    assert (third[0], fourth[0]) == ("True", "False") and third[1] == fourth[1] == first[1]


@pytest.mark.heavy
def test_twenty_cold_processes_at_once(cache):
    """All start with an empty cache; in every other round some are killed at any time, and one is started after."""
    right = set()
    for number in range(rounds(2)):
        for file in list(cache.iterdir()) if cache.exists() else []:
            file.unlink()
        processes, draw = [start() for _ in range(20)], random.Random(number)
        killed = draw.sample(processes, 10 * (number % 2))
        for process in killed:
            time.sleep(draw.uniform(0, 0.5))
            process.kill()
        right |= {answer(process)[1] for process in processes if process not in killed}
        for process in killed:
            process.communicate()
        after = answer(start())
        right.add(after[1])
        assert after[0] == "False" and len(right) == 1


def test_damage_anywhere_in_a_file_has_it_compiled_anew(compiled, cache):
    check(native.Native(_sums))
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    # in the checksum, at its end, in the object's header, in its code, and the last byte
    places = [5, 64, 70, len(whole) // 2, len(whole) - 1]
    for count, at in enumerate(places):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        check(native.Native(_sums))
        assert len(compiled) == 2 + count and file.read_bytes() == whole
    file.write_bytes(b"")
    check(native.Native(_sums))
    assert file.read_bytes() == whole


def test_without_a_folder_it_is_compiled_in_memory(compiled, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELFIT_CACHE", "off")
    check(native.Native(_sums))
    monkeypatch.setenv("KERNELFIT_CACHE", "/dev/null/none")
    check(native.Native(_sums))
    cache.mkdir(parents=True)
    cache.chmod(0o777)  # anybody may write there
    monkeypatch.setenv("KERNELFIT_CACHE", str(cache.parent))
    check(native.Native(_sums))
    assert len(compiled) == 3 and not os.listdir(cache)


@pytest.mark.parametrize(
    "change", ["the processor", "its features", "numba", "numpy", "python", "llvm", "the compiler", "a setting"]
)
def test_another_machine_or_version_has_it_compiled_anew(compiled, cache, monkeypatch, change):
    check(native.Native(_sums))
    fingerprint._toolchain.cache_clear()
    source = fingerprint._source
    if change == "the processor":
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_name", lambda: "another")
    elif change == "its features":
        monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: types.SimpleNamespace(flatten=str))
    elif change == "numba":
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    elif change == "numpy":
        monkeypatch.setattr(np, "__version__", "0.0")
    elif change == "python":
        monkeypatch.setattr("platform.python_version", lambda: "0.0")
    elif change == "llvm":
        monkeypatch.setattr("llvmlite.binding.llvm_version_info", (0, 0, 0))
    elif change == "a setting":
        monkeypatch.setenv("NUMBA_LOOP_VECTORIZE", "0")
    else:
        monkeypatch.setattr(fingerprint, "_source", lambda name: source(name) + "# changed")
    try:
        check(native.Native(_sums))
    finally:
        fingerprint._toolchain.cache_clear()
    assert len(compiled) == 2


def made(constant=2.0, helper="x + 1.0", name="helper", body="", default=1.0):
    """A function with everything in it that its code depends on."""
    space = {"CONSTANT": constant, "math": math, "np": np, "late": native.LateModule("kernelfit.kernels.scalars")}
    exec(f"def {name}(x):\n    return {helper}", space)
    exec(f"def inner(x, y={default}):\n    return {name}(x) * CONSTANT + y + late.exp(-x)\n", space)
    exec(f"def run(x, out):\n    {body}\n    out[0] = inner(x)\n", space)
    return space["run"]


def test_whatever_a_function_uses_is_in_its_fingerprint(monkeypatch):
    same = fingerprint.fingerprint(made(body="'text'"))
    assert fingerprint.fingerprint(made(body="'text'")) == same
    others = [
        made(body="'other text'"),
        made(constant=2.5, body="'text'"),
        made(constant=2, body="'text'"),
        made(constant=np.float32(2), body="'text'"),
        made(constant=(2.0, 1), body="'text'"),
        made(helper="x - 1.0", body="'text'"),
        made(helper="math.exp(x)", body="'text'"),
        made(helper="np.exp(x)", body="'text'"),
        made(default=2.0, body="'text'"),
        made(name="another", body="'text'"),
    ]
    texts = {fingerprint.fingerprint(function) for function in others} | {same}
    assert len(texts) == 1 + len(others)
    source = fingerprint._source
    monkeypatch.setattr(fingerprint, "_source", lambda name: source(name) + "# changed")
    assert fingerprint.fingerprint(made(body="'text'")) not in texts


@pytest.mark.parametrize("constant", [np.arange(3.0), object(), types.ModuleType("mine"), [1.0], {"a": 1}])
def test_what_no_text_can_tell_has_no_fingerprint(constant):
    with pytest.raises(fingerprint.UnknownError, match="cannot be told"):
        fingerprint.fingerprint(made(constant=constant))


def test_what_has_no_fingerprint_is_compiled_in_memory(compiled, cache):
    table = np.array([3.0, 5.0])

    def function(out):
        out[0] = table[1]

    for _ in range(2):
        out = np.zeros(1)
        assert native.Native(function)(out) == 0 and out[0] == 5.0
    assert len(compiled) == 2 and not cache.exists()


def test_functions_call_others_with_numbers_from_around_them(cache):
    out = np.empty(1)
    native.Native(made(constant=4.0))(0.5, out)
    assert out[0] == pytest.approx(1.5 * 4 + 1 + math.exp(-0.5), rel=4e-16)
    native.Native(made(constant=4.5))(0.5, out)
    assert out[0] == pytest.approx(1.5 * 4.5 + 1 + math.exp(-0.5), rel=4e-16)


def test_threads_that_come_at_once_compile_once(compiled):
    function, failures = native.Native(_sums), []

    def run(seed):
        try:
            check(function, *arguments(seed))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and compiled == ["_sums"]


def test_numba_may_be_told_not_to_compile(compiled, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    check(native.Native(_sums))
    assert not compiled


def _raises(x):
    if x > 1:
        raise ValueError("too large")


def _makes_an_array(x):
    return len(np.zeros(x))


def _returns_a_float(x):
    return 0.5 * x


def _prints(x):
    print(x)


def test_what_compiled_code_must_not_do_is_refused():
    raises = native.Native(_raises)
    assert raises(1) == 0
    with pytest.raises(RuntimeError, match="_raises raised an exception"):
        raises(2)
    with pytest.raises(Exception, match="zeros"):
        native.Native(_makes_an_array)(3)
    with pytest.raises(RuntimeError, match="returns float64; it must be int or nothing"):
        native.Native(_returns_a_float)(3)
    with pytest.raises(RuntimeError):
        native.Native(_prints)(3)
    with pytest.raises(TypeError, match="compiled code takes arrays"):
        native.Native(_raises)("x")
    with pytest.raises(TypeError, match="compiled code takes arrays"):
        native.Native(_raises)(np.complex128(1))


def test_an_object_that_calls_what_is_not_there_is_compiled_anew(compiled, cache, monkeypatch):
    """Such as what only numba has in its process."""
    check(native.Native(_sums))
    monkeypatch.setattr(native, "recall", lambda folder, key: b"no object file")
    check(native.Native(_sums))
    assert len(compiled) == 2
