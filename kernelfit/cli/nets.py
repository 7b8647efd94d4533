"""Commands for neural nets: nn train, nn table1, reproduce figure1, reproduce figure2."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from kernelfit.cli.application import nn_app, reproduce_app
from kernelfit.cli.options import (
    DataDir,
    DataName,
    Json,
    NTest,
    NTrain,
    Quiet,
    check_targets,
    in_words,
    interruption,
)
from kernelfit.cli.output import show_json, show_now, show_table, write_each
from kernelfit.common.errors import InputError

NetDevice = Annotated[Literal["auto", "cpu", "cuda"], Parameter(help="auto: the GPU where PyTorch finds one.")]
NetRuns = Annotated[
    Path, Parameter(help="Folder whose nets.jsonl gets a record; checkpoints lie in its nets folder meanwhile.")
]
StudyScale = Annotated[
    Literal["quick", "full"],
    Parameter(help="quick: some thousand images and small nets, minutes on 2 cores; full: as in the paper, on a GPU."),
]
StudyRows = Annotated[
    tuple[str, ...],
    Parameter(
        negative=(),
        consume_multiple=True,
        show_default=in_words,
        help="Only these rows or curves; a wrong name lists them all.",
    ),
]
Seeds = Annotated[int, Parameter(help="How many seeds: of corruption, weights, order.")]
Cifar10 = Annotated[str, Parameter(help="CIFAR10: cifar10, or a path.")]
FigureData = Annotated[
    str | None, Parameter(help="Dataset by name or path; default: mnist at the quick scale, cifar10 at the full one.")
]
ImageNet = Annotated[
    str | None, Parameter(help="Class folders of ImageNet-sized images, for the rows that need them; default: none.")
]
NetPrecision = Annotated[
    Literal["float32", "bfloat16"], Parameter(help="Of the forward pass of training; errors are float32's.")
]
Compile = Annotated[bool, Parameter(negative=(), help="Compile the net with torch.compile.")]
StudyRuns = Annotated[Path, Parameter(help="Folder for records; runs that its nets.jsonl holds are not repeated.")]
Out = Annotated[Path | None, Parameter(help="Write the table as Markdown to this file; default: none.")]
Plot = Annotated[Path | None, Parameter(help="Write the figure to this .svg, .png or .pdf; default: none.")]


@nn_app.command
def table1(
    *,
    scale: StudyScale = "quick",
    rows: StudyRows = (),
    seeds: Seeds = 3,
    data: Cifar10 = "cifar10",
    imagenet: ImageNet = None,
    precision: NetPrecision = "float32",
    compile: Compile = False,
    device: NetDevice = "auto",
    data_dir: DataDir = None,
    runs: StudyRuns = Path("runs"),
    out: Out = None,
    plot: Plot = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Repeat table 1 of the paper and print it beside ours. Goes on where an earlier run stopped."""
    options: dict[str, Any] = {"scale": scale, "rows": rows, "seeds": seeds, "data": data, "imagenet": imagenet}
    options |= {"precision": precision, "compile": compile, "device": device, "data_dir": data_dir}
    return _study("table1", options, runs, out, plot, json, quiet)


