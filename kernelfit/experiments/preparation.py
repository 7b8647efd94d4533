"""What comes before every solve: data, corruption, points, kernel, bandwidth, and Gram matrices."""

import dataclasses

import numpy as np

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.corruption import Corruption, corrupt, label_probability
from kernelfit.datasets import Dataset
from kernelfit.datasets.augmentation import Augmented, augment
from kernelfit.datasets.labels import one_hot
from kernelfit.datasets.pixels import pixels_in_doubt
from kernelfit.features import Features, ImageMap, Pixels, parse_features
from kernelfit.grams.duplicates import Duplicates, merge_duplicates
from kernelfit.grams.matrix import Gram, gram
from kernelfit.grams.matrix_points import MatrixPoints
from kernelfit.kernels import Kernel
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.bandwidth import BandwidthChoice, choose_bandwidth
from kernelfit.models.expansion import KernelExpansion
from kernelfit.models.fit import solve_first
from kernelfit.records.record import DatasetUsed, make_record
from kernelfit.solvers.auto import Auto
from kernelfit.solvers.planning.problem import Problem


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A problem that is ready to be solved.

    Attributes
    ----------
    data : Dataset
    changed : Corruption
    duplicates : Duplicates
        Among the training images as they were after corruption; with a ridge none are merged.
    training : Augmented
        Images and labels to train on: the distinct ones of `changed`, and copies if asked for. Its groups say which
        image of `data` each row is.
    features : Features
    X_train, X_test : arrays, or Points
        What the features made of the images.
    kernel : Kernel
        As asked for; its bandwidth may be open.
    choice : BandwidthChoice or None
    K, K_test : Gram
        Of the training points, and of the test points against them.
    merged, left_in : int
        Training images that equal an earlier one, and are left out, or not, as with a ridge.
    """

    data: Dataset
    changed: Corruption
    duplicates: Duplicates
    training: Augmented
    features: Features
    X_train: object
    X_test: object
    kernel: Kernel
    choice: BandwidthChoice | None
    K: Gram
    K_test: Gram
    merged: int
    left_in: int
    passed: list[str] = dataclasses.field(default_factory=list)

    @property
    def d(self):
        """Features of an image, or pixels; rows of a precomputed kernel."""
        return self.K.points.d or self.K.shape[1]

    @property
    def rows(self):
        """Which example of the whole training split each row to train on is, or is a copy of."""
        return self.data.rows_train[self.training.groups]

    @property
    def true_labels(self):
        """The labels in `data` of the rows to train on, before any corruption."""
        return self.data.y_train[self.training.groups]

    def function(self, spec, coef):
        """Return the KernelExpansion with these coefficients."""
        points = self.training.X
        if self.kernel.of_matrix:  # its function is one of cross matrices of all points
            n = len(self.data.y_train)
            points, coef, own = MatrixPoints.of_number(n), np.zeros((n, coef.shape[1])), coef
            coef[self.training.groups] = own
        about = self.data.classes, spec.ridge, spec.pixels, self.features, spec.seed
        return KernelExpansion(self.K.kernel, points, coef, *about)


def prepare(spec, solver, *, label_sets=1, choose=None, watch, progress):
    """Return the Prepared problem of a SolveSpec that `solver` is to solve for `label_sets` sets of labels at once.

    `choose` takes the place of choose_bandwidth, whether the bandwidth is open or not: choose(X, Y, kernel,
    subsample=..., seed=..., progress=...) returns what has its bandwidth, bandwidths, n, candidates and doubts.
    Phases "load", "features", "bandwidth" and "gram" are added to the Stopwatch `watch`.
    """
    kernel, features = _kernel(spec, choose), parse_features(spec.features)
    label_probability(spec.labels)  # a mistyped option should not cost a download first
    if spec.engine != "local":
        _refuse_what_cannot_travel(kernel, features, spec)
    with watch("load"):
        data, changed, duplicates = _load(spec, kernel, features, progress)
        training = _training(changed, duplicates, spec)
    if training.left_out:
        progress.note(f"{training.left_out:,} training images equal another one with its label, and are left out")
    device = backend.device(solver.device)
    X_train, X_test = training.X, changed.X_test
    if kernel.of_matrix:
        X_test = X_test[:, training.groups]
    _require_memory(spec, solver, kernel, features, X_train, X_test, device, len(data.classes) * label_sets)
    if not isinstance(features, Pixels):
        options = {"seed": spec.seed, "device": device, "scratch": spec.scratch, "memory": spec.memory}
        with watch("features"):
            X_train, X_test = features.points(X_train, X_test, progress=progress, **options)
    choice, own = None, kernel
    if choose is not None:
        with watch("choice"):
            options = {"subsample": spec.bandwidth_points, "seed": spec.seed, "progress": progress}
            choice = choose(X_train, one_hot(training.y, len(data.classes)), kernel, **options)
    elif kernel.open_bandwidth:
        with watch("bandwidth"):
            originals = len(np.unique(training.groups))  # they come first; a copy would tell its original's label
            choice = choose_bandwidth(
                X_train[:originals],
                one_hot(training.y[:originals], len(data.classes)),
                kernel,
                score="error",
                ridge=spec.ridge,
                subsample=spec.bandwidth_points,
                seed=spec.seed,
                progress=progress,
            )
    if kernel.open_bandwidth:
        own = kernel.with_bandwidth(choice.bandwidth)
        progress.note(f"bandwidth {choice.bandwidth:.4g} by leave-one-out on {choice.n:,} training points")
    with watch("gram"):
        K = gram(X_train, own, device=device)
        K_test = _test_gram(X_test, own, K)
    equal = (duplicates.merged, 0) if spec.ridge == 0 else (0, duplicates.merged)
    return Prepared(data, changed, duplicates, training, features, X_train, X_test, kernel, choice, K, K_test, *equal)


def solved(ready, Y, solver, *, ridge, watch, progress):
    """Return (Prepared, Factor, Solution) of a Prepared problem for targets Y (n, r); the factor is to be closed.

    A bandwidth that was chosen on a part of the points is checked on all, and others take its place where it fails.
    """
    sizes = {"outputs": Y.shape[1], "n_test": ready.K_test.shape[0]}
    solver = dataclasses.replace(solver, **{name: size for name, size in sizes.items() if hasattr(solver, name)})
    options = {"others": _other_kernels(ready), "ridge": ridge, "progress": progress}
    K, factor, solution, passed = solve_first(ready.K, Y, solver, **options)
    watch.add(factor.seconds)
    watch.add(solution.seconds)
    ready = ready if K is ready.K else with_kernel(ready, K.kernel, progress, K=K)
    return dataclasses.replace(ready, passed=passed), factor, solution


def kernels_of(ready):
    """Return the kernel of a Prepared problem, and those that take its place where its system cannot be solved."""
    return [ready.K.kernel, *_other_kernels(ready)]


def _other_kernels(ready):
    return [] if not ready.kernel.open_bandwidth else [*map(ready.kernel.with_bandwidth, ready.choice.bandwidths[1:])]


def with_kernel(ready, kernel, progress, K=None):
    """Return the Prepared problem with another kernel on the same points."""
    progress.note(f"the bandwidth before cannot be solved to 8 digits on all points; going on with {kernel}")
    K = gram(ready.K.points, kernel) if K is None else K
    return dataclasses.replace(ready, K=K, K_test=_test_gram(ready.X_test, kernel, K))


def doubts_of(ready, *, loo):
    """Return what a reader must know of the data and the bandwidth of a Prepared problem, a list of sentences.

    `loo` says whether its results hold leave-one-out.
    """
    found = []
    if pixels := pixels_in_doubt(ready.changed.X_train):
        found.append(f"{pixels}. Store the array as float to have the numbers as they are")
    if ready.merged:
        found.append(
            f"{ready.merged:,} training images equal an earlier one with its label, and are left out: numbers are of "
            f"the other {len(ready.duplicates.support):,}"
        )
    if ready.left_in and (loo or ready.choice):
        found.append(
            f"{ready.left_in:,} training images equal an earlier one; leave-one-out leaves their copies in, so that it "
            "has too few errors, and what is chosen by it fits too closely. Remove them"
        )
    found += ready.features.doubts(ready.changed.X_train)
    return found + (ready.choice.doubts if ready.choice else []) + ready.passed


def recorded(spec, results, ready, watch, *, kind, launcher="", **more):
    """Return the Record of a run on a Prepared problem that ends now; `more` are warnings and peak_bytes."""
    return make_record(
        spec,
        results,
        kind=kind,
        command=launcher + spec.command(),
        dataset=DatasetUsed.of(ready.data, spec.data),
        environment=ready.K.device.describe(),
        seconds=watch.seconds | {"total": watch.total()},
        **more,
    )


def corruption_of(changed, data):
    """Return what a record says of a Corruption of a Dataset."""
    return {
        "labels": changed.labels,
        "pixels": changed.pixels,
        "seed": changed.seed,
        "labels_replaced": int(changed.replaced.sum()),
        "labels_changed": int(np.sum(changed.y_train != data.y_train)),
        "sha256": changed.sha256,
    }


def _load(spec, kernel, features, progress):
    """Return the Dataset, its Corruption, fit to be solved, and the Duplicates among the images."""
    data = spec.load(progress)
    _check_precomputed(kernel, features, data, spec)
    changed = corrupt(
        data.X_train,
        data.y_train,
        data.X_test,
        n_classes=len(data.classes),
        labels=spec.labels,
        pixels=spec.pixels,
        seed=spec.seed,
    )
    duplicates = merge_duplicates(changed.X_train, changed.y_train, pairwise=kernel.of_matrix)
    duplicates = dataclasses.replace(duplicates, numbers=data.rows_train)
    if spec.ridge == 0:
        duplicates.require_equal_targets(data.classes)
    return data, changed, duplicates


def _training(changed, duplicates, spec):
    """Return the Augmented images to train on, without a ridge those that equal no earlier one.

    With one a repeated image weighs more, and merging would change the problem.
    """
    if spec.ridge != 0 or not duplicates.merged:
        return augment(changed.X_train, changed.y_train, spec.augment)
    rows = duplicates.support
    made = augment(duplicates.distinct(changed.X_train), changed.y_train[rows], spec.augment)
    return dataclasses.replace(made, groups=rows[made.groups], left_out=made.left_out + duplicates.merged)


def _require_memory(spec, solver, kernel, features, X_train, X_test, device, outputs):
    """Raise NotEnoughMemoryError if a solve of this size cannot fit, before anything else is computed."""
    kept = features.bytes_kept(X_train, X_test, device)  # of the memory that may be used, before the solve
    if kept and isinstance(solver, Auto):
        free = min(device.free_memory(), spec.memory or device.free_memory())
        solver = dataclasses.replace(solver, memory=max(1, free - kept))
    solver.require(Problem.of_points(X_train, kernel, outputs, n_test=len(X_test), loo=spec.loo))


def _test_gram(X_test, kernel, K):
    """Return the Gram of the test points against the training points, having looked at each test point once."""
    try:
        K_test = gram(X_test, kernel, K.points)
        K_test.block((0, len(X_test)), (0, 1))
    except InputError as error:
        raise InputError(f"test set: {error}") from error
    return K_test


def _kernel(spec, choose):
    kernel = parse_kernel(spec.kernel)
    if spec.bandwidth != "auto":
        if not kernel.open_bandwidth:
            raise InputError(f"bandwidth {spec.bandwidth} was given, but the kernel {kernel} has no open bandwidth")
        kernel = kernel.with_bandwidth(spec.bandwidth)
    if choose is None and not kernel.open_bandwidth and spec.bandwidth_points != type(spec).bandwidth_points:
        raise InputError(
            f"`bandwidth_points` = {spec.bandwidth_points} are for choosing a bandwidth, and there is none to choose "
            f"for {kernel}; leave them out"
        )
    return kernel


def _refuse_what_cannot_travel(kernel, features, spec):
    """Other processes make Gram entries from points, so there must be points."""
    if kernel.of_matrix or not isinstance(features, Pixels | ImageMap):
        none = "a precomputed kernel has none" if kernel.of_matrix else f"{features} keeps their inner products instead"
        raise InputError(
            f'`engine="{spec.engine}"` makes the entries of K in every process from the points; {none}. Use '
            '`engine="local"`, or other features'
        )


def _check_precomputed(kernel, features, data, spec):
    if kernel.of_matrix and not isinstance(features, Pixels):
        raise InputError("a precomputed kernel has no images to make features of; leave out `features`")
    if kernel.of_matrix and (spec.n_train or spec.n_test or spec.pixels != "true"):
        raise InputError(
            "a precomputed kernel has no points to cut to a subset or to corrupt; pass the matrix you mean"
        )
    n, shape = len(data.X_train), data.X_train.shape
    if kernel.of_matrix and (data.X_train.dtype == np.uint8 or shape != (n, n)):
        raise InputError(
            f"{data.name} holds training points {data.X_train.dtype} {shape}; with a precomputed kernel they are a "
            f"floating-point matrix K (n, n), and test points one (m, n)"
        )
