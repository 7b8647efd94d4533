"""Do the exact kernel and nets find the same training examples hard? Compares both on the same images and labels."""

from kernelfit.cli.running import command_of

command = command_of("hardness")
