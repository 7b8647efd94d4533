"""A world of its own for every test: no environment, no cache, no network but a server on this machine."""

import dataclasses
import gzip
import http.server
import os
import threading

import numpy as np
import pytest

from kernelfit.common.files import sha256
from kernelfit.datasets.fetch import registry, search
from kernelfit.datasets.fetch.registry import File, Form

REAL_DATA = os.environ.get("KERNELFIT_DATA")


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.delenv("KERNELFIT_DATA", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(search, "_checkout_data", lambda: None)
    for name, entry in registry.ENTRIES.items():
        # port 9 of this machine: nobody listens, so a forgotten mirror fails at once
        monkeypatch.setitem(registry.ENTRIES, name, dataclasses.replace(entry, mirrors=("http://127.0.0.1:9/",)))


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.fixture
def real_mnist():
    """Folder given by KERNELFIT_DATA where it holds the real MNIST."""
    if not REAL_DATA or not search.locate(registry.ENTRIES["mnist"], REAL_DATA):
        pytest.skip("KERNELFIT_DATA names no folder with MNIST")
    return REAL_DATA


@pytest.fixture
def tiny_mnist(monkeypatch, server):
    """(entry, {name: content}) of 30 + 20 images of 5 x 4 in the form of MNIST, served gzip'd, registered as mnist."""
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (30, 5, 4), np.uint8),
        np.arange(30, dtype=np.uint8) % 10,
        rng.integers(0, 256, (20, 5, 4), np.uint8),
        np.arange(20, dtype=np.uint8) % 10,
    ]
    real = registry.ENTRIES["mnist"]
    contents = {file.name: idx(array) for file, array in zip(real.files, arrays, strict=True)}
    files = tuple(File(name, sha256(content), len(content), gzipped=True) for name, content in contents.items())
    entry = dataclasses.replace(real, forms=(Form("idx", files),), mirrors=(server.url,))
    monkeypatch.setitem(registry.ENTRIES, "mnist", entry)
    server.files |= {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    return entry, contents


@pytest.fixture
def big_file(server):
    """A file of 300,000 bytes on the server, as (File, content, url)."""
    content = np.random.default_rng(1).bytes(300_000)
    server.files["big.bin"] = content
    return File("big.bin", sha256(content), len(content)), content, server.url + "big.bin"


class Site:
    """What the server has and how it misbehaves; `log` lists (path, Range header) of every request."""

    def __init__(self):
        self.files = {}
        self.ranges = True
        self.break_after = []  # the next answers send only so many bytes
        self.log = []
        self.url = None


@pytest.fixture
def server():
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name, wanted = self.path.lstrip("/"), self.headers.get("Range")
            site.log.append((name, wanted))
            content = site.files.get(name.rpartition("/")[2])
            if content is None:
                return self.send_error(404)
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and site.ranges else 0
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + site.break_after.pop(0) if site.break_after else None
            self.wfile.write(content[start:end])

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        site.url = f"http://127.0.0.1:{listener.server_port}/"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield site
        listener.shutdown()
        thread.join()
