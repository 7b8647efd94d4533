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


def open_package(package: ModuleType) -> None:
    """Show pdoc the words that a package loads lazily, and its modules beside these words."""
    name = package.__name__
    words = [word for word in getattr(package, "__all__", ()) if loads(f"{name}.{word}", getattr, package, word)]
    vars(package).update({word: getattr(package, word) for word in words})
    for module in pkgutil.iter_modules(package.__path__, f"{name}."):
        word = module.name.rpartition(".")[2]
        hidden = word.startswith("_") or module.name in SCRIPTS
        if not hidden and loads(module.name, importlib.import_module, module.name):
            words.append(word)
            if module.ispkg:
                open_package(sys.modules[module.name])
    package.__all__ = list(dict.fromkeys(words))


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/api")
    open_package(kernelfit)
    pdoc.render.configure(docformat="numpy", footer_text=f"kernelfit {kernelfit.__version__}")
    pdoc.pdoc(Path(kernelfit.__file__).parent, output_directory=folder)  # by its name pdoc asks which of two is meant
    print(folder / "index.html")
