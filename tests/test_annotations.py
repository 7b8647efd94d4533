"""What is public says its types: every parameter and return value of the rooms below, and the package ships them."""

import ast
from pathlib import Path

import pytest

import kernelfit

ROOT = Path(kernelfit.__file__).parent
ROOMS = {
    "common",
    "backend",
    "kernels",
    "datasets",
    "corruption",
    "grams",
    "features",
    "solvers",
    "models",
    "analysis",
    "theory",
    "estimators",
    "randomization",
}


def modules(room):
    """The public modules of a room, given by its name."""
    paths = [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else sorted((ROOT / room).rglob("*.py"))
    return [path for path in paths if path.name == "__init__.py" or not path.name.startswith("_")]


def unannotated(body, prefix=""):
    """Yield "function(parameter)" or "function ->" of what has no type, in public functions and classes of a body."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from unannotated(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            arguments = node.args
            for argument in arguments.posonlyargs + arguments.args + arguments.kwonlyargs:
                if argument.annotation is None and argument.arg not in ("self", "cls"):
                    yield f"{prefix}{node.name}({argument.arg})"
            if node.returns is None:
                yield f"{prefix}{node.name} ->"


def found_in(room):
    return [
        f"{path.relative_to(ROOT)}: {what}"
        for path in modules(room)
        for what in unannotated(ast.parse(path.read_text(encoding="utf-8")).body)
    ]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_what_is_public_in_a_room_says_its_types(room):
    assert modules(room) and found_in(room) == []


def test_the_reader_would_notice():
    source = "def f(a, *rest, b: int = 1): ...\nclass C:\n    def g(self) -> int: ...\n    def h(self, x: int): ...\n"
    source += "def _private(a): ...\nclass _Private:\n    def g(self): ...\n"
    assert list(unannotated(ast.parse(source).body)) == ["f(a)", "f ->", "C.h ->"]


def test_type_checkers_are_told_that_the_package_has_types():
    assert (ROOT / "py.typed").exists()
