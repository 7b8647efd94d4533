"""Random convolutional features: one layer of a convolutional net whose filters are drawn, not learnt.

Coates and Ng, "Learning feature representations with k-means", 2012, with random patches of the training images in
place of the k-means centres; with 32,000 filters the paper's section 5 gets 17 % on CIFAR10.
"""

import dataclasses
import math
from typing import Any, ClassVar, Self

import numpy.typing as npt

from kernelfit import backend
from kernelfit.common.errors import InputError, suggestion
from kernelfit.common.validation import check_integer, check_number, check_positive
from kernelfit.features.accumulated import accumulate
from kernelfit.features.accumulated_points import AccumulatedPoints
from kernelfit.features.base import Features
from kernelfit.features.random_net import BLOCK, Net
from kernelfit.grams.inner_products import InnerProducts

# Recipes, with every setting that a preset fills in.
_IMAGE = {  # github.com/Vaishaal/cifar-fun, by an author of the kernel experiments: probably the paper's
    "pool": 15,
    "stride": 6,
    "scale": 255.0,
    "image_norm": 55.0,
    "whitening": "image",
    "epsilon": 0.1,
    "draw": "patches",
    "normalise": "none",
    "constant": 10.0,
    "unit": "none",
    "bias": 1.0,
    "root": 1.0,
    "standardise": False,
}
_PATCH = _IMAGE | {  # github.com/modestyachts/nondeep: whitened patches as filters
    "scale": 1.0,
    "image_norm": 0.0,
    "whitening": "patch",
    "epsilon": 1e-3,
    "normalise": "filters",
    "constant": 0.0,
    "unit": "patches",
}
# Normalised patches as in github.com/amplab/keystone, RandomPatchCifar; bias, constant, pool and stride chosen by
# leave-one-out on 5,000 training images of CIFAR10 after JPEG, with 512 filters.
_NORMALISED = _IMAGE | {
    "image_norm": 0.0,
    "whitening": "patch",
    "normalise": "all",
    "constant": 100.0,
    "unit": "filters",
    "pool": 13,
    "stride": 7,
}
# The best of our own trials by leave-one-out, on 5,000 such images with 1,024 filters (`python -m benchmarks
# randomconv_trials`).
_ROOTED = _NORMALISED | {"epsilon": 1.0, "bias": 1.5, "root": 0.5, "standardise": True}
PRESETS = {"image": _IMAGE, "patch": _PATCH, "normalised": _NORMALISED, "rooted": _ROOTED}
_CHOICES = {
    "whitening": ("image", "patch", "none"),
    "draw": ("patches", "gaussian"),
    "normalise": ("none", "filters", "all"),
    "unit": ("none", "patches", "filters"),
    "standardise": (True, False),
    "two_sided": (True, False),
    "flip": (True, False),
}


@dataclasses.dataclass(frozen=True)
class RandomConv(Features):
    """Features of which feature products are sums over filters w of sums over pooled cells.

    An image x, pixels in 0..`scale`, is made zero-mean and of norm `image_norm` (0: left as it is), and whitened as a
    whole if whitening is "image". Its patches p respond to filters w as z = <w, nu(p) - mu>; the rectified responses
    max(z - bias, 0) and max(-z - bias, 0) are averaged over windows of `pool` x `pool` positions; these averages are
    raised to the power `root` and, if `standardise`, made of mean 0 and variance 1 over the training images. The inner
    product of two images is the sum over all of these features divided by the number of filters.

    Filters are random training patches, q -> W W (nu(q) - mu), or Gaussian vectors with the mean square of such
    patches, q -> W q. If whitening is "patch", W whitens patches, and mu is their mean if normalise is "all"; else W is
    the identity and mu is 0.

    Parameters
    ----------
    filters : int
        Filters drawn; a two-sided rectifier makes two channels of each (16,384 give the 32,000 of the paper).
    preset : str
        "image", "patch", "normalised" or "rooted": the settings for all that is not given.
    patch, pool, stride : int
        Sides of a patch and of a pooling window, and the step between windows.
    scale, image_norm : float
    whitening : str
        "image", "patch" or "none", with `epsilon` added to the eigenvalues.
    draw : str
        "patches" or "gaussian".
    normalise : str
        Which patches get nu(p) = (p - mean(p)) / sqrt(var(p) + constant): "none", "filters" only, or "all".
    unit : str
        What is divided by its norm: "none", "patches" (drawn patches, before they are whitened), or "filters" (W
        (nu(q) - mu), after).
    bias : float
    root : float
        0.5 takes square roots, 1 changes nothing.
    standardise : bool
    two_sided : bool
    flip : bool
        Average the rectified responses to an image and to its mirror image, so that the kernel does not tell them
        apart.
    """

    filters: int = 2048
    preset: str = "image"
    patch: int = 6
    pool: int | None = None
    stride: int | None = None
    scale: float | None = None
    image_norm: float | None = None
    whitening: str | None = None
    epsilon: float | None = None
    draw: str | None = None
    normalise: str | None = None
    constant: float | None = None
    unit: str | None = None
    bias: float | None = None
    root: float | None = None
    standardise: bool | None = None
    two_sided: bool = True
    flip: bool = False
    name: ClassVar[str] = "randomconv"
    has_coordinates: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self._plain_numbers()
        if self.preset not in PRESETS:
            raise InputError(
                f"randomconv has no preset {self.preset!r}{suggestion(self.preset, PRESETS)}; there are "
                f"{', '.join(PRESETS)}"
            )
        settings = self.settings
        if settings is not self:
            return  # that one is checked
        for name in ("filters", "patch", "pool", "stride"):
            check_integer(f"randomconv: {name}", getattr(settings, name))
        for name in ("scale", "image_norm", "epsilon", "constant", "bias"):
            check_number(f"randomconv: {name}", getattr(settings, name))
        check_positive("randomconv: root", settings.root)  # 0.5 takes square roots, 1 changes nothing
        for name, choices in _CHOICES.items():
            if getattr(settings, name) not in choices:
                raise InputError(f"randomconv: {name} = {getattr(settings, name)!r}; choose one of {choices}")
        if self.filters % BLOCK and self.filters > BLOCK:
            raise InputError(f"randomconv: filters = {self.filters}; beyond {BLOCK} it must be a multiple of {BLOCK}")

    @property
    def settings(self) -> Self:
        """The same features with every setting of the preset filled in."""
        missing: dict[str, Any] = {
            name: value for name, value in PRESETS[self.preset].items() if getattr(self, name) is None
        }
        return dataclasses.replace(self, **missing) if missing else self

    def doubts(self, X_train: npt.NDArray) -> list[str]:
        n, d = len(X_train), math.prod(X_train.shape[1:])
        if self.settings.whitening != "image" or n >= 2 * d:
            return []
        return [
            f"images of {d:,} numbers were whitened by the covariance of {n:,} training images, too few to tell it: "
            "new images come out larger than these, so that test errors are larger than leave-one-out says. Take more "
            "images, a larger epsilon, or preset='patch'"
        ]

    def points(
        self, X_train: npt.NDArray, X_test: npt.NDArray, *, seed: int = 0, **options: Any
    ) -> tuple[AccumulatedPoints, AccumulatedPoints]:
        net = Net.prepare(self, X_train, seed=seed)
        train, test = accumulate(net, X_train, X_test, **options)
        return dataclasses.replace(train, filters=net.shown_filters()), test

    def bytes_kept(self, X_train: npt.NDArray, X_test: npt.NDArray, device: backend.Device = backend.CPU) -> int:
        return InnerProducts.bytes_needed(len(X_train), len(X_train) + len(X_test), device)
