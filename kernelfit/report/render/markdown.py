"""Tables as Markdown, with the commands that repeat them."""

from kernelfit.report.table import Table


def markdown(table: Table) -> str:
    """Return a table as a Markdown document: title, rows, sentences, commands."""
    marks = ["---:" if right else "---" for right in table.right]
    lines = [f"# {_plain(table.title)}", "", _line(table.columns), _line(marks)]
    lines += [_line(row.cells) for row in table.rows]
    lines += ["", *(f"* {_plain(sentence)}" for sentence in table.sentences), ""]
    if table.commands:
        lines += ["```bash", *table.commands, "```", ""]
    return "\n".join(lines)


def _line(cells):
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text):
    """Return a text in one line, in which nothing starts an element of HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
