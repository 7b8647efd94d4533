"""The matrix-free engine over slow links that break: worker processes in network namespaces of their own.

The client and the scheduler are on one host, each of three workers on another. Hosts are network namespaces; the links
between them are made by this program out of TUN devices, since few kernels come with netem. Needs Linux, root and
iproute2, the extra "dask", and MNIST.
"""

import collections
import contextlib
import fcntl
import heapq
import itertools
import os
import selectors
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks import matrix_free
from benchmarks.experiments import gram_of
from benchmarks.runner import Table, apart, at_most, case, figure

WORKERS, HEAD = 3, 0
QUEUE = 0.2  # seconds of packets that a link holds
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@case(
    targets={"vectors per worker and product": at_most(3)},
    smoke={"data": "digits", "n": 300, "bandwidth": 1.0, "cut": 1.0},
)
def links(data="mnist", n=10_000, bandwidth=5.0, ridge=1e-3, mbit=100.0, delay=5e-3, cut=10.0):
    """Solves over slow links: left alone, a worker killed, the scheduler's link cut for ten seconds, and both.

    Harm is done after 0.4 of the time of the run that is left alone. A vector is n x 10 x 8 bytes, received and sent
    together; all bytes on the link of the busiest worker count, but for the points, which it gets once.
    """
    if os.geteuid():
        sys.exit("links makes network namespaces, which takes root: sudo -E python -m benchmarks links")
    harm = {
        "left alone": {},
        "a worker killed": {"kill": True},
        f"the scheduler's link cut for {cut:g} s": {"cut": cut},
    }
    harm["both"] = {"kill": True, "cut": cut}
    rows, alone = [], None
    with hosts(1 + WORKERS, mbit * 1e6 / 8, delay) as network:
        for name, options in harm.items():
            after = 0.4 * alone["seconds"] if alone else 0.0
            run = _run(network, (data, n, bandwidth, ridge), after, **options)
            alone = alone or run
            off = np.linalg.norm(run["coef"] - alone["coef"]) / np.linalg.norm(alone["coef"])
            rows.append(
                {
                    "run": name,
                    "solve": figure(run["seconds"], "s"),
                    "time lost": figure(run["seconds"] - alone["seconds"], "s"),
                    "steps": str(run["solver"]["steps"]),
                    "workers lost": str(run["solver"]["workers_lost"]),
                    "residual": figure(run["residual"], digits=2),
                    "norm off by": figure(abs(run["norm"] / alone["norm"] - 1), digits=2),
                    "coefficients off by": figure(float(off), digits=2),
                    "vectors per worker and product": figure(run["traffic"]),
                }
            )
    title = f"n = {n:,} of {data}, ridge {ridge:g}, {WORKERS} workers behind {mbit:g} Mbit/s and {1e3 * delay:g} ms"
    yield Table(f"{title} each way", rows)


def _run(network, problem, after, kill=False, cut=0.0):
    """Solve once, and do harm that many seconds after it began; return what the solve told, and the traffic."""
    with tempfile.TemporaryDirectory() as folder:
        started = Path(folder) / "started"
        place = {"inside": inside, "address": address}
        with matrix_free.workers(WORKERS, folder, **place) as (scheduler, processes):
            before = dict(network.bytes)

            def harm():
                while not started.exists():
                    time.sleep(0.05)
                time.sleep(after)
                if kill:
                    processes[0].kill()
                if cut:
                    network.cut(HEAD, cut)

            threading.Thread(target=harm, daemon=True).start()
            told = apart(solve, *problem, scheduler, folder, launcher=inside(HEAD))
        told["coef"] = np.load(Path(folder) / "coef.npy")
        moved = max(network.bytes[host] - before[host] for host in range(1, 1 + WORKERS))
        n, columns = told["coef"].shape
        told["traffic"] = (moved - told["point_bytes"]) / told["solver"]["products"] / (n * columns * 8)
        return told


