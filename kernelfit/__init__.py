"""kernelfit: exact kernel interpolation and the study of implicit regularization.

    import kernelfit as kf
    data = kf.load_dataset("digits")
    X, X_test = (part.reshape(len(part), -1) for part in (data.X_train, data.X_test))
    model = kf.KernelInterpolationClassifier().fit(X, data.y_train)
    print(model.score(X_test, data.y_test), model.norm_)

Names are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernelfit import features, kernels, solvers
    from kernelfit.analysis.label_issues import find_label_issues
    from kernelfit.corruption import corrupt
    from kernelfit.datasets import load as load_dataset
    from kernelfit.estimators import (
        KernelInterpolationClassifier,
        KernelInterpolationClassifierCV,
        KernelInterpolator,
        KernelInterpolatorCV,
        load_model,
    )
    from kernelfit.experiments.registry import read_records, run
    from kernelfit.features import Gabor, RandomConv, Scattering, Wavelet
    from kernelfit.grams.matrix import gram
    from kernelfit.kernels import (
        ArcCosine,
        Cosine,
        Custom,
        Gaussian,
        Laplacian,
        LaplacianL1,
        Linear,
        Matern,
        NeuralTangent,
        Polynomial,
        Precomputed,
        RationalQuadratic,
    )
    from kernelfit.models.expansion import KernelExpansion
    from kernelfit.models.fit import fit
    from kernelfit.models.optimizing import optimize
    from kernelfit.randomization import randomization_test
    from kernelfit.solvers import Auto, Banded, Cholesky, ConjugateGradients, Dask, Eigen, Mpi, solve

    __version__: str

__all__ = [
    "ArcCosine",
    "Auto",
    "Banded",
    "Cholesky",
    "ConjugateGradients",
    "Cosine",
    "Custom",
    "Dask",
    "Eigen",
    "Gabor",
    "Gaussian",
    "KernelExpansion",
    "KernelInterpolationClassifier",
    "KernelInterpolationClassifierCV",
    "KernelInterpolator",
    "KernelInterpolatorCV",
    "Laplacian",
    "LaplacianL1",
    "Linear",
    "Matern",
    "Mpi",
    "NeuralTangent",
    "Polynomial",
    "Precomputed",
    "RandomConv",
    "RationalQuadratic",
    "Scattering",
    "Wavelet",
    "corrupt",
    "features",
    "find_label_issues",
    "fit",
    "gram",
    "kernels",
    "load_dataset",
    "load_model",
    "optimize",
    "randomization_test",
    "read_records",
    "run",
    "solve",
    "solvers",
]

_HOMES = {
    "kernelfit.analysis.label_issues": ("find_label_issues",),
    "kernelfit.corruption": ("corrupt",),
    "kernelfit.estimators": (
        "KernelInterpolationClassifier",
        "KernelInterpolationClassifierCV",
        "KernelInterpolator",
        "KernelInterpolatorCV",
        "load_model",
    ),
    "kernelfit.experiments.registry": ("read_records", "run"),
    "kernelfit.features": ("Gabor", "RandomConv", "Scattering", "Wavelet"),
    "kernelfit.grams.matrix": ("gram",),
    "kernelfit.models.expansion": ("KernelExpansion",),
    "kernelfit.models.fit": ("fit",),
    "kernelfit.models.optimizing": ("optimize",),
    "kernelfit.randomization": ("randomization_test",),
    "kernelfit.solvers": ("Auto", "Banded", "Cholesky", "ConjugateGradients", "Dask", "Eigen", "Mpi", "solve"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # a tenth of the time in which a command starts

        try:
            return version("kernelfit")
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            return "of a checkout"
    if name in ("features", "kernels", "solvers"):
        return importlib.import_module(f"kernelfit.{name}")
    if name == "load_dataset":
        return importlib.import_module("kernelfit.datasets").load
    if name in __all__:
        return getattr(importlib.import_module(_HOME_OF.get(name, "kernelfit.kernels")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
