"""Commands that repeat a part of the paper: reproduce section5."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from kernelfit.cli.application import reproduce_app
from kernelfit.cli.options import DataDir, Device, Json, Memory, Quiet, check_targets, in_words, interruption
from kernelfit.cli.output import showing, write_each
from kernelfit.common.quantities import parse_bytes


@reproduce_app.command
def section5(
    *,
    scale: Annotated[
        Literal["quick", "full"],
        Parameter(help="quick: a few thousand images, minutes; full: all images and 32,000 channels, hours."),
    ] = "quick",
    rows: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            help="Only these: mnist-pixels, mnist-gabor, mnist-scattering, mnist-pixels-ridge, mnist-gabor-ridge, "
            "cifar10-pixels, cifar10-randomconv, cifar10-randomconv-ridge, cifar10-randomconv-rooted, "
            "cifar10-randomconv-rooted-ridge, interpolants, linear.",
        ),
    ] = (),
    cifar10: Annotated[str, Parameter(help="Dataset of the CIFAR10 rows: cifar10, or a path.")] = "cifar10",
    device: Device = "auto",
    memory: Memory = None,
    scratch: Annotated[
        Path | None, Parameter(help="Folder that keeps inner products of random convolutional features; default: none.")
    ] = None,
    data_dir: DataDir = None,
    runs: Annotated[
        Path, Parameter(help="Folder for Records; rows that its section5.jsonl holds are not run again.")
    ] = Path("runs"),
    out: Annotated[Path | None, Parameter(help="Write the table as Markdown to this file; default: none.")] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Repeat every row of section 5 of the paper and print it beside ours. Goes on where an earlier run stopped."""
    from kernelfit.common.files import write_text
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.section5 import Section5Spec, run_section5
    from kernelfit.report.section5 import section5_markdown, section5_table

    check_targets(runs, None, scratch)
    spec = Section5Spec(
        scale=scale,
        rows=rows,
        cifar10=cifar10,
        device=device,
        memory=None if memory is None else parse_bytes(memory),
        scratch=None if scratch is None else str(scratch),
        data_dir=None if data_dir is None else str(data_dir),
    )
    progress, kept = make_progress(quiet), "rows that are done are kept: repeat the command to go on"
    with showing(section5_table, json) as outcomes, interruption(kept):
        outcomes.extend(run_section5(spec, runs=runs, progress=progress))
    if out is not None:
        write_each(progress, lambda: f"table written to {write_text(out, section5_markdown(outcomes))}")
    return 1 if any("failed" in outcome for outcome in outcomes) else 0
