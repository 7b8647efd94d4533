"""kernelfit: exact kernel interpolation and the study of implicit regularization."""

import importlib.metadata

__version__ = importlib.metadata.version("kernelfit")
