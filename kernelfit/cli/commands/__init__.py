"""The commands: a module for each, named as the command, whose docstring is its help and whose `command` is run."""
