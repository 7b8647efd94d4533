"""What comes before every solve: data, corruption, kernel, bandwidth, Gram matrices, and the way to solve."""

import dataclasses

import numpy as np

from kernelfit import backend, datasets
from kernelfit.common.errors import InputError, SingularMatrixError
from kernelfit.corruption import Corruption, corrupt, label_probability
from kernelfit.datasets import Dataset
from kernelfit.datasets.augmentation import Augmented, augment
from kernelfit.datasets.pixels import pixels_in_doubt
from kernelfit.features import Features, ImageMap, Pixels, parse_features
from kernelfit.gram.matrix import Gram, gram
from kernelfit.gram.points import CoordinatePoints, Points, first_duplicate
from kernelfit.kernels import Kernel, Precomputed
from kernelfit.kernels.text import parse_kernel
from kernelfit.models.bandwidth import BandwidthChoice, choose_bandwidth
from kernelfit.solvers.planning.forecast import forecast
from kernelfit.solvers.planning.plan import Plan, Problem, Way, plan_solve
from kernelfit.solvers.scratch import unfinished

_FORECAST_PAYS = 5.0  # seconds of a solve; a forecast takes one


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A problem that is ready to be solved.

    Attributes
    ----------
    data : Dataset
    changed : Corruption
    training : Augmented
        Images and labels to train on: those of `changed`, and copies if asked for.
    features : Features
    X_train, X_test : arrays, or Points
        What the features made of the images.
    d : int
        Features of an image, or pixels.
    kernel : Kernel
        With its bandwidth.
    choice : BandwidthChoice or None
    K, K_test : Gram
        Of the training points, and of the test points against them.
    plan : Plan or None
    way : Way or None
    reason : str
        Why this precision.
    """

    data: Dataset
    changed: Corruption
    training: Augmented
    features: Features
    X_train: object
    X_test: object
    d: int
    kernel: Kernel
    choice: BandwidthChoice | None
    K: Gram
    K_test: Gram
    plan: Plan | None
    way: Way | None
    reason: str


def prepare(spec, *, label_sets=1, planned=True, watch, progress):
    """Return the Prepared problem of a SolveSpec that is to be solved for `label_sets` sets of labels at once.

    With planned=False there is no plan, and no way to solve it in this process alone: points are on the CPU.
    Phases "load", "features", "bandwidth", "gram" and "forecast" are added to the Stopwatch `watch`.
    """
    kernel, features = _kernel(spec), parse_features(spec.features)
    label_probability(spec.labels)  # a mistyped option should not cost a download first
    if not planned:
        _refuse_what_cannot_travel(kernel, features, spec)
    with watch("load"):
        data, changed = _load(spec, kernel, features, progress)
        training = augment(changed.X_train, changed.y_train, spec.augment)
    if training.left_out:
        progress.note(f"{training.left_out:,} copies of training images equal another image, and are left out")
    k = len(data.classes)
    device = backend.device(spec.device) if planned else backend.CPU
    outputs = k * label_sets
    X_train, X_test = training.X, changed.X_test
    kept = features.bytes_kept(X_train, X_test, device)  # of the memory that may be used, before the solve
    limit = None if spec.memory is None else max(1, spec.memory - kept)
    before = max(1, min(device.free_memory() - kept, limit or device.free_memory())) if kept else limit
    plan = _plan(spec, kernel, X_train, X_test, outputs, device, memory=before) if planned else None
    if planned and plan.chosen is None:
        plan.require()  # raises, before anything else is computed
    if not isinstance(features, Pixels):
        with watch("features"):
            X_train, X_test = features.points(
                X_train,
                X_test,
                seed=spec.seed,
                device=device,
                scratch=spec.scratch,
                memory=spec.memory,
                progress=progress,
            )
        if planned:
            plan = _plan(spec, kernel, X_train, X_test, outputs, device, memory=limit, rates=plan.rates)
    choice = None
    if kernel.open_bandwidth:
        with watch("bandwidth"):
            originals = len(changed.y_train)  # they come first; a copy would tell what its original's label is
            choice = choose_bandwidth(
                X_train.part(0, originals) if isinstance(X_train, Points) else X_train[:originals],
                changed.y_train,
                kernel,
                n_classes=k,
                ridge=spec.ridge,
                subsample=spec.bandwidth_points,
                seed=spec.seed,
                progress=progress,
            )
        kernel = kernel.with_bandwidth(choice.bandwidth)
        progress.note(f"bandwidth {choice.bandwidth:.4g} by leave-one-out on {choice.n:,} training points")

    with watch("gram"):
        K = gram(X_train, kernel, device=device)
        K_test = _test_gram(X_test, kernel, K)
    way, reason = None, ""
    if planned:
        reason = _reason(spec, plan)
    if planned and _worth_a_forecast(spec, plan):
        with watch("forecast"):
            expected = forecast(K, ridge=spec.ridge, seed=spec.seed)
            known = {"memory": limit, "rates": plan.rates, "steps": expected.steps}
            plan = _plan(spec, kernel, X_train, X_test, outputs, device, **known)
        reason = expected.reason
        progress.note(reason)
    if planned:
        way = plan.require()
        progress.note(str(plan))
    d = K.shape[1] if isinstance(kernel, Precomputed) else K.points.d
    return Prepared(data, changed, training, features, X_train, X_test, d, kernel, choice, K, K_test, plan, way, reason)


def doubts_of(ready):
    """Return what a reader must know of the data and the bandwidth of a Prepared problem, a list of sentences."""
    found = pixels_in_doubt(ready.changed.X_train)
    pixels = [f"{found}. Store the array as float to have the numbers as they are"] if found else []
    return pixels + (ready.choice.doubts if ready.choice else [])


def _load(spec, kernel, features, progress):
    """Return the Dataset and its Corruption, fit to be solved."""
    data = datasets.load(
        spec.data, n_train=spec.n_train, n_test=spec.n_test, seed=spec.seed, data_dir=spec.data_dir, progress=progress
    )
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
    if spec.ridge == 0:
        _refuse_duplicates(changed.X_train, changed.y_train, data.classes)
    return data, changed


def _plan(spec, kernel, X_train, X_test, outputs, device, **known):
    """Return the Plan for arrays or Points; an unfinished factor that is to be gone on with decides the way."""
    if isinstance(kernel, Precomputed):
        d, dtype = 0, X_train.dtype
    elif isinstance(X_train, Points):  # of float64, or without coordinates; they are there already
        d, dtype = X_train.d if isinstance(X_train, CoordinatePoints) else 0, np.float64
    else:
        d, dtype = int(np.prod(X_train.shape[1:])), X_train.dtype
    problem = Problem(len(X_train), len(X_test), d, outputs, dtype, spec.loo, kernel.of_products)
    found = unfinished(spec.scratch) if spec.resume else None
    plan = plan_solve(
        problem,
        device=device,
        precision=spec.precision,
        scratch=spec.scratch,
        width=found and found["width"],
        **known,
    )
    if not found:
        return plan
    on_disk = {way.precision: way for way in plan.ways if way.storage == "disk"}
    # Where its precision is not possible, Scratch says that it is another's.
    same = on_disk.get("float64" if found["dtype"] == "float64" else "mixed", min(on_disk.values(), key=str))
    return dataclasses.replace(plan, chosen=None if same.missing else same)


def _reason(spec, plan):
    """Return why the plan's precision, in words."""
    if spec.precision != "auto":
        return "asked for"
    if spec.loo:
        return "leave-one-out needs it"
    if spec.resume and unfinished(spec.scratch):
        return "that of the unfinished factor"
    return "quicker here" if len(_possible(plan)) > 1 else "the other does not fit"


