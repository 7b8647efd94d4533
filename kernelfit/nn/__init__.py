"""Neural nets in PyTorch (the extra `nn`): the paper's models, trained on data that lie on the device.

Nothing of torch is loaded before a name below is used; where torch is missing, that raises MissingLibraryError.
"""

import importlib
import os

from kernelfit.common.errors import MissingLibraryError

_HOMES = {"NetClassifier": "estimator", "Theorem1Net": "theorem1", "build_model": "models", "train": "training"}

__all__ = ["NetClassifier", "Theorem1Net", "build_model", "require_torch", "train"]


def require_torch():
    """Return the module torch, or raise MissingLibraryError with one line on how to get it."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise MissingLibraryError(
            f"neural nets need PyTorch ({error}): pip install 'kernelfit[nn]', for a small download from PyTorch's CPU "
            "index"
        ) from error


def processes():
    """Return how many processes torchrun started to train one net; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank():
    """Return which of them this process is; the first, 0, writes files and tells how it goes."""
    return int(os.environ["RANK"]) if processes() > 1 else 0


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_torch()
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
