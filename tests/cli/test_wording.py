"""The core speaks Python; on the terminal its parameters are options, and no mark is left."""

import ast
import io
import sys
from pathlib import Path

import pytest

import kernelfit
from kernelfit import cli
from kernelfit.cli.output import show_now, show_table, show_text
from kernelfit.cli.streams import steady_streams
from kernelfit.cli.wording import in_options, speak_for
from kernelfit.common.errors import InputError
from kernelfit.common.progress import make_progress
from kernelfit.report.table import Row, Table

ROOT = Path(kernelfit.__file__).parent
CORE = [
    "common",
    "backend",
    "kernels",
    "datasets",
    "grams",
    "features",
    "solvers",
    "models",
    "analysis",
    "theory",
    "nn",
]
OF_OTHERS = ("torchrun --nproc-per-node",)  # programs that are not kernelfit's


@pytest.fixture(autouse=True)
def no_command_afterwards():
    yield
    speak_for(None)


def solving(*, ridge=0.0, n_train=None, precision="auto", scratch=None, resume=False, features="pixels"):
    """Stand for a command."""


@pytest.mark.parametrize(
    ("python", "options"),
    [
        ("give a ridge, `ridge=1e-6`.", "give a ridge, --ridge 1e-6."),
        ("fewer points (`n_train`)", "fewer points (--n-train)"),
        ("take `precision=\"float64\"` or `precision='mixed'`", "take --precision float64 or --precision mixed"),
        ("go on with `resume=True`; name a `scratch` folder", "go on with --resume; name a --scratch folder"),
        ('`features="gabor(a=1)"`', "--features 'gabor(a=1)'"),
        ("lower `tolerance=1e-3`, `K_test`", "lower tolerance=1e-3, K_test"),
        ("`two words`, `a.b`, a ` alone and `1e-6`", "`two words`, `a.b`, a ` alone and `1e-6`"),
    ],
)
def test_parameters_that_the_command_has_are_its_options(python, options):
    speak_for(solving)
    assert in_options(python) == options


def test_without_a_command_only_the_marks_go():
    speak_for(None)
    assert in_options("`ridge=1e-6` or `scratch`") == "ridge=1e-6 or scratch"


def test_all_that_is_told_is_worded_and_results_as_json_are_not(monkeypatch, capsys):
    with steady_streams():
        speak_for(solving)
        make_progress().note("a note: `ridge=1`")
        show_text("a line: `ridge=2`")
        show_table(lambda: Table(title="a table: `ridge=3`", columns=("a",), rows=(Row(("b",)),)))
        sys.stdout.write("JSON: `ridge=4`\n")
        assert not show_now()
    out, err = capsys.readouterr()
    assert err == "a note: --ridge 1\n"
    assert out.startswith("JSON: `ridge=4`\na line: --ridge 2\na table: --ridge 3")


def test_a_bar_on_a_terminal_is_worded(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with steady_streams():
        speak_for(solving)
        make_progress().note("a note: `ridge=1`")
    assert "a note: --ridge 1" in terminal.getvalue()


def test_an_error_of_the_core_is_told_with_the_options_of_the_command(monkeypatch, capsys):
    def refuse(*_, **__):
        raise InputError('take `precision="float64"`, not `tflops`')

    monkeypatch.setattr("kernelfit.cli.commands.solve.run_solve", refuse)
    assert cli.main(["solve", "--quiet"]) == 2
    assert capsys.readouterr().err == "kernelfit: take --precision float64, not tflops\n"
    assert cli.main(["solve", "--memory", "lots"]) == 2
    assert "`" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["solve"], ["sweep"], ["nn", "train"], ["plan"], ["interpolants"]], ids=" ".join)
def test_every_parameter_of_a_command_is_called_as_its_option(words):
    """What in_options assumes: the option is the parameter with dashes."""
    from kernelfit.cli.program import app

    for word in words:
        app = app[word]
    speak_for(app.default_command)
    for argument in app.assemble_argument_collection():
        if argument.names == ("*",):  # a group, whose options follow
            continue
        assert in_options(f"`{argument.field_info.name}`") in argument.names


def messages(path):
    """The texts in a file that are no documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def names_an_option(text):
    for other in OF_OTHERS:
        text = text.replace(other, "")
    return any(word.lstrip("(").startswith("--") and word.lstrip("(-")[:1].isalpha() for word in text.split())


def test_no_message_of_the_core_names_an_option():
    files = [path for room in CORE for path in (ROOT / room).rglob("*.py")] + list(ROOT.glob("*.py"))
    files.remove(ROOT / "common" / "spec.py")  # which prints commands
    named = {str(path.relative_to(ROOT)): text for path in files for text in messages(path) if names_an_option(text)}
    assert named == {}
