"""Repeat figure 2: accuracy along the training, with and without batch normalisation, and early stopping."""

from kernelfit.cli.studying import study_command
from kernelfit.experiments.paper.nets import Figure2Spec

command = study_command(Figure2Spec)
