"""Tables as data: what every renderer is given, the terminal, the page and Markdown alike."""

import dataclasses
from collections.abc import Iterable


class Cell(str):
    """The text of a number, with the number itself, by which a column is sorted (None where it is missing).

    It is a text, so that a sentence holds it as a table does: every number is made once, by kernelfit.report.words.
    """

    value: float | None

    def __new__(cls, text: str = "", value: float | None = None) -> "Cell":
        made = super().__new__(cls, text)
        made.value = value
        return made


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes
    ----------
    cells : tuple of str
        Numbers among them are Cells.
    command : str
        Repeats what the row shows; several stand in lines of their own.
    grey : bool
        Nothing has been run yet that would fill it.
    rule : bool
        A line stands above it.
    """

    cells: tuple[str, ...]
    command: str = ""
    grey: bool = False
    rule: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under their heads.

    Attributes
    ----------
    title : str
    columns : tuple of str
        The heads; a column that holds a Cell stands to the right, and others to the left.
    rows : tuple of Row
    caption : str
        How the columns are to be read.
    notes, warnings : tuple of str
        Sentences that belong below.
    about : dict
        {head: cell} of what all rows have in common: columns of their own where several tables are stacked.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    about: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [row.cells for row in self.rows if len(row.cells) != len(self.columns)]
        if wrong:
            raise ValueError(f"{len(self.columns)} columns, and a row of {len(wrong[0])} cells: {wrong[0]}")

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether each column stands to the right: it holds numbers."""
        return tuple(any(isinstance(row.cells[k], Cell) for row in self.rows) for k in range(len(self.columns)))

    @property
    def sentences(self) -> tuple[str, ...]:
        """What stands below the rows: caption, notes and warnings."""
        below = (self.caption, *self.notes, *map("warning: {}".format, self.warnings))
        return tuple(text for text in below if text)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that repeat the rows, each once."""
        return tuple(dict.fromkeys(line for row in self.rows for line in row.command.splitlines()))


def listing(title: str, pairs: Iterable[tuple[str, ...] | None], columns: tuple[str, ...] = ("", ""), **more) -> Table:
    """Return a table of names and what each stands for; None is a line between them, and what is empty is left out."""
    rows: list[Row] = []
    line = False
    for pair in pairs:
        if pair and pair[1] != "":
            rows.append(Row(pair[: len(columns)], rule=line))
        line = pair is None or (line and pair[1] == "")
    return Table(title=title, columns=columns, rows=tuple(rows), **more)


def stacked(tables: Iterable[Table], *, caption: str = "") -> Table | None:
    """Return one table of the rows of several, what each is about in front of its own; None where there is none.

    Columns of the same head are one. Warnings go along, with the titles of their tables.
    """
    tables = [table for table in tables if table.rows]
    about = dict.fromkeys(head for table in tables for head in table.about)
    columns = tuple(about | dict.fromkeys(head for table in tables for head in table.columns))
    rows = []
    for table in tables:
        for row in table.rows:
            cells = table.about | dict(zip(table.columns, row.cells, strict=True))
            rows.append(dataclasses.replace(row, cells=tuple(cells.get(head, "") for head in columns), rule=False))
    warnings = dict.fromkeys(f"{table.title}: {warning}" for table in tables for warning in table.warnings)
    made = Table(title="", columns=columns, rows=tuple(rows), caption=caption, warnings=tuple(warnings))
    return made if rows else None
