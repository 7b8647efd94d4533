"""The engine over Dask, on worker processes of this machine: the direct answer, whatever happens to a worker."""

import copy
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types

import numpy as np
import pytest

from kernelfit import backend
from kernelfit.backend import select
from kernelfit.backend.cuda import open_cuda
from kernelfit.cli import main
from kernelfit.common.errors import InputError, NotConvergedError, NotEnoughMemoryError, WorkersLostError
from kernelfit.common.progress import Progress
from kernelfit.experiments.registry import read_records
from kernelfit.experiments.solve import SolveSpec, run_solve
from kernelfit.grams.matrix import Gram, gram
from kernelfit.kernels import ArcCosine, Constant, Gaussian, Laplacian, Linear, Polynomial
from kernelfit.solvers.dask import shares as shares_module
from tests.support import fake_cuda

distributed = pytest.importorskip("distributed", reason="needs the extra dask: pip install 'kernelfit[dask]'")

from kernelfit.solvers.dask import solver as dask_solver  # noqa: E402
from kernelfit.solvers.dask import worker as dask_worker  # noqa: E402 (needs distributed)
from kernelfit.solvers.dask.factor import check_workers  # noqa: E402
from kernelfit.solvers.dask.gram import DaskGram  # noqa: E402
from kernelfit.solvers.dask.solver import Dask  # noqa: E402

N, M, D, ROWS = 700, 50, 60, 256  # three blocks of rows, six pairs


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.dask.shares._ROWS", ROWS)


def new_cluster():
    return distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, silence_logs=60
    )


@pytest.fixture(scope="module")
def cluster():
    with new_cluster() as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        yield client


