import contextlib
import dataclasses
import fcntl
import gzip
import socket

import numpy as np
import pytest

from kernelfit.common.errors import DataNotFoundError, InputError
from kernelfit.common.progress import Progress
from kernelfit.datasets import fetch, load
from kernelfit.datasets.fetch import download as module
from kernelfit.datasets.fetch import registry, search
from kernelfit.datasets.fetch.download import DownloadError, download


def parts(folder):
    return list(folder.glob(".*.part"))


def test_fetch_brings_all_files_and_load_reads_them(tmp_path, tiny_mnist, server):
    entry, contents = tiny_mnist
    folder = fetch("mnist", data_dir=tmp_path)
    assert folder == tmp_path / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(file.remote for file in entry.files)
    requests = len(server.log)
    data = load("mnist", data_dir=tmp_path)
    assert len(server.log) == requests == 4  # found on disk now
    assert data.X_train.tobytes() == contents["train-images-idx3-ubyte"][16:]
    assert data.y_test.astype(np.uint8).tobytes() == contents["t10k-labels-idx1-ubyte"][8:]


def test_only_what_is_missing_is_fetched(tmp_path, tiny_mnist, server):
    entry, contents = tiny_mnist
    (tmp_path / "mnist").mkdir()
    for file in entry.files[1:]:
        (tmp_path / "mnist" / file.name).write_bytes(contents[file.name])
    fetch("mnist", data_dir=tmp_path)
    assert [name for name, _ in server.log] == [entry.files[0].remote]


def test_a_broken_connection_is_resumed_where_it_broke(tmp_path, big_file, server):
    file, content, url = big_file
    server.break_after = [100_000, 50_000]
    assert download(url, file, tmp_path, Progress()).read_bytes() == content
    assert [wanted for _, wanted in server.log] == [None, "bytes=100000-", "bytes=150000-"]
    assert parts(tmp_path) == []


def test_a_later_run_resumes(tmp_path, big_file, server, monkeypatch):
    file, content, url = big_file
    monkeypatch.setattr(module, "ATTEMPTS", 1)
    server.break_after = [120_000]
    with pytest.raises(DownloadError, match="go on from 120,000 bytes"):
        download(url, file, tmp_path, Progress())
    assert [path.stat().st_size for path in parts(tmp_path)] == [120_000]
    assert not (tmp_path / file.name).exists()
    download(url, file, tmp_path, Progress())
    assert server.log[-1] == ("big.bin", "bytes=120000-")
    assert (tmp_path / file.name).read_bytes() == content


def test_a_server_without_ranges_sends_all_anew(tmp_path, big_file, server):
    file, content, url = big_file
    server.break_after, server.ranges = [100_000], False
    assert download(url, file, tmp_path, Progress()).read_bytes() == content
    assert len(server.log) == 2


def test_a_part_of_another_version_is_given_up(tmp_path, big_file, server):
    file, content, url = big_file
    part = tmp_path / f".big.bin.{module.sha256(url.encode())[:8]}.part"
    part.write_bytes(bytes(50_000))
    assert download(url, file, tmp_path, Progress()).read_bytes() == content
    assert [wanted for _, wanted in server.log] == ["bytes=50000-", None]


def test_a_part_that_is_whole_is_taken(tmp_path, big_file, server):
    file, content, url = big_file
    part = tmp_path / f".big.bin.{module.sha256(url.encode())[:8]}.part"
    part.write_bytes(content)  # killed between the last byte and the rename
    assert download(url, file, tmp_path, Progress()).read_bytes() == content
    assert len(server.log) == 1


