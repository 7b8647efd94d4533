"""Rank training labels by how likely they are wrong, and show what speaks against each."""

from kernelfit.cli.running import command_of

command = command_of("label_issues")
