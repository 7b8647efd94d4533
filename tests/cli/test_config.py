"""--config: every option of every command can come from a file, and nothing in a file is passed over in silence."""

import dataclasses
import pathlib
import types
import typing

import pytest
from cyclopts import CycloptsError, Parameter

from kernelfit import cli
from kernelfit.cli.program import parsed
from kernelfit.common.errors import InputError
from tests.support.commands import commands, parameters


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def key_of(name, annotation):
    """Return the name of an option without its dashes."""
    given = [part.name for part in typing.get_args(annotation)[1:] if isinstance(part, Parameter) and part.name]
    names = [text for each in given for text in ([each] if isinstance(each, str) else each)]
    return (names[0] if names else name.replace("_", "-")).removeprefix("--")


def another_value(annotation, default):
    """Return (what is written in TOML, what the command is to be called with): not the default."""
    kind = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        value = next(choice for choice in arguments if choice != default)
        return f'"{value}"', value
    if origin in (tuple, list):
        first, second = (another_value(arguments[0], each) for each in (None, 7))
        if typing.get_origin(arguments[0]) is typing.Literal:
            second = (f'"{arguments[0].__args__[-1]}"', arguments[0].__args__[-1])
        return f"[{first[0]}, {second[0]}]", origin([first[1], second[1]])
    if kind is bool:
        return str(not default).lower(), not default
    if kind is int:
        return "41", 41
    if kind is float:
        return "0.375", 0.375
    if kind is pathlib.Path:
        return '"some/place.svg"', pathlib.Path("some/place.svg")
    assert kind is str, f"{annotation} is new here: say what a value of it looks like"
    return '"words = of \\"some\\" kind"', 'words = of "some" kind'


COMMANDS = dict(commands())
REQUIRED = {"predict": ["model.npz", "--data", "digits"], "fetch": ["digits"], "verify": ["digits"], "show": ["digits"]}
every_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


def options(words):
    """Return {key: (name of the parameter, its annotation, its default)} of a command."""
    found = parameters(COMMANDS[words])
    return {key_of(name, annotation): (name, annotation, default) for name, annotation, default in found}


def value_of(bound, name):
    """Return what a command was called with for an option, maybe one of a group."""
    groups = [value for value in bound.arguments.values() if hasattr(value, name) and dataclasses.is_dataclass(value)]
    return bound.arguments[name] if name in bound.arguments else getattr(groups[0], name)


@every_command
def test_every_option_in_a_file_is_the_option(words):
    values = {key: another_value(annotation, default) for key, (_, annotation, default) in options(words).items()}
    for spelled in (str, lambda key: key.replace("-", "_")):
        lines = [f"{spelled(key)} = {written}\r\n" for key, (written, _) in values.items()]
        # As an editor on Windows writes it, with a byte order mark.
        pathlib.Path("run.toml").write_bytes(f"\N{BYTE ORDER MARK}{''.join(lines)}".encode())
        command, bound = parsed([*words, "--config", "run.toml"], print_error=False)
        assert command is COMMANDS[words]
        for key, (name, _, default) in options(words).items():
            found, (_, expected) = value_of(bound, name), values[key]
            assert found == expected != default and type(found) is type(expected), key


@every_command
def test_the_command_line_wins_over_a_file(words):
    pathlib.Path("run.toml").write_text("quiet = false\njson = true\n")
    _, bound = parsed([*words, *REQUIRED.get(words[-1], []), "--config", "run.toml", "--quiet"], print_error=False)
    assert bound.arguments["quiet"] is True and bound.arguments["json"] is True


@every_command
def test_what_is_no_option_is_refused_even_if_it_is_a_command(words):
    for key in sorted({"data", "plot", "report", "nn", "train", "help", "bandwith", '"--quiet"'} - set(options(words))):
        pathlib.Path("run.toml").write_text(f"{key} = 1\n")
        with pytest.raises(CycloptsError):
            parsed([*words, *REQUIRED.get(words[-1], []), "--config", "run.toml"], print_error=False)


def test_a_refusal_names_the_key_and_the_file(capsys):
    for written in ("predict = 1\n", '[report]\nruns = "r"\n', 'config = "other.toml"\n'):
        pathlib.Path("run.toml").write_text(written)
        assert cli.main(["solve", "--config", "run.toml"]) == 2
        told = "".join(capsys.readouterr()).replace("\n", "")
        assert "run.toml" in told and written.strip("[").split()[0].strip("]") in told


@pytest.mark.parametrize(
    "written",
    [
        "bandwidth = [1, 2]",
        "n-train = 1.5",
        'n-train = "many"',
        "loo = 3",
        "n-train = 100\nn_train = 200",
        "[bandwidth]\nvalue = 1",
        "runs = []",
        "ridge = []",
    ],
)
def test_a_value_that_does_not_fit_is_refused(written, capsys):
    pathlib.Path("run.toml").write_text(written)
    assert cli.main(["solve", "--config", "run.toml"]) == 2
    assert not pathlib.Path("runs").exists()


@pytest.mark.parametrize("fraction", ["1.5", "-0.5", "nan", "inf"])
def test_a_fraction_is_no_number_of_points(fraction):
    for option in (["bench", "--n", "40"], ["solve", "--n-train"], ["solve", "--seed"]):
        with pytest.raises(CycloptsError):
            parsed([*option, fraction], print_error=False)


def test_paths_in_a_file_are_expanded_as_the_shell_does(monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/mine")
    pathlib.Path("run.toml").write_text('runs = "~/runs"\nsave = "~/m.npz"\n')
    _, bound = parsed(["solve", "--config", "run.toml", "--scratch=~/fast"], print_error=False)
    assert [str(bound.arguments[name]) for name in ("runs", "save", "scratch")] == [
        "/home/of/mine/runs",
        "/home/of/mine/m.npz",
        "/home/of/mine/fast",
    ]


@every_command
def test_a_home_that_nobody_has_is_refused_in_every_path(words):
    for key, (_, annotation, _) in options(words).items():
        if "Path" in str(annotation):
            given = ["--data", "digits"] if key == "model" else REQUIRED.get(words[-1], [])
            with pytest.raises(InputError, match="~nobody_here stands for"):
                parsed([*words, *given, f"--{key}", "~nobody_here/x.npz"], print_error=False)


def test_a_file_in_a_home_that_nobody_has_is_refused(capsys):
    assert cli.main(["solve", "--config", "~nobody_here/run.toml"]) == 2
    assert cli.main(["solve", "--data", "~nobody_here/x.npz"]) == 2
    assert capsys.readouterr().err.count("the home folder that ~nobody_here stands for is not known") == 2
