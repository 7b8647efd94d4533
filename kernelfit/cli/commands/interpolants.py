"""Compare the minimum-norm interpolant with others of the same labels: norms, errors, residuals, conditions."""

from kernelfit.cli.running import command_of

command = command_of("interpolants")
