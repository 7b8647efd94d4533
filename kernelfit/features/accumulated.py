"""Inner products of features that are too many to hold: accumulated block after block into half a matrix.

A block of features of all images is made, its inner products are added tile by tile, and it is forgotten. Products of
at most a few thousand features are summed in float32 by GEMM, and these sums in float64.
"""

import dataclasses
import time

import numpy as np

from kernelfit import backend
from kernelfit.errors import InputError, NotEnoughMemoryError
from kernelfit.features.checkpoint import Checkpoint
from kernelfit.files import sha256
from kernelfit.points import Points
from kernelfit.progress import Progress
from kernelfit.units import format_bytes

_BLOCKS = 8  # of filters made at a time, where memory allows: few, wide matrix products
_SAVE_EVERY = 600.0  # seconds


class InnerProducts:
    """G[i, j] = <f(x_i), f(x_j)> in float64 for images i = 0..total - 1 and j = 0..n - 1, of which half is held.

    The first n images are the training images. Panel p holds the columns of a span from the diagonal down, row-major,
    on the device; what is above the diagonal is read from below it.

    Attributes
    ----------
    n, total : int
    panels : list of float64 arrays, shape (total - start, stop - start)
    sq_norms : float64 array, shape (total,)
    """

    def __init__(self, n, total, *, device=backend.CPU, panels=None, sq_norms=None):
        self.n, self.total, self.device = n, total, device
        width = n if panels is not None else device.tile
        self.bounds = [(start, min(start + width, n)) for start in range(0, n, width)]
        if panels is None:
            # Touched here and not tile by tile, so that memory runs out now or never.
            panels = [device.touched((total - start, stop - start)) for start, stop in self.bounds]
            for panel in panels:
                panel[...] = 0.0
            sq_norms = device.xp.zeros(total)
        self.panels, self.sq_norms = panels, sq_norms

    @staticmethod
    def bytes_needed(n, total, device):
        """Return the bytes of the panels."""
        return sum(8 * (total - start) * min(device.tile, n - start) for start in range(0, n, device.tile))

    def add(self, features, skip, advance):
        """Add the inner products of features (blocks, total, width), float32, to panel p without its first skip[p]."""
        device = self.device
        step = device.tile
        jobs = []
        for p, (start, _) in enumerate(self.bounds):
            jobs += [(p, row, min(row + step, self.total)) for row in range(start, self.total, step)]

        def run(job):
            p, row, last = job
            start, stop = self.bounds[p]
            tile = device.empty((last - row, stop - start), np.float32)
            target = self.panels[p][row - start : last - start]
            for block in features[skip[p] :]:
                device.gemm(block[row:last], block[start:stop], tile, transpose_b=True)
                target += tile

        for k in range(0, len(jobs), 64):
            device.map(run, jobs[k : k + 64])
            advance(sum((last - row) * (self.bounds[p][1] - self.bounds[p][0]) for p, row, last in jobs[k : k + 64]))

    def add_norms(self, features):
        """Add the squared norms of features (blocks, total, width)."""
        for block in features:
            for row in range(0, self.total, self.device.tile):
                part = block[row : row + self.device.tile]
                self.sq_norms[row : row + len(part)] += (part * part).sum(axis=1, dtype=np.float64)

    def complete(self):
        """Make diagonal tiles symmetric to the last bit, and norms of training images those of the diagonal."""
        xp = self.device.xp
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            top = panel[: stop - start]
            top[...] = xp.tril(top) + xp.tril(top, -1).T
            self.sq_norms[start:stop] = top.diagonal()

    def tile(self, rows, columns):
        """Return G[rows, columns], both (start, stop): a view where it lies in one piece."""
        (i, j), (k, last) = rows, columns
        if last > self.n and not (j <= self.n and i >= last):
            raise InputError("inner products of test points with each other are not kept")
        pieces = [(p, *span) for p, span in enumerate(self.bounds) if span[0] < last and span[1] > k]
        if len(pieces) == 1 and i >= pieces[0][1]:
            p, start, _ = pieces[0]
            return self.panels[p][i - start : j - start, k - start : last - start]
        out = self.device.empty((j - i, last - k))
        for p, start, stop in pieces:
            first, end = max(k, start), min(last, stop)
            below = max(i, start)  # rows from here on lie in the panel
            if below < j:
                piece = self.panels[p][below - start : j - start, first - start : end - start]
                out[below - i :, first - k : end - k] = piece
            if i < below:
                out[: min(below, j) - i, first - k : end - k] = self.tile((first, end), (i, min(below, j))).T
        return out

    def submatrix(self, rows):
        """Return G[rows, rows] for distinct training indices, on the device."""
        xp, rows = self.device.xp, np.asarray(rows)
        out = self.device.empty((len(rows), len(rows)))
        for (start, stop), panel in zip(self.bounds, self.panels, strict=True):
            inside, below = np.flatnonzero((rows >= start) & (rows < stop)), np.flatnonzero(rows >= start)
            if len(inside):
                where = self.device.array(rows[below] - start)[:, None], self.device.array(rows[inside] - start)[None]
                piece = panel[where]
                a, b = self.device.array(below), self.device.array(inside)
                out[a[:, None], b[None]] = piece
                out[b[:, None], a[None]] = xp.ascontiguousarray(piece.T)
        return out


