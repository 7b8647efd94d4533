"""Tables in the terminal, by rich."""

import textwrap

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from kernelfit.report.table import Table


def renderable(table: Table) -> RenderableType:
    """Return what rich prints of a table: its title, its rows, and the sentences below."""
    named = any(table.columns)
    drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, show_header=named, padding=(0, 1, 0, 0), pad_edge=False)
    for k, (head, right) in enumerate(zip(table.columns, table.right, strict=True)):
        widest = max((len(row.cells[k]) for row in table.rows), default=0)
        drawn.add_column(_broken(head, widest), justify="right" if right else "left")
    for k, row in enumerate(table.rows):
        if row.rule and k:
            drawn.add_section()
        drawn.add_row(*map(Text, row.cells), style="dim" if row.grey else None)
    title = [Text(table.title, style="italic")] if table.title else []
    return Group(*title, drawn, *map(Text, table.sentences))


def _broken(head, width):
    """Return a head in lines, no wider than its column needs them."""
    width = max(width, *map(len, head.split() or [""]))
    return Text("\n".join(textwrap.wrap(head, width or 1)))
