"""Compare how likely true and replaced labels are to a Gaussian process, beside the norm of the fit."""

from kernelfit.cli.running import command_of

command = command_of("likelihood")
