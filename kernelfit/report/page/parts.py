"""What the sections of the page are made of: tables, figures, tiles, and the command that repeats a number."""

import dataclasses

from kernelfit.report.svg.markup import Markup, element, join


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table: what it says, and the number by which it is sorted (None: by what it says).

    `number` puts it to the right, and like `line` into one line.
    """

    content: object
    value: float | None = None
    number: bool = False
    line: bool = False


WAITS = Cell("not run yet", line=True)


def number(value, text=None):
    """Return the Cell of a number, or an empty one of None or NaN."""
    if value is None or value != value:
        return Cell("", number=True)
    return Cell(f"{value:.4g}" if text is None else text, value, True)


def percent(fraction):
    """Return the Cell of a fraction as percent."""
    return number(None) if fraction is None else number(fraction, percent_text(fraction))


def percent_text(fraction):
    """Return a fraction as percent with two digits behind the point."""
    return f"{100 * fraction:.2f} %"


def power(value):
    """Return the Cell of a number of any size, as 2e-13."""
    return number(None) if value is None else number(value, f"{value:.1e}")


def repeat(command):
    """Return the command behind a number, folded away: pointed at it is shown, opened it can be copied."""
    if not command:
        return Cell("made from Python", line=True)
    return element("details", element("summary", "repeat"), element("code", command), title=command)


def moment(created):
    """Return the Cell of a time in ISO 8601, to the minute."""
    return Cell(created[:16].replace("T", " "), line=True)


def repeats(commands):
    """Return the commands behind a figure, folded away."""
    commands = list(dict.fromkeys(command for command in commands if command))
    if not commands:
        return None
    shown = [element("code", command) for command in commands[:20]]
    more = f"and {len(commands) - 20} more, in the tables" if len(commands) > 20 else None
    return element("details", element("summary", "repeat"), *shown, more, title=commands[0])


def table(header, rows, *, caption=None, grey=()):
    """Return a table; header: texts; rows: lists of Cells or texts; grey: numbers of rows that wait to be run.

    A head stands to the right if the first Cell below it that is a number's does.
    """
    cells = [[part if isinstance(part, Cell) else Cell(part) for part in row] for row in rows]
    right = [any(row[k].number for row in cells) for k in range(len(header))]
    heads = [
        element("th", name, scope="col", class_="number" if is_number else None)
        for name, is_number in zip(header, right, strict=True)
    ]
    body = [
        element("tr", *(_cell(cell, k == 0) for k, cell in enumerate(row)), class_="grey" if at in grey else None)
        for at, row in enumerate(cells)
    ]
    made = element(
        "table",
        element("caption", element("div", caption)) if caption else None,
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        class_="sortable",
    )
    return element("div", made, class_="wide")


def _cell(cell, first):
    value = None if cell.value is None else f"{cell.value:.8g}"
    kind = "name" if first else None
    if cell.number:
        kind = "number"
    elif cell.line:
        kind = "line"
    elif not isinstance(cell.content, Markup) and len(cell.content) > 30:
        kind = "long"
    return element("td", cell.content, class_=kind, data_value=value)


def figure(title, drawing, *, caption=None, commands=()):
    """Return a figure: its title, the drawing, what to see in it, and the commands behind it."""
    about = join(element("div", caption) if caption else None, repeats(commands))
    return element("figure", element("h3", title), drawing, element("figcaption", about) if about else None)


def figures(made):
    """Return figures side by side where there is room; None where there are none."""
    made = [each for each in made if each is not None]
    return element("div", *made, class_="figures") if made else None


def section(identity, title, *content):
    """Return a section of the page with what it holds; None where it holds nothing."""
    content = [part for part in content if part]
    return element("section", element("h2", title, id=identity), *content) if content else None


def paragraph(text):
    """Return a paragraph; None of an empty text."""
    return element("p", text) if text else None


def tile(value, what):
    """Return a number in large letters, and what it is."""
    return element("div", element("b", value), element("span", what), class_="tile")


LAST = 12


def last(items, what):
    """Return (the last few of many things, made to be drawn, and a sentence if some are left out)."""
    left_out = len(items) - LAST
    return items[-LAST:], f"The last {LAST} {what} are drawn; {left_out} more are in the table." if left_out > 0 else ""
