"""The measures of complexity as a table in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text


def measures_report(made, title):
    """Return a rich Table of a MeasuresTable: each measure on true and on random labels, and what it is good for."""
    table = Table(
        title=Text(title),
        title_justify="left",
        caption=Text(
            "tells apart: differs by more than 10 %; vacuous: claims to be an error, and is no better than chance "
            f"({100 * made.chance:.3g} %) on true labels" + "".join(f"\nwarning: {found}" for found in made.warnings)
        ),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in ("measure", "true\nlabels", "random\nlabels", "verdict", "formula"):
        table.add_column(name, justify="right" if "labels" in name else "left")
    for each in made.measures:
        verdict = "tells apart" if each.tells_apart else "cannot tell"
        if each.role == "label-free":
            verdict = "sees no labels"
        if each.vacuous:
            verdict += ", vacuous"
        table.add_row(each.name, f"{each.true:.4g}", f"{each.random:.4g}", verdict, Text(each.formula))
    return table