def problem(kernel, kind="pixels", outputs=3):
    """Return Gram matrices of training points and of test points, and targets."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (N + M, D)).astype(np.uint8)
    X = X if kind == "pixels" else X / 255 + 10
    K = gram(X[:N], kernel)
    return K, gram(X[N:], kernel, K.points), rng.standard_normal((N, outputs))


def dense(K):
    return K.block((0, K.shape[0]), (0, K.shape[1]))


@pytest.mark.heavy
@pytest.mark.parametrize("kernel", [Gaussian(3.0), ArcCosine(1), Laplacian(2.0) + Constant(1.0)], ids=str)
@pytest.mark.parametrize("kind", ["pixels", "floats"])
def test_products(client, kernel, kind):
    """Exact entries: the only difference is the order of the sums."""
    K, K_test, V = problem(kernel, kind)
    matrix = dense(K)
    with DaskGram(K, client, progress=Progress()) as shared:
        product, norm = shared.product_and_norm(V)
        scale = np.abs(matrix) @ np.abs(V)
        assert (np.abs(product - matrix @ V) <= 1e-13 * scale).all()
        assert norm == pytest.approx(np.abs(matrix).sum(axis=0).max(), rel=1e-12)
        np.testing.assert_array_equal(shared.product(V), product)
        np.testing.assert_allclose(shared.predict(K_test.left, V), dense(K_test) @ V, rtol=1e-10, atol=1e-10)
    assert not any(client.run(points_kept).values())


def points_kept():
    return len(dask_worker._GRAMS)


@pytest.mark.heavy
def test_a_result_that_is_long_in_coming(client, monkeypatch):
    """Neither a long computation nor a long transfer is broken off."""
    monkeypatch.setattr("kernelfit.solvers.dask.gram._LOOK", 1e-3)
    K, _, V = problem(Gaussian(3.0))
    with DaskGram(K, client, progress=Progress()) as shared:
        for _ in range(5):
            assert np.abs(shared.product(V) - dense(K) @ V).max() <= 1e-10


def test_inner_products_are_kept_as_far_as_memory_goes():
    K, _, V = problem(Gaussian(3.0))
    made = []

    class Counting(type(K.points)):
        def inner_products(self, other, out=None):
            made.append((self.start, other.start))
            return super().inner_products(other, out)

    fields = {field.name: getattr(K.points, field.name) for field in dataclasses.fields(K.points)}
    tiles = [((i, i + 100), (j, j + 100)) for i in range(0, N, 100) for j in range(0, i + 1, 100)]
    for memory in (0, 5 * 4 * 100 * 100 + 1, 10**9):
        made.clear()
        kept = dask_worker.CachedProducts(Counting(**fields), memory)
        quick = Gram(dataclasses.replace(K.points, products=kept), K.kernel)
        results = []
        for _ in range(3):
            out = np.zeros((N, 3))
            quick.add_product(tiles, V, out)
            results.append(out)
        assert len(made) == 3 * len(tiles) - 2 * min(memory // (4 * 100 * 100), len(tiles))
        assert all(np.array_equal(result, results[0]) for result in results)
        assert np.abs(results[0] - dense(K) @ V).max() <= 1e-10


@pytest.mark.heavy
@pytest.mark.parametrize("memory", [0, 10**9])
def test_what_is_kept_changes_nothing(client, memory):
    K, _, V = problem(Gaussian(3.0))
    with DaskGram(K, client, memory=memory, progress=Progress()) as shared:
        first, second = shared.product(V), shared.product(V)
        assert np.array_equal(first, second) and np.array_equal(first, shared.product_and_norm(V)[0])
        np.testing.assert_allclose(first, dense(K) @ V, rtol=1e-9, atol=1e-9)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kernel", "ridge"), [(Gaussian(1.5), 0.0), (Laplacian(2.0), 0.0), (Gaussian(3.0), 1e-2), (Polynomial(2), 1.0)]
)
def test_the_direct_answer(cluster, kernel, ridge):
    K, K_test, Y = problem(kernel)
    matrix = dense(K) + ridge * np.eye(N)
    exact = np.linalg.solve(matrix, Y)
    with Dask(scheduler=cluster, workers=2, tolerance=1e-10, rank=100).factor(K, ridge=ridge) as factor:
        answer = factor.solve(Y)
        scores = factor.predict(K_test, answer.coef)
    condition = np.linalg.cond(matrix)
    assert np.linalg.norm(answer.coef - exact) <= 2e-10 * condition * np.linalg.norm(exact)
    assert np.linalg.norm(Y - matrix @ answer.coef) <= 1e-10 * np.linalg.norm(Y)
    np.testing.assert_allclose(scores, dense(K_test) @ answer.coef, atol=1e-9 * np.abs(scores).max())
    norm, true = (np.sqrt(np.sum(coef * (matrix @ coef - ridge * coef))) for coef in (answer.coef, exact))
    assert abs(norm - true) <= answer.report["norm_error"] + 1e-12 * true
    assert answer.report["workers"] == 2 and answer.report["workers_lost"] == 0
    assert answer.report["products"] == answer.report["steps"] + 1
    json.dumps(answer.report)


def test_a_worker_with_a_gpu(monkeypatch):
    """The work of a worker, on the stand-in for CuPy."""
    K, K_test, V = problem(Gaussian(3.0))
    bounds, shares = shares_module.cut(N, 2)
    out, total = np.zeros((N, 4)), dense(K)
    with fake_cuda.installed():
        raw = dask_worker.raw_points(K.points)
        monkeypatch.setitem(dask_worker._GRAMS, "on card", gram(raw, K.kernel, device=open_cuda(tile=64)))
        for share in shares:
            rows = dask_worker.rows_of(bounds, share)
            out[rows] += dask_worker.multiply("on card", bounds, share, V[rows], True)
        scores = dask_worker.predict("on card", dask_worker.raw_points(K_test.left), V)
    np.testing.assert_allclose(out, np.hstack([total @ V, np.abs(total).sum(axis=1)[:, None]]), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(scores, dense(K_test) @ V, rtol=1e-9, atol=1e-9)


def test_workers_share_the_gpus_of_their_host_out(monkeypatch, tmp_path):
    """A process has the first GPU that no other has; it says what that GPU has of memory, and works on it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the claims lie
    of_dask = types.SimpleNamespace(memory_manager=types.SimpleNamespace(memory_limit=10**6))
    with fake_cuda.installed() as card:
        card.gpus, told = 2, []
        for _ in range(3):
            select._own_cuda.cache_clear()  # as if it were another process
            told.append(dask_worker.describe("auto", of_dask))
        assert [worker["number"] for worker in told[:2]] == [0, 1] and told[2]["number"] in (0, 1)
        assert all(worker["free"] == fake_cuda.TOTAL_MEMORY - card.used for worker in told)
        assert {worker["device"] for worker in told} == {"cuda"} and not any(worker["limit"] for worker in told)
        device = backend.own_device("cuda")
        with device.current():
            assert fake_cuda.cupy.cuda.Device().id == told[2]["number"]
        assert fake_cuda.cupy.cuda.Device().id == 0
    on_cpu = dask_worker.describe("cpu", of_dask)
    assert on_cpu["limit"] == 10**6 and on_cpu["number"] is None and on_cpu["fixed"] == 0

    K, client = problem(Gaussian(3.0))[0], types.SimpleNamespace(status="running")
    client.wait_for_workers = lambda count, timeout: None
    there = {f"tcp://one:{port}": dict(worker) for port, worker in enumerate(told)}
    client.run = lambda function, device: there
    assert check_workers(client, K, 10, "auto")[0] is there
    with pytest.raises(NotEnoughMemoryError, match="may use"):
        check_workers(client, K, 10, "auto", 10**6)
    there["tcp://one:2"]["free"] = there["tcp://one:2"]["fixed"] + 1000
    with pytest.raises(NotEnoughMemoryError, match="its GPU has 2 workers"):
        check_workers(client, K, 10, "auto")


