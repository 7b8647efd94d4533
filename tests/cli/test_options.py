"""Options: each of a spec is one of its command and a key of a file, and the printed command gives the same spec."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from kernelfit import cli
from kernelfit.cli.program import parsed
from kernelfit.common.errors import InputError
from kernelfit.common.spec import names_of, option_of
from kernelfit.experiments.descent import DescentSpec
from kernelfit.experiments.randomize import RandomizeSpec
from kernelfit.experiments.sweep import SweepSpec
from tests.support.commands import SPECS, commands, drawn, options

COMMANDS = dict(commands())
REQUIRED = {"predict": ["model.npz", "--data", "digits"], "fetch": ["digits"], "verify": ["digits"], "show": ["digits"]}
every_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
every_spec = pytest.mark.parametrize("spec_type", SPECS.values(), ids=lambda each: each.__name__)
RUNS = ("running.run_and_show", "commands.solve.run_and_show", "commands.bench.run_bench", "studying.run_study")
RUNS += ("commands.randomize.run_randomize", "commands.nn.train.run_nets")


class AskedError(BaseException):
    """Ends a command where its work would begin."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def asked(monkeypatch):
    """Return a function that returns the spec, or specs, that a command would run."""

    def end(spec, *_, **__):
        raise AskedError(spec)

    for name in RUNS:
        monkeypatch.setattr(f"kernelfit.cli.{name}", end)
    monkeypatch.setattr("kernelfit.cli.running.check_targets", lambda *_, **__: None)
    for name in ("studying", "commands.bench", "commands.randomize", "commands.nn.train"):
        monkeypatch.setattr(f"kernelfit.cli.{name}.check_targets", lambda *_, **__: None)

    def spec_of(arguments):
        command, bound = parsed(arguments, print_error=False)
        with pytest.raises(AskedError) as caught:
            command(*bound.args, **bound.kwargs)
        return caught.value.args[0]

    return spec_of


