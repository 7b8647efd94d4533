"""Sweep label corruption on one factor: errors, norm and margins at every level, for the price of one solve."""

from kernelfit.cli.running import command_of

command = command_of("sweep")