@reproduce_app.command
def figure1(
    *,
    scale: StudyScale = "quick",
    rows: StudyRows = (),
    seeds: Seeds = 3,
    data: FigureData = None,
    precision: NetPrecision = "float32",
    compile: Compile = False,
    device: NetDevice = "auto",
    data_dir: DataDir = None,
    runs: StudyRuns = Path("runs"),
    out: Out = None,
    plot: Plot = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Repeat figure 1: loss curves of five corruptions; time to fit and test error against label corruption."""
    options: dict[str, Any] = {"scale": scale, "rows": rows, "seeds": seeds, "data": data}
    options |= {"precision": precision, "compile": compile, "device": device, "data_dir": data_dir}
    return _study("figure1", options, runs, out, plot, json, quiet)


@reproduce_app.command
def figure2(
    *,
    scale: StudyScale = "quick",
    rows: StudyRows = (),
    seeds: Seeds = 3,
    data: FigureData = None,
    imagenet: ImageNet = None,
    precision: NetPrecision = "float32",
    compile: Compile = False,
    device: NetDevice = "auto",
    data_dir: DataDir = None,
    runs: StudyRuns = Path("runs"),
    out: Out = None,
    plot: Plot = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Repeat figure 2: accuracy along the training, with and without batch normalisation, and early stopping."""
    options: dict[str, Any] = {"scale": scale, "rows": rows, "seeds": seeds, "data": data, "imagenet": imagenet}
    options |= {"precision": precision, "compile": compile, "device": device, "data_dir": data_dir}
    return _study("figure2", options, runs, out, plot, json, quiet)


def _study(study, options, runs, out, plot, json, quiet):
    """Run a study; print its table or JSON; return the exit code."""
    from kernelfit import nn
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.nets_paper import PaperSpec, run_study
    from kernelfit.report.figures import check_figure

    check_targets(runs, None)
    if plot is not None:
        check_figure(plot)
    data_dir = options["data_dir"]
    spec = PaperSpec(study=study, **options | {"data_dir": None if data_dir is None else str(data_dir)})
    is_root = nn.rank() == 0  # of the processes that torchrun started
    progress = make_progress(quiet or not is_root)
    outcomes = []
    try:
        with interruption("what is done is kept: repeat the command to go on"):
            outcomes.extend(run_study(spec, runs=runs, progress=progress))
    finally:
        if is_root and outcomes:
            _show_study(study, outcomes, json)
    if is_root:
        _write_study(study, outcomes, out, plot, progress)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


def _show_study(study, outcomes, json):
    """Show the table or JSON."""
    from kernelfit.report.nets_paper import study_table

    if json:
        shown = [(each, [record.identity for record in each.records]) for each in outcomes]
        show_json([{"row": each.entry.name, "records": ids, "failed": each.failed} for each, ids in shown])
    else:
        show_table(study_table, study, outcomes)


def _write_study(study, outcomes, out, plot, progress):
    """Write the table and the figure where they are asked for."""
    from kernelfit.common.files import write_text
    from kernelfit.report.nets_paper import plot_study, study_markdown

    writes = []
    if out is not None:
        writes.append(lambda: f"table written to {write_text(out, study_markdown(study, outcomes))}")
    if plot is not None:
        writes.append(lambda: f"figure written to {plot_study(study, outcomes, plot)}")
    write_each(progress, *writes)


@nn_app.command
def train(
    *,
    model: Annotated[
        str,
        Parameter(
            help="inception, alexnet, mlp1x512, mlp3x512, mlp, inception_v3 (with torchvision); with options as in "
            '"inception(batch_norm=False, width=0.5)"; or module:callable for your own, with options too.'
        ),
    ] = "mlp1x512",
    data: DataName = "digits",
    labels: Annotated[
        tuple[str, ...],
        Parameter(
            negative=(),
            consume_multiple=True,
            help="true, random, or the probability that a label is replaced; a net for each of several.",
        ),
    ] = ("true",),
    pixels: Annotated[
        Literal["true", "shuffled", "random", "gaussian"], Parameter(help="Pixels of training and test images.")
    ] = "true",
    seed: Annotated[int, Parameter(help="Seed of corruption, subsets, weights, order, crops and dropout.")] = 0,
    seeds: Annotated[int, Parameter(help="Train with so many seeds, from --seed on.")] = 1,
    epochs: Annotated[int, Parameter(help="End after so many.")] = 100,
    steps: Annotated[int | None, Parameter(help="End after so many; default: no limit.")] = None,
    target: Annotated[float, Parameter(help="Training accuracy, measured exactly, that counts as fitted.")] = 1.0,
    stop_when_fitted: Annotated[bool, Parameter(help="Whether to end there.")] = True,
    loss_below: Annotated[
        float | None, Parameter(help="End when the mean loss of an epoch is below this; default: never.")
    ] = None,
    batch: Annotated[int, Parameter(help="Images in a step.")] = 128,
    lr: Annotated[float | None, Parameter(help="Learning rate; default: 0.1 for Inception, 0.01 for others.")] = None,
    momentum: Annotated[float, Parameter(help="Of stochastic gradient descent.")] = 0.9,
    lr_decay: Annotated[float, Parameter(help="Factor of the learning rate after each epoch.")] = 0.95,
    weight_decay: Annotated[float, Parameter(help="Of weights; not of biases.")] = 0.0,
    decay_layers: Annotated[Literal["all", "fc"], Parameter(help="fc: of fully connected layers alone.")] = "all",
    dropout: Annotated[float, Parameter(help="After each hidden fully connected layer.")] = 0.0,
    augment: Annotated[bool, Parameter(negative=(), help="Random crops instead of the middle.")] = False,
    crop: Annotated[int, Parameter(help="Larger images are cut to this many pixels a side; 0: whole images.")] = 28,
    stream: Annotated[
        bool,
        Parameter(negative=(), help="Read class folders while training: for images of any size, too many for memory."),
    ] = False,
    resize: Annotated[
        int | None, Parameter(help="Pixels a side of streamed images before the crop; default: 8/7 of the crop.")
    ] = None,
    whiten: Annotated[
        bool, Parameter(help="Whiten each image by its mean and deviation; of a table, standardise each column.")
    ] = True,
    init: Annotated[Literal["he", "torch"], Parameter(help="Initial weights: He et al., or PyTorch's own.")] = "he",
    precision: NetPrecision = "float32",
    compile: Compile = False,
    device: NetDevice = "auto",
    n_train: NTrain = None,
    n_test: NTest = None,
    test_every: Annotated[int, Parameter(help="Epochs between test accuracies; 0: at the end alone.")] = 1,
    curve_every: Annotated[int, Parameter(help="Steps in a point of the loss curve.")] = 50,
    checkpoint_every: Annotated[float, Parameter(help="Seconds between checkpoints.")] = 60.0,
    resume: Annotated[bool, Parameter(negative=(), help="Go on with the checkpoint of the same run.")] = False,
    data_dir: DataDir = None,
    runs: NetRuns = Path("runs"),
    save: Annotated[
        Path | None, Parameter(help="Write the trained weights, a state_dict, to this .pt file; default: not kept.")
    ] = None,
    plot: Plot = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Train a net until it fits, measure it, and append a record.

    With several --labels or --seeds there is a net and a record for each; MLPs without dropout are trained as one.
    Started by `torchrun --nproc-per-node 2 -m kernelfit.cli`, the processes share each batch of one net.
    """
    import dataclasses

    from kernelfit import nn
    from kernelfit.common.progress import make_progress
    from kernelfit.experiments.nets import NetSpec, run_nets
    from kernelfit.report.figures import check_figure

    check_targets(runs, None)
    if save is not None and (save.suffix != ".pt" or not save.absolute().parent.is_dir()):
        raise InputError(f"--save {save}: name a .pt file in a folder that exists")
    if plot is not None:
        check_figure(plot)
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: give 1 or more")
    if seeds * len(labels) > 1 and (save or plot):
        raise InputError("--save and --plot are for one net; give one of --labels and --seeds")
    spec = NetSpec(
        model=model,
        data=data,
        labels=labels[0],
        pixels=pixels,
        seed=seed,
        epochs=epochs,
        steps=steps,
        target=target,
        stop_when_fitted=stop_when_fitted,
        loss_below=loss_below,
        batch=batch,
        lr=lr,
        momentum=momentum,
        lr_decay=lr_decay,
        weight_decay=weight_decay,
        decay_layers=decay_layers,
        dropout=dropout,
        augment=augment,
        crop=crop,
        stream=stream,
        resize=resize,
        whiten=whiten,
        init=init,
        precision=precision,
        compile=compile,
        device=device,
        n_train=n_train,
        n_test=n_test,
        test_every=test_every,
        curve_every=curve_every,
        checkpoint_every=checkpoint_every,
        data_dir=None if data_dir is None else str(data_dir),
    )
    is_root = nn.rank() == 0
    progress = make_progress(quiet or not is_root)
    specs = [dataclasses.replace(spec, labels=p, seed=seed + k) for k in range(seeds) for p in labels]
    failures = []
    with interruption("repeat the command with --resume to go on from the last checkpoint"):
        for record, net in run_nets(specs, runs=runs, resume=resume, progress=progress):
            if is_root:
                _tell(record, net, json, save, plot, progress)
                failures += show_now()  # further nets may take hours
    if failures:
        raise failures[0]


def _tell(record, net, json, save, plot, progress):
    """Show a record, write the weights and the figure where they are asked for."""
    from kernelfit.report.nets import net_table, plot_training

    if json:
        show_json(record)
    else:
        show_table(net_table, record)
    writes = []
    if save is not None:
        from kernelfit.nn.checkpoints import save_weights

        writes.append(lambda: f"weights written to {save_weights(save, net)}")
    if plot is not None:
        writes.append(lambda: f"figure written to {plot_training(record, plot)}")
    write_each(progress, *writes)