@pytest.mark.heavy
def test_the_preconditioner_cuts_steps(cluster):
    K, _, Y = problem(Gaussian(3.0))
    steps = []
    for rank in (0, 200):
        with Dask(scheduler=cluster, rank=rank).factor(K, ridge=1e-3) as factor:
            steps.append(factor.solve(Y).report["steps"])
    assert steps[1] < 0.8 * steps[0]


@pytest.mark.heavy
def test_each_entry_is_made_once(client):
    K, _, V = problem(Gaussian(3.0))
    with DaskGram(K, client, progress=Progress()) as shared:
        client.run(count_entries)
        shared.product(V)
        made = sum(client.run(entries_made).values())
        client.run(stop_counting)
    # The lower triangle in tiles, those on the diagonal whole.
    tiles = [min(ROWS, N - start) for start in range(0, N, ROWS)]
    assert made == sum(tiles[i] * tiles[j] for i in range(3) for j in range(i + 1))


def count_entries():
    Gaussian._counted = []
    Gaussian._uncounted = Gaussian.block

    def block(self, A, B, out):
        Gaussian._counted.append(len(A) * len(B))
        self._uncounted(A, B, out)

    Gaussian.block = block


def entries_made():
    return sum(Gaussian._counted)


def stop_counting():
    del Gaussian.block