def solve(data, n, bandwidth, ridge, scheduler, folder):
    """The client: solve, say so, and keep the coefficients."""
    from kernelfit import datasets
    from kernelfit.common.progress import LogProgress
    from kernelfit.datasets.labels import one_hot
    from kernelfit.grams.matrix import gram
    from kernelfit.solvers.dask.solver import Dask

    used, K = datasets.load(data, n_train=n, n_test=100), gram_of(data, n, bandwidth)
    K_test, Y = gram(used.X_test, K.kernel, K.points), one_hot(used.y_train, 10)
    with Dask(scheduler=scheduler, workers=WORKERS).opened() as solver:
        (Path(folder) / "started").touch()
        start = time.perf_counter()
        with solver.factor(K, ridge=ridge, progress=LogProgress()) as factor:
            answer = factor.solve(Y, progress=LogProgress())
            factor.predict(K_test, answer.coef)
        seconds = time.perf_counter() - start
    np.save(Path(folder) / "coef.npy", answer.coef)
    told = {"solver": answer.report, "residual": answer.relative_residual, "norm": answer.norm.total}
    return told | {"seconds": seconds, "point_bytes": used.X_train.nbytes}


# ---- hosts and links -----------------------------------------------------------------------------------------------


def address(host):
    return f"10.77.0.{host + 1}"


def inside(host):
    return ["ip", "netns", "exec", _namespace(host)]


def _namespace(host):
    return f"kernelfit-{os.getpid()}-{host}"  # runs at the same time must not meet


def _ip(*words, host=None):
    subprocess.run([*(inside(host) if host is not None else []), "ip", *words], check=True)


@contextlib.contextmanager
def hosts(count, rate, delay):
    """Make network namespaces with one link each; yields the Network between them."""
    network, made = Network(count, rate, delay), []
    try:
        for host in range(count):
            device = f"kf{os.getpid()}-{host}"
            _ip("netns", "add", _namespace(host))
            made.append(host)
            network.attach(host, device)
            _ip("link", "set", device, "netns", _namespace(host))
            _ip("link", "set", "lo", "up", host=host)
            _ip("addr", "add", f"{address(host)}/24", "dev", device, host=host)
            _ip("link", "set", device, "up", host=host)
        network.start()
        yield network
    finally:
        network.stop()
        for host in made:
            _ip("netns", "del", _namespace(host))


class Network(threading.Thread):
    """Carries packets between TUN devices, each behind a link of `rate` bytes per second and a delay in seconds.

    Attributes
    ----------
    bytes : dict
        Carried so far from and to each host.
    """

    def __init__(self, count, rate, delay):
        super().__init__(daemon=True)
        self.bytes = collections.Counter(dict.fromkeys(range(count), 0))
        self._rate, self._delay = rate, delay
        self._files, self._dead, self._ended = {}, {}, threading.Event()

    def attach(self, host, device):
        file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(file, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
        self._files[host] = file

    def cut(self, host, seconds):
        """Lose all packets from and to a host for some time."""
        self._dead[host] = time.monotonic() + seconds

    def stop(self):
        self._ended.set()
        if self.is_alive():
            self.join()
        for file in self._files.values():
            os.close(file)

    def run(self):
        selector, order = selectors.DefaultSelector(), itertools.count()
        for host, file in self._files.items():
            selector.register(file, selectors.EVENT_READ, host)
        free = collections.defaultdict(float)  # when each direction of each link has sent all that it holds
        coming = []  # (time, number, host, packet)
        while not self._ended.is_set():
            now = time.monotonic()
            while coming and coming[0][0] <= now:
                _, _, host, packet = heapq.heappop(coming)
                with contextlib.suppress(OSError):  # the host is going down
                    os.write(self._files[host], packet)
            wait = min(0.1, max(0.0, coming[0][0] - now)) if coming else 0.1
            for key, _ in selector.select(wait):
                for _ in range(32):
                    try:
                        packet = os.read(key.fd, 65536)
                    except BlockingIOError:
                        break
                    self._forward(packet, key.data, free, coming, order)

    def _forward(self, packet, source, free, coming, order):
        now, target = time.monotonic(), packet[19] - 1
        if packet[0] >> 4 != 4 or target not in self._files:
            return  # no IPv4 of ours
        if any(self._dead.get(host, 0.0) > now for host in (source, target)):
            return
        arrival = now
        for link in ((source, "out"), (target, "in")):
            begin = max(arrival, free[link])
            if begin - arrival > QUEUE:
                return  # as a full queue of a switch does
            arrival = free[link] = begin + len(packet) / self._rate
        self.bytes[source] += len(packet)
        self.bytes[target] += len(packet)
        heapq.heappush(coming, (arrival + self._delay, next(order), target, packet))
