"""The matrix-free engine over slow links that break: worker processes in network namespaces of their own.

    sudo -E python benchmarks/links.py             n = 10,000; about ten minutes on 2 cores

The client and the scheduler are on one host, each of three workers on another. Hosts are network namespaces; the links
between them, 100 Mbit/s and 5 ms each way, are made by this program out of TUN devices, since few kernels come with
netem. One run is left alone, in one a worker is killed, in one the link of the scheduler is cut for ten seconds, in one
both happen. Needs Linux, root, iproute2, MNIST (KERNELFIT_DATA) and the extra "dask". Prints Markdown.
"""

import argparse
import collections
import contextlib
import fcntl
import heapq
import itertools
import json
import os
import selectors
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import common
from common import table

RIDGE, WORKERS = 1e-3, 3
RATE, DELAY, QUEUE = 100e6 / 8, 5e-3, 0.2  # bytes per second, seconds, seconds of packets that a link holds
CUT, AT = 10.0, 0.4  # seconds; when, as a part of the undisturbed run
HEAD = 0
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    n = options.n
    if options.child:
        solve(n, *options.child)
        return
    common.describe("Matrix-free, over slow links that break", {})
    with hosts(1 + WORKERS) as network:
        alone = run(network, n)
        cases = {
            "left alone": alone,
            "a worker killed": run(network, n, after=AT * alone["seconds"], kill=True),
            f"the scheduler's link cut for {CUT:.0f} s": run(network, n, after=AT * alone["seconds"], cut=True),
            "both": run(network, n, after=AT * alone["seconds"], kill=True, cut=True),
        }
    import numpy as np

    print(f"\n## MNIST, n = {n:,}, ridge {RIDGE:g}, {WORKERS} workers behind 100 Mbit/s and 5 ms each way\n")
    rows = []
    for name, case in cases.items():
        solver = case["solver"]
        difference = np.linalg.norm(case["coef"] - alone["coef"]) / np.linalg.norm(alone["coef"])
        rows.append(
            [
                name,
                f"{case['seconds']:.1f} s",
                f"{case['seconds'] - alone['seconds']:.1f} s",
                f"{solver['steps']}",
                f"{solver['workers_lost']}",
                f"{case['residual']:.1e}",
                f"{abs(case['norm'] / alone['norm'] - 1):.1e}",
                f"{difference:.1e}",
                f"{case['traffic']:.2f}",
            ]
        )
    header = ["run", "solve", "time lost", "steps", "workers lost", "relative residual", "norm off by", "coef off by"]
    table([*header, "vectors per worker and product"], rows)
    print(
        "\nA vector is n x 10 x 8 bytes; bar: at most 3 per product, received and sent together, all bytes on the link "
        "of the busiest worker counted but for the points, which it gets once."
    )


def run(network, n, *, after=None, kill=False, cut=False):
    """Solve once; `after` so many seconds, do harm. Returns what the solve told, and the traffic."""
    with tempfile.TemporaryDirectory() as folder, cluster(network, folder) as workers:
        before = dict(network.bytes)
        answer = Path(folder) / "answer.npz"
        words = [sys.executable, __file__, "--n", str(n), "--child", f"tcp://{address(HEAD)}:8786", str(answer)]
        client = subprocess.Popen([*inside(HEAD), *words], stdout=subprocess.PIPE, text=True)
        assert client.stdout.readline() == "solving\n"
        if after is not None:
            time.sleep(after)
            if kill:
                workers[0].kill()
            if cut:
                network.cut(HEAD, CUT)
        told = json.loads(client.stdout.read().splitlines()[-1])
        assert client.wait() == 0
        import numpy as np

        with np.load(answer) as file:
            told["coef"] = file["coef"]
        moved = [network.bytes[host] - before[host] for host in range(1, 1 + WORKERS)]
        told["traffic"] = (max(moved) - n * 784) / told["solver"]["products"] / (n * 10 * 8)
        return told


def solve(n, scheduler, path):
    """The client: solve, say so, and keep the coefficients."""
    from kernelfit import datasets
    from kernelfit.common.progress import LogProgress
    from kernelfit.datasets.labels import one_hot
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import Gaussian
    from kernelfit.solvers.dask.solver import Dask

    data = datasets.load("mnist", n_train=n, n_test=100)
    K = gram(data.X_train, Gaussian(5.0))
    K_test, Y = gram(data.X_test, Gaussian(5.0), K.points), one_hot(data.y_train, 10)
    with Dask(scheduler=scheduler, workers=WORKERS).opened() as solver:
        print("solving", flush=True)
        start = time.perf_counter()
        with solver.factor(K, ridge=RIDGE, progress=LogProgress()) as factor:
            answer = factor.solve(Y, progress=LogProgress())
            factor.predict(K_test, answer.coef)
        seconds = time.perf_counter() - start
    import numpy as np

    np.savez(path, coef=answer.coef)
    told = {"solver": answer.report, "residual": answer.relative_residual, "norm": answer.norm.total}
    told["seconds"] = seconds
    print(json.dumps(told), flush=True)


# ---- hosts and links -----------------------------------------------------------------------------------------------


def address(host):
    return f"10.77.0.{host + 1}"


def namespace(host):
    return f"kernelfit-{os.getpid()}-{host}"  # runs at the same time must not meet


def inside(host):
    return ["ip", "netns", "exec", namespace(host)]


@contextlib.contextmanager
def cluster(network, folder):
    """Start a scheduler at the head and workers elsewhere; yields the workers' processes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": folder}
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address(HEAD), "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", f"tcp://{address(HEAD)}:8786", "--no-dashboard"]
    worker += ["--nthreads", "1", "--no-nanny", "--local-directory", folder]
    processes = [subprocess.Popen([*inside(HEAD), *scheduler], **quiet)]
    try:
        for host in range(1, 1 + WORKERS):
            processes.append(subprocess.Popen([*inside(host), *worker, "--host", address(host)], **quiet))
        yield processes[1:]
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


@contextlib.contextmanager
def hosts(count):
    """Make network namespaces with one link each; yields the Network between them."""
    network, made = Network(count), []
    try:
        for host in range(count):
            device = f"kf{os.getpid()}-{host}"
            _ip("netns", "add", namespace(host))
            made.append(host)
            network.attach(host, device)
            _ip("link", "set", device, "netns", namespace(host))
            for words in (
                ["link", "set", "lo", "up"],
                ["addr", "add", f"{address(host)}/24", "dev", device],
                ["link", "set", device, "up"],
            ):
                subprocess.run([*inside(host), "ip", *words], check=True)
        network.start()
        yield network
    finally:
        network.stop()
        for host in made:
            _ip("netns", "del", namespace(host))


def _ip(*words):
    subprocess.run(["ip", *words], check=True)


class Network(threading.Thread):
    """Carries packets between TUN devices, each behind a link of RATE and DELAY.

    Attributes
    ----------
    bytes : dict
        Carried so far from and to each host.
    """

    def __init__(self, count):
        super().__init__(daemon=True)
        self.bytes = collections.Counter(dict.fromkeys(range(count), 0))
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
            arrival = free[link] = begin + len(packet) / RATE
        self.bytes[source] += len(packet)
        self.bytes[target] += len(packet)
        heapq.heappush(coming, (arrival + DELAY, next(order), target, packet))


if __name__ == "__main__":
    main()
