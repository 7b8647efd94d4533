"""Train a net until it fits, measure it, and append a record."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kernelfit import nn
from kernelfit.cli.options import OUTPUT, Json, Out, Quiet, Runs, in_words, of_spec
from kernelfit.cli.output import show_now, write_each
from kernelfit.cli.running import check_out, check_targets, files, interruption, show_record
from kernelfit.common.errors import InputError
from kernelfit.common.progress import make_progress
from kernelfit.experiments.net import NetSpec, run_nets
from kernelfit.report.views import net as view


@of_spec(NetSpec)
def command(
    spec,
    *,
    labels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            show_default=in_words,
            group=NetSpec.group,
            help="true, random, or the probability that a label is replaced; a net for each of several.",
        ),
    ] = ("true",),
    seeds: Annotated[int, Parameter(group=NetSpec.group, help="Train with so many seeds, from --seed on.")] = 1,
    resume: Annotated[
        bool,
        Parameter(
            negative=(),
            show_default=False,
            group=OUTPUT,
            help="Go on with the run's checkpoint; what is recorded is not run again.",
        ),
    ] = False,
    runs: Runs = Path("runs"),
    save: Annotated[
        Path | None,
        Parameter(group=OUTPUT, help="Write the trained weights, a state_dict, to this .pt file; default: not kept."),
    ] = None,
    out: Out = (),
    json: Json = False,
    quiet: Quiet = False,
):
    """Train a net and a record for each of --labels and --seeds.

    Started by `torchrun --nproc-per-node 2 -m kernelfit`, the processes share each batch of one net.
    """
    check_targets(runs)
    if save is not None and (save.suffix != ".pt" or not save.absolute().parent.is_dir()):
        raise InputError(f"--save {save}: name a .pt file in a folder that exists")
    check_out(out, view)
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: give 1 or more")
    if seeds * len(labels) > 1 and (save or out):
        raise InputError("--save and --out are for one net; give one of --labels and --seeds")
    is_root = nn.rank() == 0
    progress = make_progress(quiet or not is_root)
    specs = [dataclasses.replace(spec, labels=p, seed=spec.seed + k) for k in range(seeds) for p in labels]
    failures = []
    since = 0.0 if resume else time.time()
    with interruption(lambda: _how_to_go_on(runs, since)):
        for record, net in run_nets(specs, runs=runs, resume=resume, progress=progress):
            if net is None and save:
                raise InputError(
                    f"--save {save}: this net was trained already, and its weights were not kept. Leave out --resume "
                    "to train it again"
                )
            if is_root:
                show_record(record, view, json)
                write_each(progress, *_weights(save, net), *files(out, view, record))
                failures += show_now()  # further nets may take hours
    if failures:
        raise failures[0]


def _how_to_go_on(runs, since):
    """Return what to say of a checkpoint that was written after `since`, a time: others are those of other runs."""
    kept = any(file.stat().st_mtime >= since for file in (runs / "nets").glob("*.pt"))
    return "repeat the command with --resume to go on from the last checkpoint" if kept else ""


def _weights(save, net):
    """Return a function that writes the weights and returns a sentence, where they are asked for."""
    from kernelfit.nn.checkpoints import save_weights

    return [] if save is None else [lambda: f"weights written to {save_weights(save, net)}"]
