"""Inner products accumulated block after block: equal to those of explicit features, whatever was killed meanwhile."""

import json
import subprocess
import sys

import numpy as np
import pytest

from kernelfit.backend import CPU, Cpu
from kernelfit.common.errors import InputError, NotEnoughDiskError, NotEnoughMemoryError, ScratchError
from kernelfit.common.progress import Progress
from kernelfit.common.scratch import ScratchFolder
from kernelfit.datasets.labels import one_hot
from kernelfit.features import accumulated as module
from kernelfit.features.accumulated import accumulate, bytes_needed
from kernelfit.features.checkpoint import Checkpoint
from kernelfit.features.random_net import BLOCK, Net
from kernelfit.features.randomconv import RandomConv
from kernelfit.grams.inner_products import InnerProducts
from kernelfit.grams.matrix import gram
from kernelfit.kernels import Cosine, Custom, Gaussian, Linear, Polynomial
from kernelfit.models.bandwidth import choose_bandwidth, median_distance

RNG = np.random.default_rng(0)
TRAIN, TEST = (RNG.integers(0, 256, (n, 12, 11, 3), np.uint8) for n in (70, 23))
SETTINGS = {"filters": 3 * BLOCK, "patch": 4, "pool": 5, "stride": 3}


SMALL = Cpu(tile=16)  # a little problem then has many panels


def explicit(net, X, mirror=False):
    """All features of images X as one float64 matrix (n, features)."""
    X = X[:, :, ::-1] if mirror else X
    filters = np.hstack([net.filters(block) for block in range(net.blocks)])
    out = np.empty((net.blocks, len(X), net.block_features), np.float32)
    net.convolution.features(net.images(X), filters, out, device=CPU)
    return out.transpose(1, 0, 2).reshape(len(X), -1).astype(np.float64)


OPTIONS = [{}, {"preset": "patch"}, {"flip": True}, {"two_sided": False}, {"preset": "rooted", "flip": True}]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def prepared(request):
    return Net.prepare(RandomConv(**SETTINGS | request.param), TRAIN)


def kernels(scale, net):
    """Return (kernel, what its entries may be off) for points whose squared norms are at most `scale`.

    A float32 sum of K products, one after another, is off by at most about u sqrt(K) of the sum of their magnitudes,
    u = 2^-24: each of K roundings is at most u, half of that in the mean, of a partial sum, and they add up like a
    random walk, so that this is four standard deviations. No BLAS sums worse. Inner products and squared norms are
    such sums, of magnitudes up to `scale`; a squared distance is off by four times as much, a cosine by twice as much.
    """
    rounding = 2.0**-24 * np.sqrt(net.block_features)
    return [
        (Linear(), rounding * scale),
        (Gaussian(np.sqrt(scale)), 2 * rounding),
        (Polynomial(2, 1 / scale), 4 * rounding),
        (Cosine(3), 6 * rounding),
        (Linear() + Gaussian(1.0), 3 * rounding * scale),
    ]


def settled(net, F, G):
    """Rows F of training and G of test images after the power and the standardisation of a net."""
    F, G = F**net.settings.root, G**net.settings.root
    if net.settings.standardise:
        mean, deviation = F.mean(axis=0), F.std(axis=0)
        F, G = ((A - mean) / np.where(deviation > 1e-6, deviation, np.inf) for A in (F, G))
    return F, G


@pytest.mark.parametrize("device", [CPU, SMALL], ids=["one tile", "many tiles"])
@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_kernels_on_accumulated_products_are_kernels_of_explicit_features(prepared, device, blocks):
    net = prepared
    train, test = accumulate(net, TRAIN, TEST, device=device, blocks=blocks)
    F, G = (explicit(net, X) for X in (TRAIN, TEST))
    if net.settings.flip:
        F, G = ((A + explicit(net, X, mirror=True)) / 2 for A, X in ((F, TRAIN), (G, TEST)))
    F, G = (A * np.sqrt(net.unit) for A in settled(net, F, G))
    assert len(train) == 70 and len(test) == 23 and train.d == F.shape[1]
    scale = max(np.square(A).sum(axis=1).max() for A in (F, G))
    for kernel, atol in kernels(scale, net):
        K, K_test = gram(train, kernel), gram(test, kernel, train)
        V = np.random.default_rng(1).standard_normal((70, 2))
        expected, beside = gram(F, kernel).block((0, 70), (0, 70)), gram(G, kernel, F).block((0, 23), (0, 70))
        for made, wanted in ((K.block((0, 70), (0, 70)), expected), (K_test.block((0, 23), (0, 70)), beside)):
            np.testing.assert_allclose(made, wanted, rtol=0, atol=atol)
        np.testing.assert_allclose(K.product(V), expected @ V, rtol=0, atol=atol * np.abs(V).sum(axis=0).max())


