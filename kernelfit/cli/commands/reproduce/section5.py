"""Repeat every row of section 5 of the paper and print it beside ours. Goes on where an earlier run stopped."""

from kernelfit.cli.studying import study_command
from kernelfit.experiments.paper.section5 import Section5Spec

command = study_command(Section5Spec)
