"""One self-contained HTML page of all records: what was found first, then tables, figures, pictures, and commands."""

import itertools

from kernelfit import __version__
from kernelfit.records.reading import Records
from kernelfit.report.render import html
from kernelfit.report.section import Finding
from kernelfit.report.views import VIEWS

_FINDINGS = 8  # on the first screen
_UNREAD = 50  # lines are named
_ABOUT = (
    "Exact kernel interpolation and the study of implicit regularization, after Zhang, Bengio, Hardt, Recht and "
    "Vinyals, “Understanding deep learning (still) requires rethinking generalization”, CACM 64(3), 2021. Point at a "
    "mark for its value; “repeat” shows the command that makes a number again."
)


def report_page(records: Records) -> str:
    """Return the HTML page of Records as text: it needs no other file, and is the same for the same Records."""
    sections = [section for view in VIEWS if (section := view.section(records)).parts]
    kinds = list(dict.fromkeys(record.kind for record in records.records))
    counts = ", ".join(f"{kind} {len(records.of(kind)):,}" for kind in sorted(kinds))
    made_of = f"Made by kernelfit {__version__} from {len(records.records):,} records alone ({counts})."
    return html.page("kernelfit: report", _ABOUT, _found(records), _unread(records.unread), sections, made_of)


def _found(records: Records) -> list[Finding]:
    """Return the weightiest findings of every view, then the next of each, as many as a screen holds."""
    ranked = itertools.zip_longest(*(view.findings(records) for view in VIEWS))
    return [found for each in ranked for found in each if found][:_FINDINGS]


def _unread(unread):
    """Return a warning that names lines that are no whole records."""
    if not unread:
        return None
    one = len(unread) == 1
    head = f"{len(unread)} line{'' if one else 's'} could not be read and {'is' if one else 'are'} left out:"
    lines = [f"{each.file}{f', line {each.number}' * bool(each.number)}: {each.reason}" for each in unread[:_UNREAD]]
    return html.warning(head, [*lines, *[f"and {len(unread) - _UNREAD} more"] * (len(unread) > _UNREAD)])
