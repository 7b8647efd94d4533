"""The measures of complexity on true and on random labels: which of them can tell the two apart?"""

from kernelfit.report.section import Finding, Section, last
from kernelfit.report.table import Cell, Row, Table
from kernelfit.report.words import known, number, share, title_of


def table(record):
    """Return each measure on true and on random labels, and what it is good for."""
    made = record.results.table
    rows = []
    for each in made.measures:
        verdict = "tells apart" if each.tells_apart else "cannot tell"
        if not known(each.true) or not known(each.random):
            verdict = "not defined"
        if each.role == "label-free":
            verdict = "sees no labels"
        verdict += ", vacuous" if each.vacuous else ""
        spread = f" ± {number(each.random_sd, 2)}" if each.random_sd else ""
        cells = each.name, number(each.true), Cell(f"{number(each.random)}{spread}", each.random), verdict, each.formula
        rows.append(Row(cells, record.command))
    noise = f" and three standard deviations of {made.labellings} random labellings" if made.labellings > 1 else ""
    return Table(
        title=title_of(record),
        columns=("measure", "true labels", "random labels", "verdict", "formula"),
        rows=tuple(rows),
        caption=f"tells apart: differs by more than 10 %{noise}; vacuous: claims to be an error, and is no better than "
        f"chance ({share(round(made.chance, 4))}) on true labels",
        warnings=tuple(dict.fromkeys([*made.warnings, *record.warnings])),
    )


def section(records):
    """Return the tables of the last comparisons of measures."""
    drawn, _ = last(records.latest("measures"), "")
    return Section("measures", "Measures of complexity", tuple(map(table, reversed(drawn))))


def findings(records):
    """Return how many measures tell true from random labels."""
    found = []
    for record in reversed(records.latest("measures")):
        asked = [each for each in record.results.table.measures if each.role != "truth"]
        useful = [each for each in asked if each.tells_apart and not each.vacuous and each.role != "label-free"]
        number = f"{len(useful)} of {len(asked)}"
        text = f"{number} measures of complexity tell true from random labels and are not vacuous ({title_of(record)})."
        found.append(Finding(number, text, record.command))
    return found
