"""The layers of the package: a module imports only what lies below it, and each heavy library has one home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kernelfit

ROOT = Path(kernelfit.__file__).parent

LAYERS = {
    "errors": 0,
    "backend": 0,
    "expressions": 0,
    "files": 0,
    "progress": 0,
    "randomness": 0,
    "stopwatch": 0,
    "units": 0,
    "datasets": 1,
    "corruption": 1,
    "features": 1,
    "profiles": 1,
    "array_profiles": 1,
    "inner_products": 1,
    "points": 1,
    "pixels": 1,
    "kernels": 1,
    "kernel_text": 1,
    "gram": 1,
    "records": 1,
    "fit_records": 1,
    "net_records": 1,
    "solvers": 2,
    "measures": 2,
    "leaving_out": 2,
    "learning_order": 2,
    "complexity": 2,
    "bandwidth": 3,
    "measures_table": 3,
    "illustrations": 3,
    "model": 3,
    "interpolation": 3,
    "centres": 3,
    "interpolants": 3,
    "augmentation": 1,
    "estimators": 3,
    "linear": 3,
    "expressivity": 3,
    "randomization": 3,
    "random_features": 2,
    "double_descent": 3,
    "nn": 3,
    "peers": 3,
    "experiments": 4,
    "report": 4,
    "cli": 5,
    "__main__": 6,
}
# Within layer 1: points below kernels below gram. Within layer 0: errors below all.
WITHIN_A_LAYER = {
    ("kernels", "points"),
    ("kernels", "profiles"),
    ("profiles", "array_profiles"),
    ("gram", "points"),
    ("gram", "kernels"),
}
WITHIN_A_LAYER |= {("points", "inner_products"), ("features", "inner_products")}
WITHIN_A_LAYER |= {
    ("features", "points"),
    ("kernel_text", "kernels"),
    ("kernels", "array_profiles"),
    ("solvers", "measures"),
}
WITHIN_A_LAYER |= {("leaving_out", "measures"), ("net_records", "records"), ("fit_records", "records")}
WITHIN_A_LAYER |= {("centres", "bandwidth")}
WITHIN_A_LAYER |= {("interpolation", "bandwidth"), ("estimators", "bandwidth"), ("estimators", "interpolation")}
WITHIN_A_LAYER |= {(name, "errors") for name in ("backend", "expressions", "files", "progress", "randomness", "units")}

HOMES = {
    "ctypes": {"backend"},
    "cupy": {"backend"},
    "cupyx": {"backend"},
    "cupy_backends": {"backend"},
    "urllib": {"datasets"},
    "http": {"datasets"},
    "socket": {"datasets"},
    "ssl": {"datasets"},
    "ftplib": {"datasets"},
    "requests": {"datasets"},
    "urllib3": {"datasets"},
    "httpx": {"datasets"},
    "matplotlib": {"report"},
    "torch": {"nn", "peers"},
    "gpytorch": {"peers"},
    "cuml": {"peers"},
    "torchvision": {"nn"},
    "mpi4py": {"solvers"},
    "dask": {"solvers"},
    "distributed": {"solvers"},
    "numba": {"profiles", "features", "linear", "nn"},
    "cyclopts": {"cli"},
}


def unit(path):
    """The name in LAYERS of the module or package that a file belongs to; "" for the package's own __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path):
    """All modules that a file imports anywhere in it, as full dotted names."""
    package = ("kernelfit", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            yield from (argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_lower_layers(path):
    own = unit(path)
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "kernelfit" or parts[1:2] in ([], ["__version__"]) or parts[1] == own:
            continue
        assert own in LAYERS, f"{path.name} imports {name}: give it a layer"
        target = parts[1]
        assert target in LAYERS, f"{path.name} imports {name}, which has no layer"
        assert LAYERS[target] < LAYERS[own] or (own, target) in WITHIN_A_LAYER, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_and_the_network_have_one_home(path):
    for name in imports(path):
        homes = HOMES.get(name.split(".")[0])
        assert not homes or unit(path) in homes, f"{path.name} imports {name}"


def test_every_module_has_a_layer():
    assert {unit(path) for path in FILES} - {""} <= set(LAYERS)
    assert (ROOT / "__init__.py") in FILES and len(FILES) > 10


def test_the_rules_would_notice(tmp_path, monkeypatch):
    """The reader of imports finds them in every form and at every depth."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "solvers").mkdir()
    path = tmp_path / "solvers" / "made_up.py"
    path.write_text(
        "import kernelfit.cli\n"
        "from kernelfit import model as m\n"
        "from kernelfit.gram import gram\n"
        "from . import plan\n"
        "from .. import report\n"
        "from ..nn.train import fit\n"
        "def f():\n"
        "    import torch.nn as nn\n"
        "    import importlib; importlib.import_module('socket')\n"
    )
    assert set(imports(path)) == {
        "kernelfit.cli",
        "kernelfit.model",
        "kernelfit.gram.gram",
        "kernelfit.solvers.plan",
        "kernelfit.report",
        "kernelfit.nn.train.fit",
        "torch.nn",
        "importlib",
        "socket",
    }


def run(program):
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


HEAVY = {"numba", "sklearn", "scipy", "matplotlib", "torch", "rich", "cyclopts", "PIL", "pywt", "cupy"}


def test_importing_kernelfit_is_quick_and_light():
    program = (
        "import sys, time; start = time.perf_counter(); import kernelfit\n"
        "print(time.perf_counter() - start, *{name.partition('.')[0] for name in sys.modules})"
    )
    outputs = [run(program).split() for _ in range(3)]
    assert not HEAVY & set(outputs[0])
    # The rule says 0.3 s; a machine that is busy with other things may take three times as long, three times in a row.
    assert min(float(output[0]) for output in outputs) < 1.0


def test_the_lower_layers_load_heavy_libraries_only_when_used():
    lower = ["errors", "files", "progress", "backend", "corruption", "points", "kernels", "gram", "records", "model"]
    lower += ["linear", "expressivity"]
    program = f"import sys\nfor name in {lower}: __import__('kernelfit.' + name)\nprint(*sys.modules)"
    loaded = {name.partition(".")[0] for name in run(program).split()}
    assert "numpy" in loaded and not HEAVY & loaded
