"""Files are whole or absent, whatever interrupts the writer, and lines stay lines, whoever else appends."""

import collections
import contextlib
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from kernelfit import cli
from kernelfit.common.errors import InputError
from kernelfit.common.files import (
    append_lines,
    atomic_write,
    encoded,
    expanded,
    sha256,
    user_cache,
    write_text,
    written,
)


class PulledPlug(BaseException):
    """Something that is not even an Exception."""


@pytest.mark.parametrize("existing", [None, b"old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, PulledPlug])
def test_an_interrupted_block_leaves_the_old_file_and_nothing_else(tmp_path, error, existing):
    path = tmp_path / "result.bin"
    if existing:
        path.write_bytes(existing)
    with pytest.raises(error), atomic_write(path) as file:
        file.write(b"x" * 100_000)
        file.flush()
        raise error
    assert [entry.name for entry in tmp_path.iterdir()] == (["result.bin"] if existing else [])
    assert not existing or path.read_bytes() == existing


def test_a_full_disk_is_named_with_the_file(tmp_path):
    for write in (atomic_write, _appending):
        with pytest.raises(OSError, match=r"No space left on device: .*result.bin"), write(tmp_path / "result.bin"):
            raise OSError(28, "No space left on device")


@contextlib.contextmanager
def _appending(path):
    """append_lines, with what happens in the block as its failure."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        append_lines(path, "x")
    yield


def test_until_the_block_ends_readers_see_the_old_file(tmp_path):
    path = tmp_path / "result.bin"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new, and longer")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new, and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    path, synced, replace = tmp_path / "result.bin", [], os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((os.fstat(descriptor).st_size, path.exists())))

    def checked_replace(source, target):
        assert synced == [(50_000, False)]
        replace(source, target)

    monkeypatch.setattr(os, "replace", checked_replace)
    with atomic_write(path) as file:
        file.write(b"x" * 50_000)
    assert path.stat().st_size == 50_000


def test_a_failed_replacement_leaves_no_temporary_file(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"), atomic_write(path) as file:
        file.write(b"a file cannot replace a folder")
    assert list(tmp_path.iterdir()) == [path]


def test_folders_on_the_way_are_made(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "c.bin") as file:
        file.write(b"1")
    append_lines(tmp_path / "d" / "e" / "f.jsonl", "1")
    assert (tmp_path / "a" / "b" / "c.bin").read_bytes() == b"1"
    assert (tmp_path / "d" / "e" / "f.jsonl").read_bytes() == b"1\n"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "ordinary").write_bytes(b"")
        with atomic_write(tmp_path / "atomic") as file:
            file.write(b"")
        assert os.umask(mask) == mask  # and the mask is as it was
    finally:
        os.umask(before)
    ordinary, atomic = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "atomic"))
    assert atomic == ordinary == 0o666 & ~mask


def test_a_torn_last_line_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "lines.jsonl"
    append_lines(path, "first")
    with open(path, "ab") as file:
        file.write(b'{"torn": ')
    append_lines(path, "second, é")
    append_lines(path, "third")
    assert path.read_bytes() == 'first\n{"torn": \nsecond, é\nthird\n'.encode()


@pytest.mark.parametrize("line", ["two\nlines", "\n", "end\n"])
def test_a_newline_is_refused_before_anything_is_written(tmp_path, line):
    with pytest.raises(ValueError, match="one line"):
        append_lines(tmp_path / "lines.jsonl", line)
    assert list(tmp_path.iterdir()) == []


LONG = 70_000  # longer than every buffer on the way, and than the pages in which a file grows
PROGRAM = """
import os, sys, time
from kernelfit.common.files import append_lines
path, go, writer = sys.argv[1:]
os.fsync = lambda descriptor: None
while not os.path.exists(go):
    time.sleep(0.001)
for k in range(40):
    append_lines(path, f"{writer}-{k}-" + "x" * (70_000 if k % 2 else k))
"""


def _lines(writers):
    return [f"{writer}-{k}-" + "x" * (LONG if k % 2 else k) for writer in range(writers) for k in range(40)]


@pytest.mark.parametrize("start", ["", "torn"])
def test_threads_that_append_at_once_leave_whole_lines_and_no_empty_ones(tmp_path, monkeypatch, start):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the disk's speed is not what is tested
    path, lines, barrier = tmp_path / "lines.jsonl", _lines(6), threading.Barrier(6)
    path.write_text(start)

    def write(part):
        barrier.wait()
        for line in part:
            append_lines(path, line)

    threads = [threading.Thread(target=write, args=(lines[40 * k : 40 * (k + 1)],)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One empty string after the last newline, and none before: a reader of JSON lines stumbles over an empty line.
    written = path.read_text().split("\n")
    assert collections.Counter(written) == collections.Counter([*lines, start, ""] if start else [*lines, ""])


@pytest.mark.heavy
def test_processes_that_append_at_once_leave_whole_lines_and_no_empty_ones(tmp_path):
    path, go = tmp_path / "lines.jsonl", tmp_path / "go"
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", PROGRAM, path, go, str(writer)]))
            for writer in range(3)
        ]
        go.touch()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert collections.Counter(path.read_text().split("\n")) == collections.Counter([*_lines(3), ""])


def test_sha256_of_bytes_buffers_and_files():
    # FIPS 180-2, appendix B.1
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    data = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8)
    assert sha256(data) == sha256(data.tobytes()) == sha256(io.BytesIO(data)) == hashlib.sha256(data).hexdigest()
    changed = data.copy()
    changed[-1] ^= 1
    assert sha256(changed) != sha256(data)


@pytest.fixture
def homeless(monkeypatch):
    """No $HOME, and a user whom the list of users does not have."""
    for name in ("HOME", "KERNELFIT_CACHE", "XDG_CACHE_HOME", "KERNELFIT_DATA"):
        monkeypatch.delenv(name, raising=False)

    def unknown(number):
        raise KeyError(number)

    monkeypatch.setattr("pwd.getpwuid", unknown)


def test_without_a_home_there_is_no_cache_and_no_traceback(homeless, monkeypatch, tmp_path, capsys):
    assert user_cache() is None
    with pytest.raises(InputError, match="the home folder that ~ stands for is not known"):
        expanded("~/x")
    assert cli.main(["data", "verify", "mnist"]) == 1
    assert cli.main(["plan", "--n", "1000", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "kernelfit" or sys.platform == "darwin"


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("KERNELFIT_CACHE", str(tmp_path))
    assert user_cache() == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELFIT_CACHE", "here")
    assert user_cache() == tmp_path / "here"
    monkeypatch.setenv("KERNELFIT_CACHE", "off")
    assert user_cache() is None


def test_a_leading_tilde_is_a_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/mine")
    assert [str(expanded(path)) for path in ("~/x", "~", "x/~")] == ["/home/of/mine/x", "/home/of/mine", "x/~"]
    with pytest.raises(InputError, match="the home folder that ~nobody_here stands for is not known"):
        expanded("~nobody_here/x")


def test_a_text_of_any_letters_can_be_encoded():
    assert encoded("é\udce9\ud800") == b"\xc3\xa9\\udce9\\ud800"


def test_what_could_not_be_written_is_yielded_before_the_failure():
    def full(*arguments):
        raise OSError(28, "No space left on device")

    found = []
    with pytest.raises(OSError, match="No space"):
        found.extend(written("value", full, 1, 2))
    assert found == ["value"]
    assert list(written("value", found.append, "kept")) == ["value"] and found == ["value", "kept"]


def test_a_link_is_followed_and_what_is_no_file_is_written_to(tmp_path):
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through" and not pipe.is_file()
    os.close(reader)
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "text")
