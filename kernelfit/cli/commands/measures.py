"""Show every measure of complexity on true and on random labels, and whether it can tell them apart."""

from kernelfit.cli.running import command_of

command = command_of("measures")
