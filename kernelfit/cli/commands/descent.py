"""Show double descent: minimum-norm fits on few to many random features, through the point where they fit all."""

from kernelfit.cli.running import command_of

command = command_of("descent")
