"""The paper's section 5 beside ours: one table, on the terminal and as Markdown, and what it says as a whole."""

from rich import box
from rich.table import Table
from rich.text import Text

from kernelfit.common.progress import duration
from kernelfit.report.paper import SECTION_5_CLAIMS

HEADER = ("experiment", "n", "test error: paper", "kernelfit", "norm: paper", "kernelfit, targets 0/1", "notes")


def section5_rows(outcomes):
    """Return the rows of the table, texts under HEADER, of outcomes of kernelfit.experiments.section5."""
    return [_row(outcome) for outcome in outcomes]


def section5_table(outcomes):
    """Return the rich Table of outcomes, with the notes below it."""
    rows = section5_rows(outcomes)
    table = Table(
        title=Text("Section 5 of the paper, and kernelfit"),
        title_justify="left",
        caption=Text("\n\n".join([*(f"{row[0]}: {row[-1]}" for row in rows), *verdicts(outcomes)])),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in HEADER[:-1]:
        table.add_column(name.replace(": ", ":\n"), justify="left" if name == "experiment" else "right")
    for row in rows:
        table.add_row(*map(Text, row[:-1]))
    return table


def section5_markdown(outcomes):
    """Return the same as Markdown, with the command that repeats each row."""
    lines = ["# Section 5 of the paper, and kernelfit", "", _line(HEADER), "|" + "---|" * len(HEADER)]
    lines += map(_line, section5_rows(outcomes))
    lines += ["", *(f"* {verdict}" for verdict in verdicts(outcomes)), "", "```bash"]
    return "\n".join([*lines, *(outcome["command"] for outcome in outcomes), "```", ""])


def verdicts(outcomes):
    """Return what the rows say together, as sentences; those that need a row that is not there are left out."""
    done = {outcome["row"]: outcome for outcome in outcomes if "failed" not in outcome}
    found = []
    pixels, gabor = done.get("mnist-pixels"), done.get("mnist-gabor")
    if pixels and gabor and None not in (pixels["norm"], gabor["norm"]):
        larger, better = gabor["norm"] > pixels["norm"], gabor["test_error"] < pixels["test_error"]
        found.append(
            f"The norm {'does not predict' if larger and better else 'agrees with'} the error: Gabor features have "
            f"norm {gabor['norm']:.4g} and error {_percent(gabor['test_error'])}, pixels norm {pixels['norm']:.4g} and "
            f"error {_percent(pixels['test_error'])}."
        )
    for name in ("mnist-pixels-ridge", "mnist-gabor-ridge"):
        if name in done:
            found.append(_ridge_sentence(name, done[name]))
    return found


def _row(outcome):
    title, paper_error, paper_norm = SECTION_5_CLAIMS[outcome["row"]]
    if "failed" in outcome:
        return title, "", paper_error, "not run", paper_norm, "", outcome["failed"]
    dataset = outcome["dataset"]
    if title.startswith("CIFAR10") and dataset != "cifar10":
        title = title.replace("CIFAR10", dataset)
        paper_error += " on CIFAR10" if paper_error else ""
    error = outcome.get("test_error")
    norm = outcome.get("norm")
    return (
        title,
        f"{outcome['n_train']:,}",
        paper_error,
        "" if error is None else _percent(error),
        paper_norm,
        "" if norm is None else f"{norm:.4g}",
        _notes(outcome),
    )


def _notes(outcome):
    notes = []
    if outcome.get("loo_error") is not None:
        notes.append(f"leave-one-out {_percent(outcome['loo_error'])}")
    if outcome.get("ridge"):
        notes.append(f"ridge {outcome['ridge']:g} by leave-one-out")
    if outcome.get("path"):
        notes.append(", ".join(f"{row['ridge']:g}: {_percent(row['test_error'])}" for row in outcome["path"]))
    if outcome.get("others"):
        notes.append(", ".join(f"{row['name']} ({row['labels']}) {row['ratio']:.3g} x" for row in outcome["others"]))
    if outcome.get("distance") is not None:
        notes.append(
            f"relative distance to the minimum-norm solution {outcome['distance']:.0e}; another start ends "
            f"{outcome['norm_elsewhere'] / outcome['norm']:.3g} times as far out"
        )
    return "; ".join([*notes, duration(outcome["seconds"])])


def _ridge_sentence(name, outcome):
    first, *others = outcome["path"]
    best = min(others, key=lambda row: row["test_error"])
    n = outcome["n_test"]
    # One standard deviation of a difference of two errors on the same n examples is below sqrt(e (1 - e) 2 / n).
    noise = (2 * first["test_error"] * (1 - first["test_error"]) / n) ** 0.5
    gain = first["test_error"] - best["test_error"]
    verdict = "does not improve" if gain <= 0 else "improves by less than noise on" if gain <= 2 * noise else "improves"
    what = "Gabor features" if "gabor" in name else "pixels"
    return (
        f"On {what} of MNIST a ridge {verdict} the test error: {_percent(first['test_error'])} without, at best "
        f"{_percent(best['test_error'])} with {best['ridge']:g}."
    )


def _percent(fraction):
    return f"{100 * fraction:.2f} %"


def _line(cells):
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
