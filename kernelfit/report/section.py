"""What a view gives to the page: sections of figures, tables and pictures, and findings for its first screen."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from kernelfit.report.figure import Figure
from kernelfit.report.table import Table, stacked

LAST = 12  # of one kind are drawn


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found: a sentence, its number, and the command that repeats it."""

    number: str
    sentence: str
    command: str = ""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A PNG in base64, the lines below it, and what is said when it is pointed at."""

    png: str
    told: str
    lines: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pictures:
    """Small pictures side by side; a single one without lines is shown large."""

    title: str
    pictures: tuple[Picture, ...]
    caption: str = ""
    command: str = ""


Part = Table | Figure | Pictures | str
"""What a section holds; a text is a paragraph."""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page under a head of its own; `name` is its place in the page's address.

    What is missing (None) or holds nothing is left out.
    """

    name: str
    title: str
    parts: tuple[Part | None, ...]

    def __post_init__(self) -> None:
        kept = tuple(part for part in self.parts if part and not (isinstance(part, Figure) and not part.panels))
        object.__setattr__(self, "parts", kept)


def gallery(
    name: str,
    title: str,
    items: Sequence[Any],
    table: Callable[[Any], Table],
    figure: Callable[[Any], Figure],
    *,
    what: str,
    caption: str,
) -> Section:
    """Return the section of many things of one kind: the figures of the last ones, and one table of all, newest first.

    `what` they are is said where some are not drawn.
    """
    drawn, note = last(items, what)
    return Section(name, title, (*map(figure, drawn), note, stacked(map(table, reversed(items)), caption=caption)))


def last(items: Sequence[Any], what: str) -> tuple[Sequence[Any], str]:
    """Return (the last few of many things, which are drawn; a sentence if some are left out)."""
    left_out = len(items) - LAST
    return items[-LAST:], f"The last {LAST} {what} are drawn; {left_out} more are in the table." if left_out > 0 else ""
