"""Datasets by name or path: each loads to one frozen Dataset."""

from kernelfit.datasets.dataset import Dataset
from kernelfit.datasets.fetch.registry import Entry, names
from kernelfit.datasets.fetch.store import Check, fetch, verify
from kernelfit.datasets.loading import load
from kernelfit.datasets.read.pictures import picture_grid

__all__ = ["Check", "Dataset", "Entry", "fetch", "load", "names", "picture_grid", "verify"]