@pytest.mark.heavy
def test_a_worker_that_is_killed_costs_its_share_and_nothing_else(monkeypatch):
    K, _, Y = problem(Gaussian(3.0))
    exact = np.linalg.solve(dense(K) + 1e-2 * np.eye(N), Y)
    notes, whole = [], DaskGram._product

    class Noting(Progress):
        def note(self, message):
            notes.append(message)

    def interrupted(self, V, with_sums):
        if self.products == 2:
            threading.Timer(0.05, os.kill, (pids[0], signal.SIGKILL)).start()
        return whole(self, V, with_sums)

    monkeypatch.setattr(DaskGram, "_product", interrupted)
    with Dask(workers=2, rank=200).opened() as solver:
        pids = list(solver.client.run(os.getpid).values())
        solver.client.run(slow_down)
        with solver.factor(K, ridge=1e-2, progress=Noting()) as factor:
            answer = factor.solve(Y)
        assert pids[0] not in solver.client.run(os.getpid).values()
    assert answer.report["workers_lost"] == 1 and any("lost 1 of 2 workers" in note for note in notes)
    assert np.linalg.norm(answer.coef - exact) <= 1e-6 * np.linalg.norm(exact)


def slow_down():
    """Make a product last long enough to be hit."""
    quick = dask_worker.rows_of
    dask_worker.rows_of = lambda *arguments: time.sleep(0.1) or quick(*arguments)


@pytest.mark.heavy
def test_another_answer_when_it_does_not_converge(cluster, tmp_path):
    K, _, Y = problem(Gaussian(3.0))
    options = {"scheduler": cluster, "rank": 0, "scratch": tmp_path}
    short = Dask(steps=5, **options)
    with pytest.raises(NotConvergedError, match="5 steps"), short.factor(K, ridge=1e-3) as factor:
        factor.solve(Y)
    with Dask(resume=True, **options).factor(K, ridge=1e-3) as factor:
        answer = factor.solve(Y)
    assert answer.report["resumed_steps"] == 5 and max(answer.report["residual_per_output"]) <= 1e-8


