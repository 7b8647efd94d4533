"""README and the guides tell the truth: their examples run, their commands are commands, their links lead somewhere."""

import importlib.util
import os
import posixpath
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import kernelfit
from kernelfit import cli
from kernelfit.cli.program import parsed

ROOT, PACKAGE = Path(__file__).parents[1], Path(kernelfit.__file__).parent


def place(path):
    """Where a file of the repository lies: those of the package wherever it is installed."""
    return PACKAGE.parent / path if path.split("/")[0] == "kernelfit" else ROOT / path


GUIDES = sorted(str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.md") if path.name != "CHANGELOG.md")
PAGES = {
    path: place(path).read_text(encoding="utf-8")
    for path in ("README.md", "data/README.md", "benchmarks/README.md", *GUIDES)
}
README = PAGES["README.md"]
BLOCK = re.compile(r"^(?:<!-- needs (\w+) -->\n)?```(\w+)\n(.*?)^```$", re.M | re.S)


def examples():
    """Each Python block; those that start processes of their own are heavy, and run as files."""
    for page, text in PAGES.items():
        blocks = [(needs, code) for needs, language, code in BLOCK.findall(text) if language == "python"]
        for number, (needs, code) in enumerate(blocks, 1):
            marks = [pytest.mark.heavy] if "__main__" in code else []
            yield pytest.param(needs, code, id=f"{page}, example {number}", marks=marks)


def commands():
    """What stands in backquotes, or on lines of shell blocks, and begins with kernelfit, each once."""
    for text in PAGES.values():
        yield from re.findall(r"`(kernelfit [^`]+)`", text)
        for _, language, code in BLOCK.findall(text):
            lines = code.splitlines() if language in ("bash", "toml") else []
            yield from (f"kernelfit {line.split('kernelfit ', 1)[1]}" for line in lines if "kernelfit " in line)


COMMANDS = sorted({found.partition("  #")[0].strip() for found in commands() if "..." not in found})
LINKS = sorted({(page, link) for page, text in PAGES.items() for link in re.findall(r"\]\(([^):]+)\)", text)})
CASES = sorted({name for text in PAGES.values() for name in re.findall(r"`python -m benchmarks (\w+)", text)})
SCRIPTS = sorted({name for text in PAGES.values() for name in re.findall(r"`python -m (kernelfit\.[\w.]+)", text)})


@pytest.mark.parametrize("needs, code", list(examples()))
def test_examples_run(needs, code, tmp_path, monkeypatch):
    if needs:
        pytest.importorskip(needs)
    monkeypatch.chdir(tmp_path)
    if "__main__" in code:
        (tmp_path / "example.py").write_text(code, encoding="utf-8")
        here = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "example.py"], env=here, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stdout, done.stderr
    else:
        exec(compile(code, "example.py", "exec"), {"__name__": "example"})


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_understood(command):
    words = shlex.split(command.replace("$place", "place").replace("DIR", "folder").replace("FOLDER", "folder"))
    parsed([word for word in words[1:] if word != "&&"], print_error=False)


def test_a_command_that_is_none_would_be_noticed():
    for wrong in ("solves", "solve --kernle gaussian", "nn trains"):
        with pytest.raises(Exception, match=r"[Uu]n(known|used)"):
            parsed(wrong.split(), print_error=False)


@pytest.mark.parametrize("page, link", LINKS, ids=" ".join)
def test_links_lead_somewhere(page, link):
    path, _, head = link.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    assert place(path).exists()
    if head:
        heads = re.findall(r"^#+ (.*)$", place(path).read_text(encoding="utf-8"), re.M)
        assert head in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in heads}


def test_every_page_is_linked_from_readme_or_from_a_guide():
    targets = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page), link.partition("#")[0])) for page, link in LINKS
    }
    assert set(PAGES) - {"README.md"} <= targets


def test_every_command_is_in_the_readme():
    for name in cli.app:
        if not name.startswith("-"):
            assert f"kernelfit {name}" in README, name


def test_benchmarks_and_scripts_that_are_named_exist():
    load = importlib.import_module("benchmarks.__main__").load
    assert CASES and set(CASES) <= set(load())
    assert SCRIPTS and all(importlib.util.find_spec(name) for name in SCRIPTS)


def test_every_benchmark_is_told_of():
    names = set(importlib.import_module("benchmarks.__main__").load())
    assert not {name for name in names if f"`{name}`" not in PAGES["benchmarks/README.md"]}


def test_readme_is_short_and_its_first_screen_is_whole():
    assert len(README.split()) <= 1500
    first = README.partition("\n## ")[0]
    blocks = [(language, code.strip()) for _, language, code in BLOCK.findall(first)]
    assert [language for language, _ in blocks] == ["bash", "bash", "python"]
    assert blocks[0][1] == "pip install . && kernelfit solve"
    [tests] = re.findall(r"<!-- test command -->\n```bash\n(.*)\n```", README)  # as .ci/run reads it
    assert blocks[1][1] == tests and "&& python -m pytest" in tests
    python = [line for line in blocks[2][1].splitlines() if line.strip()]
    assert len(python) == 6 and ".norm_" in python[-1]
    assert "benchmarks/results/sweep.svg" in first


def numbers_in(results, value):
    """Whether a number stands in a text as it is, as a share of one instead of percent, or with more digits."""
    digits = len(value.partition(".")[2])
    return any(f"{scale * float(each):.{digits}f}" == value for each in results for scale in (1, 100))


def test_every_figure_of_the_tables_in_readme_is_in_a_file_of_results():
    files = sorted((ROOT / "benchmarks/results").glob("*.md"))
    results = set(re.findall(r"\b\d+\.\d{2,}\b", " ".join(file.read_text(encoding="utf-8") for file in files)))
    results |= set(re.findall(r"\b\d{3,4}\.\d\b", " ".join(file.read_text(encoding="utf-8") for file in files)))
    tables = "\n".join(line for line in README.splitlines() if line.startswith("|"))
    figures = set(re.findall(r"\d+\.\d{2}(?= %)|\b\d{3,4}\.\d+\b", tables))
    assert len(figures) > 10 and not {figure for figure in figures if not numbers_in(results, figure)}
    assert not numbers_in(results, "145.7") and not numbers_in(results, "88.12")  # so many numbers could hide others
