"""How every figure is made: without pyplot, written whole or not at all, the same bytes for the same result."""

import io
from pathlib import Path

from kernelfit.errors import InputError
from kernelfit.files import atomic_write

KINDS = (".svg", ".png", ".pdf")
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"  # told apart by all eyes, and by lightness


def check_figure(path):
    """Raise InputError unless the suffix of a path is that of a kind of figure."""
    if Path(path).suffix.lower() not in KINDS:
        raise InputError(f"{path}: the name of a figure ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}")


def new_figure(width=5.5, height=3.6):
    """Return an empty matplotlib Figure of a size in inches, with no global state behind it."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure, path):
    """Write a Figure to `path`; its suffix tells the kind. Returns the path."""
    from matplotlib import rc_context

    path = Path(path)
    check_figure(path)
    content, kind = io.BytesIO(), path.suffix.lower().removeprefix(".")
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    # Text stays text; without a date and with fixed ids, the same result gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "kernelfit"}):
        figure.savefig(content, format=kind, dpi=160, metadata=dates.get(kind))
    with atomic_write(path) as file:
        file.write(content.getvalue())
    return path
