"""The paper's own numbers, to stand beside ours.

Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning (still) requires rethinking generalization",
CACM 64(3), 2021, section 5. The paper does not say for which target coding its norms are; ours are given for both.
"""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class PaperResult:
    """A result of section 5: error as a fraction, norm as printed there ("about"), or None where there is none."""

    test_error: float
    norm: float | None = None


_SECTION_5 = {
    ("mnist", "gaussian", "pixels"): PaperResult(0.012, 220),
    ("cifar10", "gaussian", "pixels"): PaperResult(0.46),
}
_SIZES = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}


def paper_result(record):
    """Return the PaperResult of the experiment of a Record (whole data, true labels and pixels, no ridge), or None."""
    name = record.dataset["asked"]
    same = (
        (record.n_train, record.n_test) == _SIZES.get(name)
        and record.corruption["labels"] == 0
        and record.corruption["pixels"] == "true"
        and record.ridge == 0
    )
    kernel = re.fullmatch(r"(\w+)\([^()]*\)", record.kernel)  # one kernel, not a combination
    return _SECTION_5.get((name, kernel[1], record.features)) if same and kernel else None
