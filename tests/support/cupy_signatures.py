"""Write the list of what CuPy has, and of the arguments that it takes, which the stand-in of fake_cuda is held to.

    python -m venv cupy && cupy/bin/pip install cupy-cuda12x && cupy/bin/python tests/support/cupy_signatures.py

No GPU and no CUDA is needed: CuPy is imported, and of the modules that load CUDA's libraries, cuBLAS and cuSOLVER, the
signatures that Cython wrote into their docstrings are read from the files. A line of `fake_cuda/cupy.txt` is the name
of an attribute, or of a function with its parameters: `name=` is one that may be left out, / and * mean what they do in
Python, and (...) is a function whose parameters are not known.
"""

import importlib.util
import inspect
import re
import types
from pathlib import Path

LISTED = Path(__file__).parent / "fake_cuda" / "cupy.txt"
MODULES = ("", "linalg", "random", "cuda", "cuda.device", "cuda.memory", "cuda.runtime")
CLASSES = ("ndarray", "cuda.Stream", "cuda.Device", "cuda.MemoryPool", "cuda.PinnedMemoryPool", "cuda.PinnedMemory")
LIBRARIES = {"cublas": r"[sd]ge\w+|[sd]sy\w+|[sd]tr\w+|gemmEx|[gs]et\w+", "cusolver": r"[sd]potr\w+"}
UFUNC = "out=, *, casting=, dtype="  # CuPy's ufuncs have no `where`, and their docstrings no name for a third argument


def listing(cupy):
    """Return the lines."""
    lines = []
    for module in MODULES:
        owner = _found(cupy, module)
        lines += [_line(owner, name, module) for name in dir(owner) if not name.startswith("_")]
    for kind in CLASSES:
        owner = _found(cupy, kind)
        lines += [_line(owner, name, kind) for name in dir(owner) if _special(name) or not name.startswith("_")]
    for library, wanted in LIBRARIES.items():
        file = importlib.util.find_spec(f"cupy_backends.cuda.libs.{library}").origin
        text = Path(file).read_bytes().decode("latin-1")
        found = re.findall(rf"(?<=[\0\n])((?:{wanted})\((?:\w[^()\n\0]*)\))", text)
        lines += [f"{library}.{_parsed(signature)}" for signature in found]
        lines += [f"{library}.{name}" for name in re.findall(r"(?<=[\0\n])CUBLAS_\w+(?=[\0\n])", text)]
    return sorted(set(filter(None, lines)))


def _found(owner, dotted):
    for name in filter(None, dotted.split(".")):
        owner = getattr(owner, name)
    return owner


def _special(name):
    return (re.fullmatch(r"__\w+__", name) and not hasattr(object, name)) or name in ("__init__", "__eq__", "__ne__")


def _line(owner, name, dotted):
    value, full = inspect.getattr_static(owner, name), f"{dotted}.{name}".lstrip(".")
    if isinstance(value, types.ModuleType):
        return None
    value = getattr(owner, name)
    if not callable(value) or inspect.isdatadescriptor(inspect.getattr_static(owner, name)):
        return full
    if type(value).__name__ == "ufunc":
        return f"{full}({', '.join(f'x{k + 1}' for k in range(value.nin))}, /, {UFUNC})"
    return f"{full}({_parameters(value, name)})"


def _parameters(value, name):
    try:
        signature = str(inspect.signature(value)) if isinstance(value, types.FunctionType) else ""
    except ValueError:
        signature = ""
    signature = signature or (getattr(value, "__doc__", None) or "").strip().split("\n")[0]
    match = re.match(rf"(?:\w+\.)*{re.escape(name)}(\(.*)" if not signature.startswith("(") else r"(.*)", signature)
    return _parsed("f" + match[1])[2:-1] if match and match[1] else "..."


def _parsed(signature):
    """Return name(parameters) without types, defaults and `self`."""
    name, rest = signature.split("(", 1)
    parts, depth = [""], 1
    for letter in rest:
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0:
            break
        if letter == "," and depth == 1:
            parts.append("")
        else:
            parts[-1] += letter
    parameters = []
    for part in map(str.strip, parts):
        declared, default, _ = part.partition("=")
        words = re.sub(r":.*", "", declared).split()
        if words and words[-1] not in ("self", "cls"):
            parameters.append(words[-1].replace("\\", "") + default)
    return f"{name}({', '.join(parameters)})"


if __name__ == "__main__":
    import cupy

    LISTED.write_text(f"# CuPy {cupy.__version__}\n" + "\n".join(listing(cupy)) + "\n")
