"""The commands of the command line, for tests that go through all of them."""

from kernelfit import cli


def commands(app=None, words=()):
    """Yield (words, function) of every command, those of other commands too."""
    app = app or cli.app
    for name in app:
        if not name.startswith("-"):
            found = app[name]
            if found.default_command is None:
                yield from commands(found, (*words, name))
            else:
                yield (*words, name), found.default_command
