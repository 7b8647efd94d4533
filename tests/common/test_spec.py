"""Specs: each option is declared once, and command, JSON, checks and id come from there."""

import dataclasses
import math
import shlex
from typing import Literal

import pytest

from kernelfit.common.errors import InputError
from kernelfit.common.quantities import parse_bytes, parse_range
from kernelfit.common.spec import Spec, option, option_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part(Spec):
    group = "A part"

    folder: str | None = option(None, "A folder.", path=True, incidental=True)
    memory: int | None = option(None, "Bytes.", parse=parse_bytes, incidental=True, least=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study(Part):
    words = ("some", "study")

    levels: tuple[float, ...] = option((0.5,), "Levels.", parse=parse_range, old="steps", shown=True)
    names: tuple[str, ...] = option((), "Names.", name="name")
    width: float | Literal["auto"] = option("auto", "Width.")
    count: int = option(3, "Count.", least=1)
    fast: bool = option(False, "Fast.")
    safe: bool = option(True, "Safe.")
    way: Literal["left", "right"] = option("left", "Way.")

    def check(self):
        if self.fast and self.safe:
            raise InputError("`fast` and `safe` exclude each other")


def test_the_command_says_what_differs_and_what_is_always_shown():
    assert Study().command() == "kernelfit some study --levels 0.5"
    spec = Study(
        levels="0:1:0.5", names=("a b", "c"), width=2, fast=True, safe=False, folder="/x y", memory="2kB", way="right"
    )
    expected = "kernelfit some study --folder '/x y' --memory 2000 --levels 0.0 0.5 1.0 --name 'a b' c --width 2.0 "
    assert spec.command() == expected + "--fast --no-safe --way right"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"levels": (1e-9, 1 / 3, 2.0)},
        {"names": ("it's", "$HOME", "")},
        {"width": 0.1, "count": 7},
        {"fast": True, "safe": False},
        {"folder": "a/b c", "memory": 10**12},
        {"folder": "-x", "names": ("-y", "a=b", "")},
    ],
    ids=str,
)
def test_a_printed_command_is_read_back(options):
    spec = Study(**options)
    for start in ("", "mpiexec -n 2 "):
        again = Study.of_command(start + spec.command())
        assert again == spec and again.identity() == spec.identity()


def test_what_was_called_otherwise_once_is_understood():
    assert Study.of_command("kernelfit some study --steps 0:1:1 --name a --name b").levels == (0.0, 1.0)
    assert Study.of_command("kernelfit some study --name a --name b").names == ("a", "b")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("kernelfit other", "no command"),
        ("kernelfit some study 3", "before any option"),
        ("kernelfit some study --levls 3", "did you mean 'levels'"),
        ("kernelfit some study --count three", "count = 'three'"),
        ("kernelfit some study --count 0", "at least 1"),
    ],
)
def test_what_is_no_command_of_it_is_refused(command, message):
    with pytest.raises(InputError, match=message):
        Study.of_command(command)


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0},
        {"count": 1.5},
        {"count": True},
        {"count": "3"},
        {"width": "wide"},
        {"width": math.nan},
        {"width": -1},
        {"levels": (0.5, "x")},
        {"memory": "much"},
        {"memory": 0},
        {"way": "up"},
        {"way": None},
        {"safe": "no"},
        {"fast": True},
    ],
    ids=str,
)
def test_what_an_option_cannot_be_is_refused_by_its_name(options):
    [name] = options
    with pytest.raises(InputError) as caught:
        Study(**options)
    assert name in str(caught.value) or name in ("levels", "memory")


def test_a_single_value_stands_for_several():
    assert Study(levels=1).levels == (1.0,) == Study(levels=[1]).levels and Study(names="a").names == ("a",)


def test_the_id_is_that_of_the_outcome_and_not_of_its_text():
    ids = {Study().identity(), Study(levels=0.5).identity(), Study(folder="/elsewhere", memory=1).identity()}
    assert len(ids) == 1
    others = [Study(count=4), Study(width=1), Study(way="right"), Study(levels=(0.25,))]
    assert len({spec.identity() for spec in others} | ids) == 5
    assert Study().identity(data="abc") != Study().identity()


def test_no_values_where_some_are_the_default_are_refused():
    with pytest.raises(InputError, match="levels is empty"):
        Study(levels=())  # its command would be that of the default


def test_options_are_json_ready_and_make_the_same_spec():
    spec = Study(levels=(0.25, 1), names=["x"])
    assert Study(**spec.options()) == spec and spec.options()["levels"] == [0.25, 1.0]
    assert all(option_of(field).help for field in dataclasses.fields(Study))
    assert shlex.split(spec.command())[1:3] == ["some", "study"]