@dataclasses.dataclass(frozen=True)
class AccumulatedPoints(Points):
    """Consecutive images of InnerProducts, as points of a kernel.

    Attributes
    ----------
    products : InnerProducts
    start, stop : int
    unit : float
    d : int
        Number of features.
    """

    products: InnerProducts
    start: int
    stop: int
    unit: float
    d: int

    @property
    def origin(self):
        return self.products

    @property
    def device(self):
        return self.products.device

    @property
    def sq_norms(self):
        return self.products.sq_norms[self.start : self.stop]

    @property
    def unshift(self):
        return self.device.xp.zeros(len(self))

    def __len__(self):
        return self.stop - self.start

    def part(self, start, stop):
        return dataclasses.replace(self, start=self.start + start, stop=self.start + stop)

    def subset(self, rows):
        rows = np.asarray(rows)
        norms = self.sq_norms[self.device.array(rows)]
        G = self.products.submatrix(rows + self.start)
        products = InnerProducts(len(rows), len(rows), device=self.device, panels=[G], sq_norms=norms)
        return AccumulatedPoints(products, 0, len(rows), self.unit, self.d)

    def inner_products(self, other):
        if not isinstance(other, AccumulatedPoints) or other.products is not self.products:
            raise InputError("accumulated features meet points of another kind; only those of one run can be combined")
        return self.products.tile((self.start, self.stop), (other.start, other.stop))

    def coordinates(self):
        raise InputError(
            "features that are accumulated have inner products, but no coordinates: a kernel of your own cannot be "
            "used on them"
        )

    def distances(self):
        G, norms = self.device.host(self.inner_products(self)), self.device.host(self.sq_norms)
        squares = norms[:, None] + norms[None] - 2 * G
        return np.sqrt(np.maximum(squares[np.triu_indices(len(self), 1)], 0.0) * self.unit)

    def fingerprint(self):
        host = self.device.host
        parts = [sha256(np.ascontiguousarray(host(panel))) for panel in self.products.panels]
        return sha256(repr((parts, sha256(host(self.sq_norms)), self.start, self.stop, self.unit)).encode())


def accumulate(net, X_train, X_test, *, device=backend.CPU, scratch=None, memory=None, blocks=None, progress=None):
    """Return (training points, test points) of the features of a net, as AccumulatedPoints.

    Parameters
    ----------
    net : Net
        See kernelfit.features.randomconv.
    X_train, X_test : array, shape (n, height, width) or (n, height, width, channels)
    scratch : path, optional
        Folder that keeps the inner products: what is there of the same net and images is gone on with, to the same
        bits, after a kill at any moment.
    memory : int, optional
        Use at most this many bytes.
    blocks : int, optional
        Blocks of filters made at a time, on which the last bits may depend; unless given, those of an unfinished run
        in `scratch`, or as many as memory allows, up to 8.

    Raises
    ------
    NotEnoughMemoryError, ScratchError, NotEnoughDiskError
    """
    progress = progress or Progress()
    n, total = len(X_train), len(X_train) + len(X_test)
    identity = _identity(net, X_train, X_test, device)
    choices = [blocks] if blocks else [_BLOCKS >> k for k in range(_BLOCKS.bit_length())]
    begun = [count for count in choices if Checkpoint.exists(scratch, identity | {"blocks": count})]
    blocks = _fitting_blocks(begun[:1] or choices, net, n, total, device, memory)
    products = InnerProducts(n, total, device=device)
    arrays = [*products.panels, products.sq_norms]
    with Checkpoint.open(scratch, identity | {"blocks": blocks}, device, progress=progress) as kept:
        done = kept.load(arrays)  # blocks that each array holds; they differ after a kill while saving
        if min(done) < net.blocks:
            _add_blocks(net, (X_train, X_test), products, done, blocks, kept, progress)
            kept.save(arrays, done)
    products.complete()
    train, test = ((0, n), (n, total))
    return tuple(AccumulatedPoints(products, *span, net.unit, net.features) for span in (train, test))


