"""`kernelfit descent`: double descent of random-feature regression on a dataset named as everywhere."""

import dataclasses
from typing import Literal

from kernelfit import backend
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.common.spec import option
from kernelfit.corruption import label_probability
from kernelfit.experiments.parts import Data
from kernelfit.experiments.registry import Experiment
from kernelfit.models.bandwidth import median_distance
from kernelfit.records.record import DatasetUsed, Record, make_record
from kernelfit.theory.double_descent import DoubleDescent, double_descent
from kernelfit.theory.random_features import FourierFeatures, RandomFeatures, ReluFeatures

_ENOUGH = 1000  # training examples: the peak is at as many features


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescentSpec(Data):
    """What to fit with few to many random features."""

    words = ("descent",)

    n_train: int | None = option(
        None,
        "Stratified subset of the training set, or size of synthetic; default: 1000, or all where there are fewer.",
        least=1,
    )
    features: Literal["fourier", "relu"] = option(
        "fourier", "fourier: cosines, which tend to the Gaussian kernel; relu: a random hidden layer."
    )
    bandwidth: float | Literal["auto"] = option(
        "auto", "Of fourier features, in units of pixels / 255; auto: the median distance of training points."
    )
    labels: float = option(  # type: ignore[assignment]
        0.2,
        "Probability with which a training label is replaced; without any the peak is lower.",
        parse=label_probability,
        old="label-noise",
    )
    grid: tuple[int, ...] = option((), "Numbers of features, increasing; default: 15 from n / 8 to 8 n.", least=1)
    seeds: int = option(3, "How many seeds of the features and the label noise: 0, 1, ...", least=1)

    def check(self):
        if self.features == "relu" and self.bandwidth != "auto":
            raise InputError("relu features have no bandwidth; leave out `bandwidth`")
        label_probability(self.labels)


def run_descent(spec, *, progress=None) -> Record:
    """Run a DescentSpec; return its Record, whose results are a DoubleDescent."""
    data = spec.load(progress)
    if spec.n_train is None and len(data.y_train) > _ENOUGH:
        data = dataclasses.replace(spec, n_train=_ENOUGH).load(progress)
    features: RandomFeatures = ReluFeatures()
    if spec.features == "fourier":
        features = FourierFeatures(median_distance(data.X_train) if spec.bandwidth == "auto" else spec.bandwidth)
    curves = double_descent(
        data.X_train,
        data.y_train,
        data.X_test,
        data.y_test,
        n_classes=len(data.classes),
        features=features,
        label_noise=spec.labels,
        grid=spec.grid or None,
        seeds=range(spec.seeds),
        progress=progress or Progress(),
    )
    return make_record(
        spec,
        curves,
        kind="descent",
        dataset=DatasetUsed.of(data, spec.data),
        environment=backend.describe(),
        seconds={"total": curves.seconds},
        warnings=curves.warnings,
    )


EXPERIMENT = Experiment("descent", DescentSpec, DoubleDescent, run_descent)
