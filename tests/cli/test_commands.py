"""The command line as a person meets it: helpful when asked, exact when refused, quiet when told to be."""

import inspect
import json
import os
import pty
import re
import select
import subprocess
import sys
import typing

import pytest
from cyclopts import App, Parameter

from kernelfit import cli
from tests.support.commands import commands, options

COMMANDS = dict(commands())
every_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|9[0-7])(?:;[\d;]*)?m")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, **environment):
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "kernelfit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def in_terminal(*arguments, **environment):
    """Run the program in a terminal; return its exit code and what it wrote there."""
    master, slave = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": "100"} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "kernelfit", *arguments], stdin=slave, stdout=slave, stderr=slave, env=variables
    ) as process:
        os.close(slave)
        written = b""
        while process.poll() is None or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    written += os.read(master, 1 << 16)
                except OSError:  # the other end is closed
                    break
    os.close(master)
    return process.returncode, written.decode()


def plain(text):
    """Return a message without frame, line breaks and quotes, which not all releases of cyclopts have."""
    return " ".join(text.replace("│", "").replace('"', "").split())


def audit(words, app):
    """Check that every option says what it is and its default, and stands in a group; and that all are there."""
    found = options(app)
    for each in found:
        name, told = each.names[0], each.parameter.help or ""
        assert told.endswith((".", "?")) and len(told) > 5, f"{name} of {words} has no help"
        if each.field_info.default is None:  # which cyclopts does not show
            assert "default" in told.lower(), f"{name} of {words} does not say its default"
    groups = {group.name for each in found for group in each.parameter.group} - {"Output"}
    assert groups <= {"Parameters"} or "Parameters" not in groups, f"an option of {words} is in no group"
    assert {"--quiet", "--json"} <= {each.names[0] for each in found} and inspect.getdoc(app.default_command)


@every_command
def test_every_option_says_what_it_is_and_stands_in_a_group(words, capsys):
    audit(words, COMMANDS[words])
    assert cli.main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"\[default: [(\[]|--empty-", out), "a default is shown as it is written, not as Python has it"


def test_the_audit_would_notice():
    app = App(name="made-up")

    @app.command
    def bad(*, n: typing.Annotated[int | None, Parameter(help="Points.")] = None):
        """Do nothing."""

    with pytest.raises(AssertionError, match="default"):
        audit(*next(commands(app)))


def test_alone_it_shows_examples_that_are_commands(capsys):
    assert cli.main([]) == 0 == cli.main(["--version"])
    out = capsys.readouterr().out
    examples = re.findall(r"^ +(kernelfit .*?)(?:   +.*)?$", out, re.M)
    assert len(examples) >= 10 and max(map(len, out.splitlines())) <= 80
    for example in examples:
        called, _, _ = cli.app.parse_args(example.split()[1:], exit_on_error=False, print_error=False)
        assert callable(called), example


@pytest.mark.parametrize(
    ("arguments", "more"), [(["--help"], {"numpy", "msgspec"}), (["sweep", "--help"], set())], ids=["all", "one"]
)
def test_help_loads_nothing_heavy(arguments, more):
    program = f"import sys\nfrom kernelfit.cli import main\nprint(main({arguments}), *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = done.stderr.split()
    heavy = {"torch", "cupy", "matplotlib", "numba", "sklearn", "PIL", "pandas", "distributed"} | more
    assert code == "0" and not heavy & {name.partition(".")[0] for name in loaded}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("solv", "Did you mean solve"),
        ("data lst", "Did you mean list"),
        ("solve --bandwith 5", "Did you mean --bandwidth"),
        ("solve --data mnsit", "did you mean 'mnist'"),
        ("solve --kernel gausian", "did you mean 'gaussian'"),
        ("solve --kernel polynomial(degre=3)", "did you mean 'degree'"),
        ("solve --features gabr", "did you mean 'gabor'"),
        ("solve --features gabor(wavelenths=(4,))", "did you mean 'wavelengths'"),
        ("solve --pixels shufled", "shuffled"),
        ("solve --augment flop", "flip"),
        ("solve --labels 2", "0 to 1"),
        ("solve --ridge -1", "ridge"),
        ("solve --n-train 99999", "1437"),
        ("solve --bandwidth wide", "bandwidth"),
        ("solve --save model.pkl", ".npz"),
        ("ridge --out picture.gif", ".svg"),
        ("solve --out picture.svg", "no figure"),
        ("solve --out absent/table.md", "no folder"),
        ("solve --memory lots", "12GB"),
        ("solve --memory 0GB", "memory"),
        ("solve --resume", "--scratch"),
        ("solve --loo --precision mixed", "leave-one-out"),
        ("solve --device abacus", "abacus"),
        ("solve --ridge 0 1 --save m.npz", "give one --ridge"),
        ("solve --ridge 0 1 --scratch s --resume", "give one --ridge"),
        ("ridge --ridge 1", "at least two"),
        ("ridge --ridge 0 0.0", "twice"),
        ("ridge --ridge 0 nan", "ridge"),
        ("sweep --labels 0:1", "first:last:step"),
        ("interpolants --others pears", "pears"),
        ("randomize --estimator sklearn.svm.svc", "did you mean 'SVC'"),
        ("bench --contender scipi", "did you mean 'scipy'"),
        ("plan", "--data"),
        ("plan --n 10 --precision half", "half"),
        ("plan --n 10 --memory much", "12GB"),
        ("plan --machines 2 --cores 4 --memory 16GB --network 10Gbit --n 200 --loo", "--loo is for one machine"),
        ("plan --n 1000 --outputs 0", "outputs = 0"),
        ("plan --n 1000 --machines 0 --cores 1 --memory 1GB --network 1Gbit", "machines = 0"),
        ("plan --n 1000 --machines 2 --cores 1 --memory 1GB", "needs --network too"),
        ("plan --n 1000 --machines 2 --cores 1 --memory 1GB --network 10Gb", "10Gbit, or 1.25GB"),
        ("plan --data digits --d 3", "--d is that of --data"),
        ("plot --out a.svg", "name a figure"),
        ("sweep --labels 0:1:1e-9", "larger step"),
        ("sweep --labels 0:inf:0.1", "larger step"),
        ("ridge --ridge 0 1e200", "1e+100"),
        ("nn train --stream --crop 0", "--resize"),
        ("nn train --augment --n-train 60 --epochs 1", "no room for random crops"),
        ("plot swep", "did you mean 'sweep'"),
        ("reproduce section5 --rows mnist-gabr", "did you mean 'mnist-gabor'"),
        ("reproduce table1 --rows mlp1x512-non", "did you mean 'mlp1x512-none'"),
        ("nn train --model alexnett", "did you mean 'alexnet'"),
        ("nn train --save net.npz", ".pt"),
        ("nn train --dropout 1", "dropout"),
        ("nn train --labels true 0.5 --save net.pt", "one net"),
        ("nn train --seeds 0", "--seeds"),
    ],
)
def test_what_is_wrong_is_told_with_the_right_word_and_nothing_is_written(capsys, tmp_path, arguments, words):
    if arguments.startswith("nn"):
        pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")
    assert cli.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert words in plain(out + err) and "Traceback" not in err and not list(tmp_path.iterdir())


