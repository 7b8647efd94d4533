"""Write the API pages from the docstrings: `python .ci/api.py [FOLDER]`, build/api unless another folder is given.

Needs the extra `docs`. The pages show the kernelfit that is installed; what needs a library that is not is left out,
by name.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pdoc

import kernelfit

SCRIPTS = {"kernelfit.cli", "kernelfit.examples"}  # run, not imported


def loads(name: str, load: Callable[..., object], *arguments: object) -> bool:
    """Whether all libraries that `name` needs are found."""
    try:
        load(*arguments)
    except ImportError as error:
        print(f"{name} is left out: {error}")
        return False
    return True


def show(module: ModuleType) -> None:
    """Show pdoc the words that a module loads lazily, and below a package its modules, as its __all__."""
    name, words = module.__name__, list(getattr(module, "__all__", ()))
    words = [word for word in words if loads(f"{name}.{word}", getattr, module, word)]
    vars(module).update({word: getattr(module, word) for word in words})
    for child in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{name}."):
        word = child.name.rpartition(".")[2]
        hidden = word.startswith("_") or child.name in SCRIPTS
        if not hidden and loads(child.name, importlib.import_module, child.name):
            words.append(word)
            show(sys.modules[child.name])
    if hasattr(module, "__all__") or hasattr(module, "__path__"):
        module.__all__ = list(dict.fromkeys(words))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    show(kernelfit)
    pdoc.render.configure(docformat="numpy", footer_text=f"kernelfit {kernelfit.__version__}")
    pdoc.pdoc(Path(kernelfit.__file__).parent, output_directory=folder)  # by its name pdoc asks which of two is meant
    print(folder / "index.html")