CLIENT = """
import sys
from kernelfit.cli import main
from kernelfit.solvers import checkpoint
if __name__ == "__main__":
    checkpoint._EVERY = 0.0
    sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.heavy
def test_a_client_that_is_killed_goes_on(cluster, client, tmp_path):
    """kill -9 once a state is there; the workers stay, and nothing of the dead client stays with them."""
    (tmp_path / "client.py").write_text(CLIENT)
    words = ["solve", "--data", "digits", "--bandwidth", "1", "--engine", "dask", "--scheduler", cluster, "--rank", "5"]
    words += ["--scratch", str(tmp_path), "--runs", str(tmp_path), "--tolerance", "1e-10", "--quiet"]
    run = subprocess.Popen([sys.executable, str(tmp_path / "client.py"), *words])
    state = tmp_path / "kernelfit-iteration" / "state.bin"
    seen: set[int] = set()  # the header makes a state one to go on with, and is written after the first of them
    deadline = time.monotonic() + 60
    while len(seen) < 3 and run.poll() is None and time.monotonic() < deadline:
        if (state.parent / "header.json").exists():
            seen.add(state.stat().st_mtime_ns)
        time.sleep(0.002)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while any(client.run(points_kept).values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(client.run(points_kept).values())
    assert main([*words, "--resume"]) == 0
    [record] = read_records(tmp_path)
    assert record.results.solver["resumed_steps"] > 0 and record.results.relative_residual <= 1e-10
    assert not state.exists()


@pytest.mark.heavy
def test_a_record_like_any_other(cluster, tmp_path, capsys):
    options = {"data": "digits", "bandwidth": 1.0, "n_train": 600, "n_test": 200}
    expected = run_solve(SolveSpec(**options, precision="float64"))[0].results
    words = ["solve", "--data", "digits", "--bandwidth", "1", "--n-train", "600", "--n-test", "200"]
    words += ["--engine", "dask", "--scheduler", cluster, "--runs", str(tmp_path), "--quiet"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "block conjugate gradients on 2 workers" in shown and "error of the norm, estimate" in shown
    [record] = read_records(tmp_path)
    assert record.results.norm == pytest.approx(expected.norm, rel=1e-6)
    assert record.results.test_error == expected.test_error and record.results.train_error == 0
    assert SolveSpec.of_command(record.command) == SolveSpec(**options, engine="dask", scheduler=cluster)


def test_options_that_do_not_apply():
    with pytest.raises(InputError, match=r"loo = True does not apply to .engine=.dask"):
        SolveSpec(engine="dask", loo=True)
    with pytest.raises(InputError, match=r"rank = 5 does not apply to .engine=.local"):
        SolveSpec(rank=5)
    with pytest.raises(InputError, match="tolerance"):
        SolveSpec(engine="dask", tolerance=2.0)


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.dask.solver._CONNECT", 0.3)
    solver = Dask(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(WorkersLostError, match="no scheduler"), solver.opened():
        pass
    with pytest.raises(WorkersLostError, match="no scheduler"):
        solver.factor(problem(Gaussian(3.0))[0])


@pytest.mark.heavy
def test_the_file_of_a_scheduler(cluster, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": cluster}))
    with Dask(scheduler=str(path)).opened() as solver:
        assert len(solver.client.nthreads()) == 2
    with pytest.raises(InputError, match="neither an address"), Dask(scheduler="missing.json").opened():
        pass


@pytest.mark.heavy
def test_a_kernel_that_fails_says_so(cluster):
    X = np.random.default_rng(0).normal(size=(5, 3))
    X[2] = 1e-150
    K = gram(X, Linear())
    K.kernel = ArcCosine(1)  # as if only the workers had found out
    solver = Dask(scheduler=cluster, rank=0)
    with pytest.raises(InputError, match="point 2 is too small"), solver.factor(K, ridge=1.0) as factor:
        factor.solve(np.ones((5, 1)))


@pytest.mark.heavy
def test_predictions_of_other_kernels_and_points_are_theirs(cluster):
    K, K_test, Y = problem(Gaussian(3.0), kind="floats")
    others = [gram(K_test.left, Gaussian(2.0), K.points), gram(K_test.left, K.kernel, K.points[:N])]
    with Dask(scheduler=cluster, rank=50).opened() as solver:
        with solver.factor(K, ridge=1e-2) as factor:
            coef = factor.solve(Y).coef
            for other in (K_test, *others):
                np.testing.assert_allclose(factor.predict(other, coef), dense(other) @ coef, rtol=0, atol=1e-9)
        np.testing.assert_allclose(factor.predict(K_test, coef), dense(K_test) @ coef, rtol=0, atol=1e-9)
        again = pickle.loads(pickle.dumps(solver))
        assert again.client is None and again == solver and copy.deepcopy(solver) is solver
    for call in (lambda: solver.factor(K, ridge=1e-2), factor.peak_memory):
        with pytest.raises(WorkersLostError, match="is closed"):
            call()


def test_a_cluster_without_workers(monkeypatch):
    monkeypatch.setattr("kernelfit.solvers.dask.gram._CALLED", 0.2)
    K, _, _ = problem(Gaussian(3.0))
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0") as none,
        distributed.Client(none, set_as_default=False) as client,
        pytest.raises(WorkersLostError, match="no worker was there"),
    ):
        dataclasses.replace(Dask(), client=client).factor(K)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 0}, "workers = 0"),
        ({"workers": "2"}, "workers = '2'"),
        ({"scheduler": 123}, "scheduler = 123"),
        ({"resume": True}, "name that folder"),
        ({"memory": -5}, "memory = -5"),
    ],
)
def test_parameters_that_are_none(wrong, said):
    with pytest.raises(InputError, match=said):
        Dask(**wrong)


def test_what_names_a_scheduler(tmp_path):
    assert dask_solver._address("localhost:8786") == "tcp://localhost:8786"
    assert dask_solver._address("tls://10.0.0.1:8786") == "tls://10.0.0.1:8786"
    (tmp_path / "empty.json").write_text("{}")
    for text in (str(tmp_path / "none.json"), str(tmp_path / "empty.json"), str(tmp_path)):
        with pytest.raises(InputError, match="neither an address"):
            dask_solver._address(text)