def as_toml(value):
    """Return a value as it is written in TOML; json's form of numbers, texts and lists is that too."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def in_a_file(spec, spelled):
    """Write the options of a spec that differ from their defaults to run.toml, as an editor on Windows does."""
    lines = []
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if value != field.default:
            if option_of(field).parse:
                value = tuple(map(str, value)) if isinstance(value, tuple) else str(value)
            lines.append(f"{spelled(names_of(field)[0])} = {as_toml(value)}\r\n")
    Path("run.toml").write_bytes(f"\N{BYTE ORDER MARK}{''.join(lines)}".encode())


@every_spec
def test_every_option_reaches_the_spec_from_a_command_and_from_a_file(spec_type, asked):
    """In words and in TOML, with values of every kind; and what is printed is read back."""
    for seed in range(3):
        for number, spec in enumerate(drawn(spec_type, seed)):
            command = spec.command()
            again = spec_type.of_command(command)
            assert again == spec and again.identity() == spec.identity(), command
            assert spec_type.of_command(f"mpiexec -n 2 {command}") == spec
            if seed:
                continue
            spec = spec_type(**spec.options() | {name: _home(spec, name) for name in _paths(spec)})
            [found] = _as_list(asked(shlex.split(spec.command())[1:]))
            assert found == spec, command
            in_a_file(spec, str if number % 2 else lambda key: key.replace("-", "_"))
            [found] = _as_list(asked([*spec.words, "--config", "run.toml"]))
            assert found == spec, Path("run.toml").read_text(encoding="utf-8")


def _as_list(specs):
    return specs if isinstance(specs, list) else [specs]


def _paths(spec):
    return [field.name for field in dataclasses.fields(spec) if option_of(field).path]


def _home(spec, name):
    """Return a path without ~, which the command line expands."""
    value = getattr(spec, name)
    return value and str(Path(value).expanduser())


@every_command
def test_the_command_line_wins_over_a_file(words):
    Path("run.toml").write_text("quiet = false\njson = true\n")
    _, bound = parsed([*words, *REQUIRED.get(words[-1], []), "--config", "run.toml", "--quiet"], print_error=False)
    assert bound.arguments["quiet"] is True and bound.arguments["json"] is True


@every_command
def test_what_is_no_option_is_refused_even_if_it_is_a_command(words):
    known = {name.removeprefix("--") for each in options(COMMANDS[words]) for name in each.names}
    for key in sorted({"data", "plot", "report", "nn", "train", "help", "bandwith", '"--quiet"'} - known):
        Path("run.toml").write_text(f"{key} = 1\n")
        with pytest.raises(CycloptsError):
            parsed([*words, *REQUIRED.get(words[-1], []), "--config", "run.toml"], print_error=False)


@every_command
def test_paths_begin_at_the_home_of_somebody(words, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of/mine")
    for each in options(COMMANDS[words]):
        if "Path" in str(each.hint):
            given = ["--data", "digits"] if each.names[0] == "--model" else REQUIRED.get(words[-1], [])
            _, bound = parsed([*words, *given, each.names[0], "~/x.npz"], print_error=False)
            assert "/home/of/mine/x.npz" in str(bound.arguments[each.field_info.name])
            with pytest.raises(InputError, match="~nobody_here stands for"):
                parsed([*words, *given, each.names[0], "~nobody_here/x.npz"], print_error=False)


def test_a_file_or_data_in_a_home_that_nobody_has_is_refused(capsys):
    assert cli.main(["solve", "--config", "~nobody_here/run.toml"]) == 2
    assert cli.main(["solve", "--data", "~nobody_here/x.npz"]) == 2
    assert capsys.readouterr().err.count("the home folder that ~nobody_here stands for is not known") == 2


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("predict = 1\n", "predict"),
        ('[report]\nruns = "r"\n', "report"),
        ('config = "other.toml"\n', "config"),
        ("bandwith = 1.5", "Did you mean --bandwidth"),
        ("bandwidth = ", "run.toml is no TOML"),
        ("\xff", "run.toml is no TOML"),
        ('bandwidth = "wide"', "wide"),
        (None, "No such file"),
        ("bandwidth = [1, 2]", "bandwidth"),
        ("n-train = 1.5", "n-train"),
        ('n-train = "many"', "n-train"),
        ("loo = 3", "loo"),
        ("n-train = 100\nn_train = 200", "n-train"),
        ("[bandwidth]\nvalue = 1", "bandwidth"),
        ("runs = []", "runs"),
        ("ridge = []", "ridge"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_it(written, words, capsys):
    if written is not None:
        Path("run.toml").write_bytes(written.encode("latin-1"))
    assert cli.main(["solve", "--config", "run.toml"]) == 2
    told = " ".join("".join(capsys.readouterr()).replace("│", "").replace('"', "").replace("_", "-").split())
    assert words in told and not Path("runs").exists()


def test_config_is_one_file():
    assert cli.main(["solve", "--config"]) == 2 == cli.main(["solve", "--config", "a.toml", "--config", "b.toml"])


@pytest.mark.parametrize("fraction", ["1.5", "-0.5", "nan", "inf"])
def test_a_fraction_is_no_number_of_points(fraction):
    for option in (["bench", "--n", "40"], ["solve", "--n-train"], ["descent", "--grid"], ["plan", "--n"]):
        with pytest.raises(CycloptsError):
            parsed([*option, fraction], print_error=False)


OLD = [
    ("sweep --levels 0:1:0.5", "--levels is called --labels", SweepSpec(labels=(0, 0.5, 1))),
    ("sweep --levels 0 --levels 1", "--levels is called --labels", SweepSpec(labels=(0, 1))),
    ("randomize --levels 1", "--levels is called --labels", RandomizeSpec(labels=1)),
    ("descent --label-noise 0.5", "--label-noise is called --labels", DescentSpec(labels=0.5)),
]


@pytest.mark.parametrize(("old", "told", "spec"), OLD, ids=[old for old, *_ in OLD])
def test_what_options_were_called_once_is_understood_and_told(old, told, spec, asked, capsys):
    words, *values = old.split(" --")
    name = values[0].split()[0]
    Path("run.toml").write_text(f"{name} = {as_toml([each.split()[1] for each in values])}")
    in_file = ["--config", "run.toml"] if words != "descent" else []
    for arguments in (old.split(), [words, *in_file]):
        if len(arguments) > 1:
            assert asked(arguments) == spec
            assert capsys.readouterr().err == f"kernelfit: {told} now\n"
    assert type(spec).of_command(f"kernelfit {old}") == spec


def test_what_commands_were_called_once_is_understood_and_told(asked, capsys):
    assert asked(["nn", "table1", "--seeds", "2"]) == asked(["reproduce", "table1", "--seeds", "2"])
    assert capsys.readouterr().err == "kernelfit: the command is `kernelfit reproduce table1` now\n"
    few = ["--ridge", "0", "0.5", "--loo", "--n-train", "50", "--labels", "0.2"]
    assert asked(["solve", *few]) == asked(["ridge", *few])
    assert capsys.readouterr().err == "kernelfit: several ridges are a path: the command is `kernelfit ridge` now\n"
    assert asked(["solve", "--ridge", "0.5"]).ridge == 0.5


def test_every_place_to_write_to_is_one_option():
    _, bound = parsed(["sweep", "-o", "a.svg", "--plot", "b.md", "--out", "c.png"], print_error=False)
    assert [str(path) for path in bound.arguments["out"]] == ["a.svg", "b.md", "c.png"]
