"""`kernelfit descent`: double descent of random-feature regression on a dataset named as everywhere."""

import dataclasses
import importlib.metadata
import shlex
from pathlib import Path

from kernelfit import datasets
from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.progress import Progress
from kernelfit.common.validation import check_integer
from kernelfit.corruption import label_probability
from kernelfit.models.bandwidth import median_distance
from kernelfit.records.record import append_json, now, to_json
from kernelfit.theory.double_descent import DoubleDescent, double_descent
from kernelfit.theory.random_features import FourierFeatures, ReluFeatures

SCHEMA = "kernelfit.descent/1"
KINDS = ("fourier", "relu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescentSpec:
    """What to run; the fields are the options of `kernelfit descent`.

    Attributes
    ----------
    features : str
        One of KINDS.
    bandwidth : float or None
        Of the Gaussian kernel that Fourier features tend to; None stands for the median distance of training points.
    label_noise : float
    grid : tuple of int
        Numbers of features, increasing; () stands for double_descent.default_grid(n).
    seeds : int
        Seeds 0, 1, ..., seeds - 1 of features and label noise.
    """

    data: str = "digits"
    features: str = "fourier"
    bandwidth: float | None = None
    label_noise: float = 0.2
    grid: tuple = ()
    seeds: int = 3
    n_train: int | None = None
    n_test: int | None = None
    data_dir: str | None = None

    def __post_init__(self):
        if self.features not in KINDS:
            raise InputError(f"features {self.features!r}{suggestion(self.features, KINDS)}; there are fourier, relu")
        if self.features == "relu" and self.bandwidth is not None:
            raise InputError("relu features have no bandwidth; leave out `bandwidth`")
        check_integer("seeds", self.seeds)
        label_probability(self.label_noise)

    def command(self):
        """Return the command line that repeats the run."""
        words = ["kernelfit", "descent"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default or field.name == "data":
                words += ["--" + field.name.replace("_", "-"), *map(str, value if field.name == "grid" else (value,))]
        return shlex.join(words)


@dataclasses.dataclass(frozen=True)
class DescentResult:
    """The curves of a run, and what was run.

    Attributes
    ----------
    curves : DoubleDescent
    shared : dict
        JSON-ready: schema, created, version, command, dataset.
    """

    curves: DoubleDescent
    shared: dict

    def to_json(self):
        """Return shared and curves as one line of strict JSON."""
        return to_json(self.fields())

    def fields(self):
        """Return shared and curves as one dict."""
        return self.shared | dataclasses.asdict(self.curves)


def run_descent(spec, *, runs=None, progress=None):
    """Run a DescentSpec; return the DescentResult, also appended to descent.jsonl in the folder `runs`."""
    data = datasets.load(spec.data, n_train=spec.n_train, n_test=spec.n_test, data_dir=spec.data_dir, progress=progress)
    if spec.features == "relu":
        features = ReluFeatures()
    else:
        features = FourierFeatures(spec.bandwidth or median_distance(data.X_train))
    curves = double_descent(
        data.X_train,
        data.y_train,
        data.X_test,
        data.y_test,
        n_classes=len(data.classes),
        features=features,
        label_noise=spec.label_noise,
        grid=spec.grid or None,
        seeds=range(spec.seeds),
        progress=progress or Progress(),
    )
    shared = {
        "schema": SCHEMA,
        "created": now(),
        "version": importlib.metadata.version("kernelfit"),
        "command": spec.command(),
        "dataset": {"asked": str(spec.data), "name": data.name, "sha256": data.hashes()},
    }
    result = DescentResult(curves, shared)
    if runs is not None:
        append_result(runs, result)
    return result


def append_result(folder, result):
    """Append a DescentResult to descent.jsonl in `folder` as a JSON line; return the file's path."""
    return append_json(Path(folder) / "descent.jsonl", result.fields())