def test_wrong_content_leaves_nothing(tmp_path, big_file, server):
    file, content, url = big_file
    server.files["big.bin"] = content[:-1] + bytes([content[-1] ^ 1])
    with pytest.raises(DownloadError, match=file.sha256):
        download(url, file, tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


def test_truncated_gzip_leaves_nothing(tmp_path, tiny_mnist, server):
    entry, contents = tiny_mnist
    file = entry.files[0]
    server.files[file.remote] = gzip.compress(contents[file.name])[:-20]
    with pytest.raises(DownloadError, match="damaged or truncated"):
        download(server.url + file.remote, file, tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_file_can_hold_is_refused(tmp_path, big_file, server):
    file, content, url = big_file
    server.files["big.bin"] = content * 3
    with pytest.raises(DownloadError, match="sends more than"):
        download(url, file, tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_leaves_only_the_hidden_part(tmp_path, big_file):
    file, content, url = big_file

    class Interrupt(Progress):
        def phase(self, name, total):
            def advance(amount):
                raise KeyboardInterrupt

            return contextlib.nullcontext(advance)

    with pytest.raises(KeyboardInterrupt):
        download(url, file, tmp_path, Interrupt())
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in parts(tmp_path)]
    assert download(url, file, tmp_path, Progress()).read_bytes() == content


def test_two_processes_do_not_write_one_part(tmp_path, big_file):
    file, _, url = big_file
    part = tmp_path / f".big.bin.{module.sha256(url.encode())[:8]}.part"
    with open(part, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DownloadError, match="another process"):
            download(url, file, tmp_path, Progress())


def test_the_next_mirror_is_tried(tmp_path, tiny_mnist, server, monkeypatch):
    entry, _ = tiny_mnist
    mirrors = ("http://127.0.0.1:9/", server.url)
    monkeypatch.setitem(registry.ENTRIES, "mnist", dataclasses.replace(entry, mirrors=mirrors))
    assert fetch("mnist", data_dir=tmp_path) == tmp_path / "mnist"


def test_without_a_network_the_error_says_all(tmp_path, tiny_mnist, server, monkeypatch):
    entry, _ = tiny_mnist
    mirrors = ("http://127.0.0.1:9/one/", server.url + "two/")
    server.files.clear()
    monkeypatch.setitem(registry.ENTRIES, "mnist", dataclasses.replace(entry, mirrors=mirrors))
    with pytest.raises(DataNotFoundError) as caught:
        load("mnist", data_dir=tmp_path)
    message = str(caught.value)
    for expected in (
        *(file.remote for file in entry.files),
        *(mirror + entry.files[0].remote for mirror in mirrors),
        str(tmp_path / "mnist"),
        "404",
        "`data_dir`",
        "$KERNELFIT_DATA",
        "'digits' is embedded",
    ):
        assert expected in message
    assert list(tmp_path.iterdir()) == []


def test_mirrors_with_wrong_content_leave_no_folder(tmp_path, tiny_mnist, server):
    entry, _ = tiny_mnist
    server.files = dict.fromkeys(server.files, gzip.compress(b"an error page"))
    with pytest.raises(DataNotFoundError, match=f"what it serves holds 13 bytes where {entry.files[0].name}"):
        fetch("mnist", data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_goes_to_the_first_folder_that_can_be_written(tmp_path, tiny_mnist, monkeypatch):
    entry, _ = tiny_mnist
    locked, cache = tmp_path / "locked", tmp_path / "cache"
    locked.mkdir()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    # os.access, because the superuser may write anywhere
    monkeypatch.setattr(search.os, "access", lambda path, mode: path != locked)
    monkeypatch.setenv("KERNELFIT_DATA", str(locked))
    assert search.download_folder(entry) == cache / "kernelfit" / "mnist"
    with pytest.raises(InputError, match="locked"):
        search.download_folder(entry, locked)


def test_a_silent_server_times_out(tmp_path, big_file, monkeypatch):
    file, _, _ = big_file
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(DownloadError, match="timed out"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/big.bin", file, tmp_path, Progress())


def test_progress_adds_up(tmp_path, big_file, server):
    file, _, url = big_file
    totals, done = [], []

    class Recording(Progress):
        def phase(self, name, total):
            totals.append(total)
            return contextlib.nullcontext(done.append)

    server.break_after = [100_000]
    download(url, file, tmp_path, Recording())
    assert totals == [300_000, 200_000]
    assert sum(done) == 300_000