def test_targets_that_cannot_be_written_are_refused_first(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("kernelfit.cli.commands.solve.run_solve", lambda *_, **__: pytest.fail("solved"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    for wrong in (
        "--runs file",
        "--save folder.npz",
        "--save file/model.npz",
        "--scratch file",
        "--scratch file/below",
    ):
        assert cli.main(["solve", *wrong.split()]) == 2
        assert wrong.split()[0] in capsys.readouterr().err


def test_exit_codes_as_the_shell_sees_them():
    good = run("solve", "--n-train", "100", "--n-test", "50", "--bandwidth", "1")
    assert good.returncode == 0 and "test error" in good.stdout
    assert "plan:" in good.stderr and "━" not in good.stderr, "a bar is for a terminal"
    failed = run("report", "absent")
    assert failed.returncode == 1 and failed.stderr.startswith("kernelfit: absent does not exist")
    assert failed.stderr.count("\n") == 1, "a failure is a sentence"
    assert run("solv").returncode == 2


def test_colours_only_on_a_terminal_and_not_if_unwanted():
    assert "\x1b" not in run("--help").stdout
    code, written = in_terminal("data", "show", "--help")
    assert code == 0 and COLOUR.search(written)
    code, written = in_terminal("data", "show", "--help", NO_COLOR="1")
    assert code == 0 and "Usage" in written and not COLOUR.search(written)


def test_a_terminal_gets_a_bar_with_the_time_that_remains():
    code, written = in_terminal("solve", "--data", "synthetic:64", "--n-train", "1500", "--bandwidth", "1", "--loo")
    assert code == 0 and "━" in written and re.search(r"\d+ s left", written)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["--install-completion", "--shell", shell, "--output", str(tmp_path / "made")]) == 0
    text = (tmp_path / "made").read_text()
    assert all(words[-1] in text for words in COMMANDS) and "--bandwidth" in text


def test_json_is_alone_on_standard_output(capsys, monkeypatch):
    monkeypatch.setenv("KERNELFIT_DATA", ".")
    assert cli.main(["solve", "--n-train", "100", "--n-test", "50", "--bandwidth", "1", "--quiet"]) == 0
    capsys.readouterr()
    reading = ["report", "plot margins", "plot", "data list", "data verify digits", "data fetch digits"]
    for command in [*reading, "data show digits --out grid.png", "plan --n 1000 --tflops 1 2"]:
        assert cli.main([*command.split(), "--json", "--quiet"]) == 0, command
        out, err = capsys.readouterr()
        assert err == "" and json.loads(out) is not None, command
        if command == "data list":
            assert {each["name"] for each in json.loads(out)} >= {"digits", "mnist", "cifar10", "synthetic"}
    with open("grid.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert cli.main(["data", "list"]) == 0 and "digits" in capsys.readouterr().out
    assert cli.main(["data", "show", "nothing"]) == 2
