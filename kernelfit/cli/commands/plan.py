"""Show memory, disk and time of every way to solve, and which would be chosen. Measures the machine once."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from kernelfit.cli.options import DataDir, Json, Quiet
from kernelfit.cli.output import show_json, show_table
from kernelfit.common.errors import InputError
from kernelfit.common.progress import make_progress
from kernelfit.common.quantities import parse_bytes, parse_network_speed
from kernelfit.experiments.cluster_plan import run_cluster_plan
from kernelfit.experiments.plan import run_plan
from kernelfit.report.views import plan as view

PROBLEM, MACHINE = Group("What is fitted", sort_key=0), Group("On what machine", sort_key=1)


def command(
    *,
    data: Annotated[
        str | None, Parameter(group=PROBLEM, help="Plan for this dataset; default: for --n points of --d pixels.")
    ] = None,
    n: Annotated[int | None, Parameter(group=PROBLEM, help="Training points; default: those of --data.")] = None,
    n_test: Annotated[int, Parameter(group=PROBLEM, help="Test points.")] = 10_000,
    d: Annotated[int, Parameter(group=PROBLEM, help="Pixels of an image.")] = 784,
    outputs: Annotated[int, Parameter(group=PROBLEM, help="Classes.")] = 10,
    loo: Annotated[bool, Parameter(group=PROBLEM, negative=(), help="With leave-one-out.")] = False,
    precision: Annotated[
        Literal["auto", "float64", "mixed"], Parameter(group=MACHINE, help="Of the factor; auto: whichever is quicker.")
    ] = "auto",
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Parameter(group=MACHINE, help="auto: the GPU where CuPy finds one.")
    ] = "auto",
    memory: Annotated[
        str | None, Parameter(group=MACHINE, help='Plan for this much memory, as in "24GB"; default: what is free.')
    ] = None,
    tflops: Annotated[
        tuple[float, float] | None,
        Parameter(
            group=MACHINE,
            negative=(),
            help="Plan for another machine: TFLOP/s of its products in float64 and float32; default: measured.",
        ),
    ] = None,
    machines: Annotated[
        int | None,
        Parameter(
            group=MACHINE,
            help="Plan for this many machines on a network, of --cores and --memory each; default: this one alone.",
        ),
    ] = None,
    cores: Annotated[int | None, Parameter(group=MACHINE, help="Cores of each of the machines; no default.")] = None,
    network: Annotated[
        str | None, Parameter(group=MACHINE, help='What reaches each of them, as in "10Gbit" a second; no default.')
    ] = None,
    scratch: Annotated[
        Path | None, Parameter(group=MACHINE, help="Folder on a disk for a factor too large for memory; default: none.")
    ] = None,
    calibrate: Annotated[bool, Parameter(group=MACHINE, negative=(), help="Measure this machine again.")] = False,
    data_dir: Annotated[DataDir, Parameter(group=PROBLEM)] = None,
    json: Json = False,
    quiet: Quiet = False,
):
    """Show the plan of a solve on this machine or another, or on several."""
    if (machines, cores, network) != (None, None, None):
        own = {"data": data, "loo": loo or None, "scratch": scratch, "calibrate": calibrate or None}
        own |= {"precision": None if precision == "auto" else precision, "data-dir": data_dir}
        own |= {"device": None if device == "auto" else device}
        _refuse(own, "for one machine; leave it out beside --machines")
        _plan_cluster(n, n_test, d, outputs, machines, cores, memory, network, tflops, json)
        return
    if data is not None:
        shape = {"n-test": None if n_test == 10_000 else n_test, "d": None if d == 784 else d}
        _refuse(shape | {"outputs": None if outputs == 10 else outputs}, "that of --data; leave it out")
    made = run_plan(
        data=data,
        n=n,
        n_test=n_test,
        d=d,
        outputs=outputs,
        loo=loo,
        precision=precision,
        device=device,
        memory=None if memory is None else parse_bytes(memory),
        tflops=tflops,
        scratch=scratch,
        calibrate=calibrate,
        data_dir=data_dir,
        progress=make_progress(quiet),
    )
    if json:
        ways = [dataclasses.asdict(way) | {"chosen": way is made.chosen} for way in made.ways]
        show_json({"n": made.problem.n, "free": made.free, "largest_n": made.largest_n, "ways": ways})
    else:
        show_table(view.table, made)


def _refuse(options, why):
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name} is {why}")


def _plan_cluster(n, n_test, d, outputs, machines, cores, memory, network, tflops, json):
    """Print what the engines take over several machines."""
    made = run_cluster_plan(
        n=n,
        n_test=n_test,
        d=d,
        outputs=outputs,
        machines=machines,
        cores=cores,
        memory=None if memory is None else parse_bytes(memory),
        bandwidth=None if network is None else parse_network_speed(network),
        tflops=tflops,
    )
    if json:
        show_json(made.to_dict())
    else:
        show_table(view.cluster_table, made)
