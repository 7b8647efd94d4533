"""Solve with each of several ridges: does regularisation help? Errors and norm along the path."""

from kernelfit.cli.running import command_of

command = command_of("ridge")