def _add_blocks(net, sets, products, done, blocks, kept, progress):
    """Add all blocks that are missing; done[p] counts those that array p holds."""
    device, total = products.device, products.total
    mirrors = (False, True) if net.settings.flip else (False,)
    images = [_images(net, sets, mirror, device) for mirror in mirrors]
    buffer = device.empty((blocks, total, net.block_features), np.float32)
    entries = sum((total - start) * (stop - start) for start, stop in products.bounds)
    convolve = net.convolution.operations(total * len(mirrors), net.block)  # of one block, as all totals here
    multiply = 2 * net.block_features * entries
    arrays, saved = [*products.panels, products.sq_norms], time.monotonic()
    with progress.phase("features", (net.blocks - min(done)) * (convolve + multiply)) as advance:
        while (start := min(done)) < net.blocks:
            stop = min(start + blocks, net.blocks)
            count, features = stop - start, buffer[: stop - start]
            filters = device.array(np.hstack([net.filters(block) for block in range(start, stop)]))
            _features(
                net, images, filters, features, device, lambda m, count=count: advance(count * convolve * m / total)
            )
            skip = [min(held - start, count) for held in done]  # blocks that an array has from before a kill
            products.add(features, skip[:-1], lambda e, count=count: advance(count * multiply * e / entries))
            products.add_norms(features[skip[-1] :])
            done[:] = [max(held, stop) for held in done]
            if time.monotonic() - saved > _SAVE_EVERY and stop < net.blocks:
                kept.save(arrays, done)
                saved = time.monotonic()


def _features(net, images, filters, out, device, advance):
    """Write features of all images into out; with mirrored images too, the mean of both."""
    if len(images) == 1:
        net.convolution.features(images[0], filters, out, device=device, progress=advance)
        return
    step = 1024
    mirrored = device.empty((len(out), step, out.shape[2]), np.float32)
    for start in range(0, out.shape[1], step):
        part = out[:, start : start + step]
        m = part.shape[1]
        net.convolution.features(images[0][start : start + m], filters, part, device=device)
        net.convolution.features(images[1][start : start + m], filters, mirrored[:, :m], device=device)
        part += mirrored[:, :m]
        part *= np.float32(0.5)
        advance(m)


def _images(net, sets, mirror, device):
    """Return all images, training before test, ready to be convolved, on the device."""
    return device.array(np.concatenate([net.images(X[:, :, ::-1] if mirror else X) for X in sets]))


def _identity(net, X_train, X_test, device):
    environment = backend.describe()
    images = [sha256(np.ascontiguousarray(X)) for X in (X_train, X_test)]
    return net.identity() | {
        "images": images,
        "n": len(X_train),
        "total": len(X_train) + len(X_test),
        # What rounding depends on.
        "arithmetic": [device.name, device.tile, *environment["blas"], environment["threads"]],
    }


def bytes_needed(net, n, total, device=backend.CPU, blocks=_BLOCKS):
    """Return (bytes that stay: the inner products, bytes that are needed beside them while they are accumulated)."""
    copies = 2 if net.settings.flip else 1
    images = 4 * total * int(np.prod(net.image)) * (copies + 1)  # one more while they are prepared
    features = 4 * net.block_features * min(blocks, net.blocks) * (total + 1024 * (copies - 1))
    return InnerProducts.bytes_needed(n, total, device), images + features + device.fixed_bytes


def _fitting_blocks(choices, net, n, total, device, memory):
    """Return the first of the choices that fits in memory; raises NotEnoughMemoryError if not even the last does."""
    free = min(device.free_memory(), memory or device.free_memory())
    for blocks in choices:
        stays, beside = bytes_needed(net, n, total, device, blocks)
        if stays + beside <= free:
            return blocks
    raise NotEnoughMemoryError(
        f"the inner products of {n:,} training and {total - n:,} test images take {format_bytes(stays)}, and {blocks} "
        f"blocks of their features {format_bytes(beside)} more; {format_bytes(free)} are free. Use fewer images "
        "(--n-train, --n-test), or a machine with more memory"
    )