def test_every_tile_is_the_same_matrix_and_symmetric_to_the_last_bit():
    net = Net.prepare(RandomConv(**SETTINGS), TRAIN)
    train, test = accumulate(net, TRAIN, TEST, device=SMALL)
    G = train.products.tile((0, 93), (0, 70))
    assert np.array_equal(G[:70], G[:70].T)
    rng = np.random.default_rng(2)
    for _ in range(200):
        (i, j), (k, last) = np.sort(rng.integers(0, 94, 2)), np.sort(rng.integers(0, 71, 2))
        assert np.array_equal(train.products.tile((i, j), (k, last)), G[i:j, k:last])
    assert np.array_equal(train.part(3, 40).part(2, 9).inner_products(test.part(0, 0)), np.empty((7, 0)))
    assert np.array_equal(test.part(4, 9).inner_products(train.part(10, 50)), G[74:79, 10:50])
    assert np.array_equal(train.part(10, 50).inner_products(test.part(4, 9)), G[74:79, 10:50].T)
    rows = rng.permutation(70)[:31]
    subset = train.subset(rows)
    assert np.array_equal(subset.inner_products(subset), G[np.ix_(rows, rows)])
    assert np.array_equal(subset.sq_norms, G.diagonal()[rows])
    with pytest.raises(InputError, match="test points"):
        test.inner_products(test)


@pytest.mark.parametrize("device", [CPU, SMALL], ids=["one tile", "many tiles"])
def test_to_predict_products_across_are_enough(prepared, device, tmp_path):
    net = prepared
    train, test = accumulate(net, TRAIN, TEST, device=device, scratch=tmp_path)
    own, others = accumulate(net, TRAIN, TEST, device=device, scratch=tmp_path, across=True)
    assert own.products.entries == 70 * 23 < train.products.entries
    assert bytes_needed(net, 70, 93, device, across=True)[0] == 8 * 70 * 23
    scale = net.unit * max(train.sq_norms.max(), test.sq_norms.max())
    # Both sides round: norms are sums of squares here, and diagonals of products there.
    for kernel, atol in kernels(scale, net):
        V = np.random.default_rng(1).standard_normal((70, 2))
        whole, made = gram(test, kernel, train).product(V), gram(others, kernel, own).product(V)
        np.testing.assert_allclose(made, whole, rtol=0, atol=2 * atol * np.abs(V).sum(axis=0).max())
    G = others.inner_products(own)
    atol = 2 * kernels(scale / net.unit, net)[0][1]
    np.testing.assert_allclose(G, test.inner_products(train), rtol=0, atol=atol)
    assert np.array_equal(others.part(3, 9).inner_products(own.part(5, 60)), G[3:9, 5:60])
    assert np.array_equal(own.part(5, 60).inner_products(others.part(3, 9)), G[3:9, 5:60].T)
    empty = own.part(8, 8)
    for asked in (
        lambda: own.part(0, 5).inner_products(own),
        lambda: own.subset([1, 2]),
        lambda: own.inner_products(empty),
    ):
        with pytest.raises(InputError, match="only those with test points"):
            asked()


def test_what_needs_coordinates_says_so_and_what_needs_distances_works():
    net = Net.prepare(RandomConv(**SETTINGS), TRAIN)
    train, _ = accumulate(net, TRAIN, TEST)
    F = explicit(net, TRAIN) * np.sqrt(net.unit)
    squares = np.square(F).sum(axis=1)
    D, pairs = np.sqrt(np.maximum(squares[:, None] + squares - 2 * F @ F.T, 0)), np.triu_indices(70, 1)
    np.testing.assert_allclose(train.distances()[pairs], D[pairs], rtol=1e-4)
    assert not train.distances().diagonal().any()
    assert median_distance(train) == pytest.approx(np.median(D[pairs]), rel=1e-4)
    with pytest.raises(InputError, match="no coordinates"):
        gram(train, Custom(lambda A, B: A @ B.T))
    with pytest.raises(InputError, match="another kind"):
        gram(train, Linear(), np.ones((5, 4))).block((0, 1), (0, 1))
    Y = one_hot(np.arange(70) % 3, 3)
    a, b = (choose_bandwidth(X, Y, Gaussian(), score="error") for X in (train, F))
    assert a.bandwidth == pytest.approx(b.bandwidth, rel=1e-4)
    assert [c["loo_error"] for c in a.candidates] == [c["loo_error"] for c in b.candidates]
    assert (
        train.fingerprint()
        != accumulate(Net.prepare(RandomConv(**SETTINGS), TRAIN, seed=1), TRAIN, TEST)[0].fingerprint()
    )


def bits(points):
    return [panel.tobytes() for panel in points.products.panels], points.products.sq_norms.tobytes()


@pytest.fixture
def net():
    return Net.prepare(RandomConv(**SETTINGS), TRAIN)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("when", range(1, 16))
