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
from tests.support.commands import commands, parameters

QUICK = ["--n-train", "100", "--n-test", "50"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


COMMANDS = dict(commands())


def options(function):
    """Yield (name, help, default, Parameters) of the options of a command."""
    for name, annotation, default in parameters(function):
        annotated = [part for part in typing.get_args(annotation) if isinstance(part, Parameter)]
        yield name, " ".join(part.help or "" for part in annotated), default, annotated


def run(*arguments, **environment):
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "kernelfit.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def in_terminal(*arguments, **environment):
    """Run the program in a terminal; return what it wrote there."""
    master, slave = pty.openpty()
    variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    variables |= {"TERM": "xterm-256color", "COLUMNS": "100"} | environment
    with subprocess.Popen(
        [sys.executable, "-m", "kernelfit.cli", *arguments], stdin=slave, stdout=slave, stderr=slave, env=variables
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


COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|9[0-7])(?:;[\d;]*)?m")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_is_and_its_default(words):
    for name, told, default, _ in options(COMMANDS[words]):
        assert told.endswith((".", "?")) and len(told) > 5, f"{name} of {words} has no help"
        if default is None:  # which cyclopts does not show
            assert "default" in told.lower(), f"{name} of {words} does not say its default"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_can_be_quiet_and_speak_json(words):
    names = [name for name, *_ in options(COMMANDS[words])]
    assert {"quiet", "json"} <= set(names)
    assert inspect.getdoc(COMMANDS[words])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal_and_shows_no_python(words, capsys):
    assert cli.main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert not re.search(r"\[default: [(\[]", out), "a default is shown as it is written, not as Python has it"


def test_alone_it_shows_examples_that_are_commands(capsys):
    assert cli.main([]) == 0
    out = capsys.readouterr().out
    examples = re.findall(r"^ +(kernelfit .*?)(?:   +.*)?$", out, re.M)
    assert len(examples) >= 10 and max(map(len, out.splitlines())) <= 80
    for example in examples:
        called, _, _ = cli.app.parse_args(example.split()[1:], exit_on_error=False, print_error=False)
        assert callable(called), example


def test_starting_up_loads_nothing_heavy():
    program = (
        "import sys, kernelfit\nbefore = set(sys.modules)\nfrom kernelfit import cli\ncode = cli.main(['--help'])\n"
        "print(code, *{name.partition('.')[0] for name in sys.modules}, *sorted(before & {'numpy'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert not {"torch", "cupy", "matplotlib", "numba", "scipy", "sklearn", "PIL", "pandas"} & set(loaded)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solv"], "Did you mean solve"),
        (["data", "lst"], "Did you mean list"),
        (["solve", "--bandwith", "5"], "Did you mean --bandwidth"),
        (["solve", "--data", "mnsit"], "did you mean 'mnist'"),
        (["solve", "--kernel", "gausian"], "did you mean 'gaussian'"),
        (["solve", "--features", "gabr"], "did you mean 'gabor'"),
        (["solve", "--features", "gabor(wavelenths=(4,))"], "did you mean 'wavelengths'"),
        (["solve", "--kernel", "polynomial(degre=3)"], "did you mean 'degree'"),
        (["solve", "--pixels", "shufled"], "shuffled"),
        (["solve", "--augment", "flop"], "flip"),
        (["bench", "--contender", "scipi"], "did you mean 'scipy'"),
        (["plot", "swep"], "did you mean 'sweep'"),
        (["reproduce", "section5", "--rows", "mnist-gabr"], "did you mean 'mnist-gabor'"),
        (["solve", "--memory", "12 parsecs"], "12GB"),
        (["sweep", "--levels", "0:1"], "first:last:step"),
        (["randomize", "--estimator", "sklearn.svm.svc"], "did you mean 'SVC'"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_right_one(capsys, tmp_path, arguments, words):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert words in plain(out + err) and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_exit_codes_as_the_shell_sees_them(tmp_path):
    good = run("solve", *QUICK, "--bandwidth", "1")
    assert good.returncode == 0 and "test error" in good.stdout
    assert "plan:" in good.stderr and "━" not in good.stderr, "a bar is for a terminal"
    failed = run("report", "absent")
    assert failed.returncode == 1 and failed.stderr.startswith("kernelfit: absent does not exist")
    assert failed.stderr.count("\n") == 1, "a failure is a sentence"
    assert run("solve", "--labels", "2").returncode == 2
    assert run("nonsense").returncode == 2


def test_json_is_alone_on_standard_output(capsys):
    assert cli.main(["solve", *QUICK, "--bandwidth", "1", "--quiet"]) == 0
    capsys.readouterr()
    commands = ["report", "plot margins", "plot", "data list", "data verify digits", "data fetch digits"]
    for command in [*commands, "data show digits", "plan --n 1000"]:
        assert cli.main([*command.split(), "--json", "--quiet"]) == 0, command
        out, err = capsys.readouterr()
        assert err == "", command
        json.loads(out)


def test_colours_only_on_a_terminal_and_not_if_unwanted():
    assert "\x1b" not in run("--help").stdout
    code, written = in_terminal("solve", "--help")
    assert code == 0 and COLOUR.search(written)
    code, written = in_terminal("solve", "--help", NO_COLOR="1")
    assert code == 0 and "Usage" in written and not COLOUR.search(written)


def test_a_terminal_gets_a_bar_with_the_time_that_remains():
    code, written = in_terminal("solve", "--data", "synthetic:64", "--n-train", "1500", "--bandwidth", "1", "--loo")
    assert code == 0 and "━" in written and re.search(r"\d+ s left", written)


def test_options_from_a_file(tmp_path, capsys):
    (tmp_path / "run.toml").write_text('data = "digits"\nbandwidth = 1.5\nn-train = 100\nn-test = 50\nloo = true\n')
    assert cli.main(["solve", "--config", "run.toml", "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kernel"] == "gaussian(bandwidth=1.5)" and found["n_train"] == 100 and found["loo_error"] is not None
    assert cli.main(["solve", "--config=run.toml", "--bandwidth", "2", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["kernel"] == "gaussian(bandwidth=2.0)", "the command line wins"
    assert cli.main(["solve", *QUICK, "--bandwidth", "3", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["loo_error"] is None, "a file is forgotten after its command"
    (tmp_path / "sweep.toml").write_text("n_train = 100\nlevels = [0, 1]\nseeds = 2\nbandwidth = 1\n")
    assert cli.main(["sweep", "--config", "sweep.toml", "--json", "--quiet"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("bandwith = 1.5", "Did you mean --bandwidth"),
        ("bandwidth = ", "run.toml is no TOML"),
        ("\xff", "run.toml is no TOML"),
        ('bandwidth = "wide"', "wide"),
        (None, "No such file"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, capsys, content, words):
    if content is not None:
        (tmp_path / "run.toml").write_bytes(content.encode("latin-1"))
    assert cli.main(["solve", "--config", "run.toml"]) == 2
    out, err = capsys.readouterr()
    assert words in plain(out + err)
    assert cli.main(["solve", "--config"]) == 2
    assert cli.main(["solve", "--config", "a.toml", "--config", "b.toml"]) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(shell, tmp_path):
    done = run("--install-completion", "--shell", shell, "--output", str(tmp_path / "made"), HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "made").read_text()
    assert all(words[-1] in text for words in COMMANDS) and "--bandwidth" in text


def test_the_audit_would_notice():
    app = App(name="made-up")

    @app.command
    def bad(*, n: typing.Annotated[int | None, Parameter(help="Points.")] = None):
        """Do nothing."""

    (words, function), *_ = commands(app)
    with pytest.raises(AssertionError, match="default"):
        COMMANDS[words] = function
        try:
            test_every_option_says_what_it_is_and_its_default(words)
        finally:
            del COMMANDS[words]
