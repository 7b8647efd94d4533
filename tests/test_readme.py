"""README tells the truth: its examples run, and its commands are commands."""

import re
import shlex
from pathlib import Path

import pytest

from kernelfit import cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
COMMANDS = sorted({found for found in re.findall(r"`(kernelfit [^`]+)`", README) if "..." not in found})
LINKS = re.findall(r"\]\(([^)#:]+)\)", README)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README example {number + 1}", "exec"), {})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    words = shlex.split(command.replace("DIR", "folder").replace("FOLDER", "folder"))
    called, _, _ = cli.app.parse_args(words[1:], exit_on_error=False, print_error=False)
    assert called.__name__.strip("_") in words


def test_links_lead_somewhere():
    assert LINKS
    for link in LINKS:
        assert (Path(__file__).parents[1] / link).exists(), link


def test_every_command_is_in_the_readme():
    for name in cli.app:
        if not name.startswith("-"):
            assert f"kernelfit {name}" in README, name
