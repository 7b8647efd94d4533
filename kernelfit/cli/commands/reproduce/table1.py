"""Repeat table 1 of the paper, on nets, and print it beside ours. Goes on where an earlier run stopped."""

from kernelfit.cli.studying import study_command
from kernelfit.experiments.paper.nets import Table1Spec

command = study_command(Table1Spec)