def _worth_a_forecast(spec, plan):
    """Whether there are two precisions to choose from, and more at stake than the forecast costs."""
    decided = spec.resume and unfinished(spec.scratch)
    return not decided and len(_possible(plan)) > 1 and plan.chosen.seconds > _FORECAST_PAYS


def _possible(plan):
    return {way.precision for way in plan.ways if not way.missing}


def _test_gram(X_test, kernel, K):
    """Return the Gram of the test points against the training points, having looked at each test point once."""
    try:
        K_test = gram(X_test, kernel, K.points)
        K_test.block((0, len(X_test)), (0, 1))
    except InputError as error:
        raise InputError(f"test set: {error}") from error
    return K_test


def _kernel(spec):
    kernel = parse_kernel(spec.kernel)
    if spec.bandwidth is None:
        return kernel
    if not kernel.open_bandwidth:
        raise InputError(f"bandwidth {spec.bandwidth} was given, but the kernel {kernel} has no open bandwidth")
    return kernel.with_bandwidth(spec.bandwidth)


def _refuse_what_cannot_travel(kernel, features, spec):
    """Other processes make Gram entries from points, so there must be points."""
    if isinstance(kernel, Precomputed):
        raise InputError(
            f"--engine {spec.engine} makes the entries of K in every process from the points; a precomputed kernel has "
            "none. Use --engine local"
        )
    if not isinstance(features, Pixels | ImageMap):
        raise InputError(
            f"--engine {spec.engine} makes the entries of K in every process from the points; {features} keeps inner "
            "products of all points instead. Use --engine local, or other features"
        )


def _check_precomputed(kernel, features, data, spec):
    if isinstance(kernel, Precomputed) and not isinstance(features, Pixels):
        raise InputError(f"a precomputed kernel has no images to make features of; leave out --features {features}")
    if isinstance(kernel, Precomputed) and (spec.n_train or spec.n_test or spec.pixels != "true"):
        raise InputError(
            "a precomputed kernel has no points to cut to a subset or to corrupt; pass the matrix you mean"
        )
    if isinstance(kernel, Precomputed) and data.X_train.dtype == np.uint8:
        raise InputError(f"{data.name} holds uint8 images; a precomputed kernel is a floating-point matrix K (n, n)")


def _refuse_duplicates(X, y, classes):
    """Two equal points make two equal rows of K: better said now than after most of the factorisation."""
    pair = first_duplicate(X)
    if pair is None:
        return
    labels = " and ".join(repr(classes[y[i]]) for i in pair)
    raise SingularMatrixError(
        f"training points {pair[0]} and {pair[1]} are identical (their labels: {labels}), so K is singular. Remove one "
        "of them, or give a ridge, e.g. --ridge 1e-6",
        row=pair[1],
        duplicate=pair[0],
    )
