"""What is shown of each kind of result: a module for each, named as the kind, and for what several kinds say together.

A view turns records into neutral tables, figures, sections and findings; it knows no renderer. Those of the page are
VIEWS, in its order: each has section(records) -> Section, and those that found something with a number in it
findings(records) -> list of Finding, the weightiest first.
"""

import importlib

_NAMES = ("section5", "sweep", "norms", "interpolants", "ridge", "measures", "descent", "solve", "pictures", "table1")
VIEWS = tuple(importlib.import_module(f"{__name__}.{name}") for name in (*_NAMES, "net", "randomize", "bench"))
