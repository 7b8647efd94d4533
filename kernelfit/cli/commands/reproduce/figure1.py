"""Repeat figure 1: loss curves of five corruptions; time to fit and test error against label corruption."""

from kernelfit.cli.studying import study_command
from kernelfit.experiments.paper.nets import Figure1Spec

command = study_command(Figure1Spec)