def test_stopped_at_any_write_it_goes_on_to_the_same_bits(net, tmp_path, monkeypatch, when):
    """Every save replaces six files; the run is stopped in the middle of one of them, and once more on the way."""
    monkeypatch.setattr(module, "_SAVE_EVERY", -1.0)
    expected = bits(accumulate(net, TRAIN, TEST, device=SMALL, blocks=1)[0])
    whole, calls = ScratchFolder.put, []

    def killed(self, name, *content):
        calls.append(name)
        if len(calls) == when:
            raise Killed
        whole(self, name, *content)

    for _ in range(2):
        calls.clear()
        monkeypatch.setattr(ScratchFolder, "put", killed)
        with pytest.raises(Killed):
            accumulate(net, TRAIN, TEST, device=SMALL, blocks=1, scratch=tmp_path)
        monkeypatch.setattr(ScratchFolder, "put", whole)
        if when > 6:
            break  # the second may have fewer to write
    again = accumulate(net, TRAIN, TEST, device=SMALL, blocks=1, scratch=tmp_path)
    assert bits(again[0]) == expected


def test_a_run_goes_on_with_the_blocks_it_began_with(net, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SAVE_EVERY", -1.0)
    made = net.filters
    monkeypatch.setattr(net, "filters", lambda block: made(block) if block < 2 else 1 / 0, raising=False)
    with pytest.raises(ZeroDivisionError):
        accumulate(net, TRAIN, TEST, blocks=1, scratch=tmp_path)
    monkeypatch.setattr(net, "filters", made)
    again = accumulate(net, TRAIN, TEST, scratch=tmp_path)
    assert bits(again[0]) == bits(accumulate(net, TRAIN, TEST, blocks=1)[0])
    assert len(list(tmp_path.iterdir())) == 1


def test_finished_products_are_read_and_not_made_again(net, tmp_path, monkeypatch):
    first = accumulate(net, TRAIN, TEST, scratch=tmp_path)
    monkeypatch.setattr(Net, "filters", None)
    assert bits(accumulate(net, TRAIN, TEST, scratch=tmp_path)[0]) == bits(first[0])
    monkeypatch.undo()
    other = accumulate(net, TRAIN[::-1], TEST, scratch=tmp_path)
    assert bits(other[0]) != bits(first[0])
    assert len(list(tmp_path.iterdir())) == 2  # other images are another folder


@pytest.mark.heavy
def test_sigkill_and_the_same_bits(tmp_path):
    """A process of its own is killed with SIGKILL in the middle, and another goes on."""
    program = (
        "import os, signal, sys\n"
        "from tests.features.test_accumulated import *\n"
        "module._SAVE_EVERY = -1.0\n"
        "net = Net.prepare(RandomConv(**SETTINGS), TRAIN)\n"
        "made = net.filters\n"
        "die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "net.filters = lambda block: die() if block == int(sys.argv[2]) else made(block)\n"
        "accumulate(net, TRAIN, TEST, blocks=1, scratch=sys.argv[1])\n"
    )
    for block in (1, 2):
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(block)], capture_output=True)
        assert done.returncode == -9
    net, notes = Net.prepare(RandomConv(**SETTINGS), TRAIN), []

    class Notes(Progress):
        def note(self, message):
            notes.append(message)

    again = accumulate(net, TRAIN, TEST, blocks=1, scratch=tmp_path, progress=Notes())
    assert bits(again[0]) == bits(accumulate(net, TRAIN, TEST, blocks=1)[0])
    assert len(notes) == 1 and "2 blocks" in notes[0]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b[:40] + b"?" + b[41:], lambda b: b""]
)
def test_damaged_files_are_refused(net, tmp_path, damage):
    accumulate(net, TRAIN, TEST, scratch=tmp_path)
    path = next(tmp_path.glob("*/panel-00000.bin"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ScratchError, match="panel-00000"):
        accumulate(net, TRAIN, TEST, scratch=tmp_path)


def test_a_full_disk_and_too_little_memory_are_named(net, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kernelfit.common.files.os.fsync", full)
    with pytest.raises(NotEnoughDiskError, match="Free space"):
        accumulate(net, TRAIN, TEST, scratch=tmp_path)
    monkeypatch.undo()
    with monkeypatch.context() as patch, pytest.raises(NotEnoughDiskError, match=r"inner products.*another `scratch`"):
        patch.setattr("kernelfit.common.scratch._allocate", lambda file, size: full(file))
        accumulate(net, TRAIN, TEST, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == [], "noticed before the work"
    accumulate(net, TRAIN, TEST, scratch=tmp_path)
    with pytest.raises(NotEnoughMemoryError, match="inner products"):
        accumulate(net, TRAIN, TEST, memory=10_000)


def test_two_runs_do_not_share_a_folder(net, tmp_path):
    identity = {"a": 1}
    other = Checkpoint.open(tmp_path, identity, CPU)
    with Checkpoint.open(tmp_path, identity, CPU), pytest.raises(ScratchError, match="in use"), other:
        pass


def test_the_bytes_foreseen_are_the_bytes_held(net):
    device = SMALL
    products = InnerProducts(70, 93, device=device)
    assert bytes_needed(net, 70, 93, device)[0] == sum(panel.nbytes for panel in products.panels)
    train, test = accumulate(net, TRAIN, TEST)
    assert train.products is test.products and not train.has_coordinates and not RandomConv().has_coordinates
    assert train.product_dtype == np.float64 and train.d == net.features
    assert json.dumps(net.identity())
