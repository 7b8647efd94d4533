"""The measures of complexity on true and on random labels: which of them can tell the two apart?"""

from kernelfit.report.section import Finding, Section, last
from kernelfit.report.table import Row, Table
from kernelfit.report.words import number, share, title_of


def table(record):
    """Return each measure on true and on random labels, and what it is good for."""
    made = record.results.table
    rows = []
    for each in made.measures:
        verdict = "tells apart" if each.tells_apart else "cannot tell"
        if each.role == "label-free":
            verdict = "sees no labels"
        verdict += ", vacuous" if each.vacuous else ""
        cells = each.name, number(each.true), number(each.random), verdict, each.formula
        rows.append(Row(cells, record.command))
    return Table(
        title=title_of(record),
        columns=("measure", "true labels", "random labels", "verdict", "formula"),
        rows=tuple(rows),
        caption="tells apart: differs by more than 10 %; vacuous: claims to be an error, and is no better than chance "
        f"({share(round(made.chance, 4))}) on true labels",
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
