"""The page: sections of tables, figures and pictures as one HTML file that needs no other."""

import base64
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from kernelfit.report.figure import Figure
from kernelfit.report.render.markup import DOCTYPE, Markup, element, join
from kernelfit.report.render.svg import drawing
from kernelfit.report.section import Finding, Part, Pictures, Section
from kernelfit.report.table import Cell, Table

STYLE, SCRIPT = (Markup((Path(__file__).parent / f"page.{kind}").read_text(encoding="utf-8")) for kind in ("css", "js"))
_LONG = 30  # letters of a cell that may take several lines
_COMMANDS = 20  # of a figure are shown


def page(
    title: str, about: str, findings: Iterable[Finding], unread: Markup | None, sections: Sequence[Section], end: str
) -> str:
    """Return the whole page: what was found first, then the sections, and at the end what it was made from."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    # Nothing is fetched, and no script but the one that sorts tables runs, whatever a Record holds.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", title),
        element("style", STYLE),
    )
    links = [element("a", each.title, href=f"#{each.name}") for each in sections]
    body = element(
        "body",
        element("h1", title),
        element("p", about, class_="soft"),
        element("div", *map(_finding, findings), class_="findings"),
        unread,
        element("nav", *links, aria_label="sections"),
        element("main", *map(_section, sections)),
        element("footer", element("p", end, class_="soft")),
        element("script", SCRIPT),
    )
    return join(DOCTYPE, element("html", head, body, lang="en")) + "\n"


def warning(head: str, lines: Iterable[str]) -> Markup:
    """Return a warning with a list of lines."""
    return element("div", head, element("ul", *(element("li", line) for line in lines)), class_="warn", role="note")


def table(made: Table) -> Markup:
    """Return a table that can be sorted, each row with its command folded away, and the sentences below it."""
    heads = [
        element("th", name, scope="col", class_="number" if right else None)
        for name, right in zip(made.columns, made.right, strict=True)
    ]
    commands = bool(made.commands)
    heads += [element("th", "command", scope="col")] if commands else []
    rows = [
        element(
            "tr",
            *(_cell(cell, first=k == 0) for k, cell in enumerate(row.cells)),
            element("td", repeat(row.command.splitlines()) or "made from Python", class_="line") if commands else None,
            class_="grey" if row.grey else None,
        )
        for row in made.rows
    ]
    caption = [element("b", made.title + ". ") if made.title else None, made.caption or None]
    drawn = element(
        "table",
        element("caption", element("div", *caption)) if any(caption) else None,
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_="sortable",
    )
    below = [element("p", note) for note in made.notes]
    below += [warning("Warnings:", made.warnings)] if made.warnings else []
    return join(element("div", drawn, class_="wide"), *below)


def figure(made: Figure) -> Markup:
    """Return a card for each panel of a figure, with what to see in it and the commands behind it."""
    cards = []
    for panel in made.panels:
        title = f"{panel.title}: {made.title}"
        cards.append(_card(title, drawing(panel, title), panel.caption, made.commands))
    return join(*cards)


def repeat(commands: Sequence[str]) -> Markup | None:
    """Return commands, folded away: pointed at the first is shown, opened they can be copied."""
    commands = [command for command in commands if command]
    if not commands:
        return None
    shown = [element("code", command) for command in commands[:_COMMANDS]]
    left_out = len(commands) - _COMMANDS
    more = f"and {left_out} more, in the tables" if left_out > 0 else None
    return element("details", element("summary", "repeat"), *shown, more, title=commands[0])


def _section(made: Section) -> Markup:
    """Return a section; figures and pictures that follow each other stand side by side where there is room."""
    content: list[Markup] = []
    for drawn, parts in itertools.groupby(made.parts, lambda part: isinstance(part, Figure | Pictures)):
        shown = map(_part, parts)
        content += [element("div", *shown, class_="figures")] if drawn else shown
    return element("section", element("h2", made.title, id=made.name), *content)


def _part(part: Part | None) -> Markup:
    if isinstance(part, Table):
        return table(part)
    if isinstance(part, Figure):
        return figure(part)
    return _pictures(part) if isinstance(part, Pictures) else element("p", part)


def _pictures(made: Pictures) -> Markup:
    if len(made.pictures) == 1 and not made.pictures[0].lines:
        [only] = made.pictures
        shown = element("img", src=f"data:image/png;base64,{only.png}", alt=only.told, class_="sheet")
    else:
        shown = element("div", *map(_picture, made.pictures), class_="pictures")
    return _card(made.title, shown, made.caption, (made.command,))


def _picture(made):
    source = f"data:image/png;base64,{made.png}"
    image = element("img", src=source, alt=made.told, title=made.told, width=64, height=64)
    return element("div", image, *(element("div", line) for line in made.lines), class_="picture")


def _card(title, shown, caption, commands):
    about = join(element("div", caption) if caption else None, repeat(commands))
    return element("figure", element("h3", title), shown, element("figcaption", about) if about else None)


def _finding(made: Finding) -> Markup:
    shown = element("b", made.number), element("p", made.sentence), repeat([made.command])
    return element("div", *shown, class_="finding")


def _cell(cell, *, first):
    value = cell.value if isinstance(cell, Cell) else None
    kind = "number" if isinstance(cell, Cell) else "name" if first else "long" if len(cell) > _LONG else None
    return element("td", cell, class_=kind, data_value=None if value is None else f"{value:.8g}")
