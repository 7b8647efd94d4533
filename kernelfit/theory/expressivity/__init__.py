"""Finite-sample expressivity: networks that fit any labels of n points, by Theorem 1 and its corollary."""

from kernelfit.theory.expressivity.depth import Layer, apply_layers, deepen
from kernelfit.theory.expressivity.network import Network, fit_network, project

__all__ = ["Layer", "Network", "apply_layers", "deepen", "fit_network", "project"]
