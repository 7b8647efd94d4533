"""What is kept comes back whole and as it was written, or not at all."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kernelfit.common.kept import keep, recall
from tests.support.campaigns import rounds

CONTENT = bytes(range(0, 256, 4))


@pytest.fixture
def folder(tmp_path):
    keep(tmp_path / "kept", "key", CONTENT)
    return tmp_path / "kept"


def test_what_is_kept_comes_back(folder):
    assert recall(folder, "key") == CONTENT
    assert recall(folder, "another") is None and recall(folder / "none", "key") is None
    keep(folder, "key", b"")
    assert recall(folder, "key") == b""
    assert os.listdir(folder) == ["key"]


def test_a_flipped_bit_anywhere_and_a_lost_end_are_noticed(folder):
    whole = (folder / "key").read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        (folder / "key").write_bytes(damaged)
        assert recall(folder, "key") is None, at
        (folder / "key").write_bytes(whole[:at])
        assert recall(folder, "key") is None, at
    (folder / "key").write_bytes(whole + b"\0")
    assert recall(folder, "key") is None
    keep(folder, "key", CONTENT)
    assert recall(folder, "key") == CONTENT


def test_the_content_of_one_key_is_none_of_another(folder):
    os.rename(folder / "key", folder / "other")
    assert recall(folder, "other") is None


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_whatever_the_umask_nobody_else_may_write(tmp_path, mask):
    before = os.umask(mask)
    try:
        keep(tmp_path / "kept", "key", CONTENT)
    finally:
        os.umask(before)
    assert [os.stat(tmp_path / "kept" / name).st_mode & 0o777 for name in (".", "key")] == [0o700, 0o600]
    assert recall(tmp_path / "kept", "key") == CONTENT


@pytest.mark.parametrize("mode", [0o660, 0o602, 0o666])
def test_what_others_may_write_to_is_not_trusted(folder, mode):
    (folder / "key").chmod(mode)
    assert recall(folder, "key") is None
    keep(folder, "key", CONTENT)
    assert recall(folder, "key") == CONTENT
    folder.chmod(mode | 0o111)
    assert recall(folder, "key") is None
    keep(folder, "new", CONTENT)  # nor written to
    assert os.listdir(folder) == ["key"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_and_folders_of_others_are_not_trusted(folder):
    os.chown(folder / "key", 12345, -1)
    assert recall(folder, "key") is None
    os.chown(folder / "key", 0, -1)
    assert recall(folder, "key") == CONTENT
    os.chown(folder, 12345, -1)
    assert recall(folder, "key") is None


def test_links_and_pipes_are_not_followed(folder):
    os.symlink(folder, folder.with_name("link"))
    assert recall(folder.with_name("link"), "key") is None
    os.symlink("key", folder / "link")
    assert recall(folder, "link") is None
    os.mkfifo(folder / "pipe", 0o600)
    assert recall(folder, "pipe") is None  # at once, though nobody writes
    (folder / "folder").mkdir(mode=0o700)
    assert recall(folder, "folder") is None


def test_where_nothing_can_be_written_nothing_is_kept(folder):
    keep(folder / "key", "key", CONTENT)  # a file is no folder
    keep(folder, "x" * 300, CONTENT)
    assert os.listdir(folder) == ["key"]
    if os.geteuid() == 0:  # who may write anywhere
        return
    folder.chmod(0o500)
    keep(folder, "another", CONTENT)
    folder.chmod(0o700)
    assert os.listdir(folder) == ["key"]


@pytest.mark.heavy
def test_writers_that_are_killed_leave_all_or_nothing(tmp_path):
    """Four writers of two contents of one megabyte under one key, killed at any time, 20 times in a round."""
    program = (
        "import sys; from pathlib import Path; from kernelfit.common.kept import keep\n"
        "while True: keep(Path(sys.argv[1]), 'key', sys.argv[2].encode() * 2**20)\n"
    )
    for _ in range(20 * rounds(3)):
        writers = [subprocess.Popen([sys.executable, "-c", program, tmp_path / "kept", letter]) for letter in "abab"]
        seen = set()
        for writer in writers:
            time.sleep(0.1)
            found = recall(tmp_path / "kept", "key")
            seen.add(found and found[:1])
            assert found is None or found in (b"a" * 2**20, b"b" * 2**20)
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
    assert seen <= {b"a", b"b"}
    keep(tmp_path / "kept", "key", CONTENT)
    assert recall(tmp_path / "kept", "key") == CONTENT
