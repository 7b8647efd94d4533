"""Datasets by name or path: each loads to one frozen Dataset."""

from kernelfit.datasets.dataset import Dataset
from kernelfit.datasets.loading import load
from kernelfit.datasets.pictures import picture_grid
from kernelfit.datasets.registry import Entry, names
from kernelfit.datasets.store import Check, fetch, verify

__all__ = ["Check", "Dataset", "Entry", "fetch", "load", "names", "picture_grid", "verify"]
