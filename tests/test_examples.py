"""The examples in docstrings are run: what they show is what happens."""

import doctest
import importlib

import pytest

MODULES = (
    "corruption",
    "estimators",
    "expressivity.network",
    "gram",
    "illustrations",
    "interpolants",
    "kernel_text",
    "kernels.named",
    "leaving_out",
    "linear.descent",
    "linear.least_squares",
    "measures",
    "progress",
    "randomization",
    "report.figures",
    "solvers.cholesky",
    "units",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    failed, tried = doctest.testmod(importlib.import_module(f"kernelfit.{name}"), optionflags=doctest.ELLIPSIS)
    assert tried and not failed
