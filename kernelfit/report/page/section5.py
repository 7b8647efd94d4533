"""The paper's section 5 beside ours; claims that no run has answered yet are grey, with the command that would."""

from kernelfit.report.page.parts import WAITS, repeat, section, table
from kernelfit.report.paper import SECTION_5_CLAIMS, paper_result
from kernelfit.report.section5 import section5_rows
from kernelfit.report.svg.markup import element

_HEADER = (
    "experiment",
    "n",
    "test error: paper",
    "kernelfit",
    "norm: paper",
    "kernelfit, targets 0/1",
    "notes",
    "command",
)
_BY_RESULT = {
    ("mnist", "pixels"): "mnist-pixels",
    ("mnist", "gabor"): "mnist-gabor",
    ("cifar10", "pixels"): "cifar10-pixels",
    ("cifar10", "randomconv"): "cifar10-randomconv",
}


def section5_section(runs):
    """Return the table of all claims; whole solves stand in for rows that `reproduce section5` has not run."""
    rows, grey = [], set()
    for name in SECTION_5_CLAIMS:
        outcomes = [each for each in runs.section5 if each["row"] == name] or _from_solves(runs, name)
        for outcome, texts in zip(outcomes, section5_rows(outcomes), strict=True):
            ours = [element("b", texts[3]) if texts[3] else ""]
            rows.append([*texts[:3], *ours, *texts[4:], repeat(outcome["command"])])
        if not outcomes:
            grey.add(len(rows))
            title, error, norm = SECTION_5_CLAIMS[name]
            command = f"kernelfit reproduce section5 --scale full --rows {name}"
            rows.append([title, "", error, WAITS, norm, "", "", repeat(command)])
    caption = "Nothing is chosen on test images. The paper does not say for which targets its norms are."
    return section("section5", "Section 5 of the paper: kernels", table(_HEADER, rows, caption=caption, grey=grey))


def _from_solves(runs, name):
    """Return as outcomes the last Record that is this claim's experiment, or nothing."""
    for row in reversed(runs.solves):
        if paper_result(row) and _BY_RESULT.get((row.dataset["asked"], row.features.partition("(")[0])) == name:
            found = {
                key: getattr(row, key) for key in ("n_train", "n_test", "test_error", "loo_error", "norm", "ridge")
            }
            return [
                found
                | {"row": name, "command": row.command, "dataset": row.dataset["name"]}
                | {"seconds": row.seconds["total"]}
            ]
    return []
