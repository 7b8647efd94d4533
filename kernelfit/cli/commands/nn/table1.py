"""The same as `kernelfit reproduce table1`, which is its name now."""

import sys

from kernelfit.cli.studying import study_command
from kernelfit.experiments.paper.nets import Table1Spec

_today = study_command(Table1Spec)


def command(**given):
    """Say so, and do it."""
    print("kernelfit: the command is `kernelfit reproduce table1` now", file=sys.stderr)
    return _today(**given)


command.__signature__, command.__annotations__ = _today.__signature__, _today.__annotations__  # type: ignore[attr-defined]
