"""What is shown of each kind of result: a module for each, named as the kind, and for what several kinds say together.

A view turns records into neutral tables, figures, sections and findings; it knows no renderer. Those of the page are
VIEWS: modules of this package with section(records) -> Section, and those that found something with a number in it
findings(records) -> list of Finding, the weightiest first. They stand in the order of ORDER, and then of their names.
"""

import importlib
import pkgutil

ORDER = ["section5", "sweep", "norms", "interpolants", "ridge", "measures", "descent", "solve", "pictures", "table1"]
ORDER += ["net", "randomize", "bench"]
_NAMES = dict.fromkeys([*ORDER, *(module.name for module in pkgutil.iter_modules(__path__))])
_MODULES = [importlib.import_module(f"{__name__}.{name}") for name in _NAMES]
VIEWS = tuple(module for module in _MODULES if hasattr(module, "section"))
