"""One self-contained HTML page of all Records of a folder: tables, figures, pictures, and the commands behind them."""

import base64
import hashlib

from kernelfit import __version__
from kernelfit.report.page.benches import benches_section
from kernelfit.report.page.descents import descents_section
from kernelfit.report.page.fits import fits_section
from kernelfit.report.page.nets import nets_section
from kernelfit.report.page.norms import norms_section
from kernelfit.report.page.pictures import pictures_section
from kernelfit.report.page.ridges import ridges_section
from kernelfit.report.page.section5 import section5_section
from kernelfit.report.page.solves import solves_section
from kernelfit.report.page.style import SCRIPT, STYLE
from kernelfit.report.page.summary import summary
from kernelfit.report.page.sweeps import sweeps_section
from kernelfit.report.svg.markup import DOCTYPE, element, join

_SECTIONS = (
    ("section5", "Section 5", section5_section),
    ("sweeps", "Corruption", sweeps_section),
    ("norms", "Norms", norms_section),
    ("ridge", "Ridge", ridges_section),
    ("descent", "Double descent", descents_section),
    ("solves", "Solves", solves_section),
    ("pictures", "Pictures", pictures_section),
    ("nets", "Nets", nets_section),
    ("estimators", "Estimators", fits_section),
    ("benchmarks", "Speed", benches_section),
)


def report_page(runs):
    """Return the HTML page of Runs as text: it needs no other file, and is the same for the same Runs."""
    made = [(name, title, each(runs)) for name, title, each in _SECTIONS]
    made = [(name, title, content) for name, title, content in made if content]
    links = [element("a", title, href=f"#{name}") for name, title, _ in made]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    # Nothing is fetched, and no script but the one that sorts tables runs, whatever a Record holds.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", "kernelfit: report"),
        element("style", STYLE),
    )
    body = element(
        "body",
        element("h1", "kernelfit: report"),
        element(
            "p",
            "Exact kernel interpolation and the study of implicit regularization, after Zhang, Bengio, Hardt, Recht "
            "and Vinyals, “Understanding deep learning (still) requires rethinking generalization”, CACM 64(3), 2021. "
            "Point at a mark for its value; “repeat” shows the command that makes a number again.",
            class_="soft",
        ),
        element("nav", *links, aria_label="sections"),
        element("main", summary(runs), *(content for *_, content in made)),
        element("footer", element("p", f"Made by kernelfit {__version__} from Records alone.", class_="soft")),
        element("script", SCRIPT),
    )
    return join(DOCTYPE, element("html", head, body, lang="en")) + "\n"
