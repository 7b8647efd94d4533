"""Figures by name: of every kind of Record, in the terminal and as files, the same bytes each time."""

import json
from xml.etree import ElementTree

import pytest

from kernelfit import cli
from kernelfit.report.plots import PLOTS
from tests.support import report_folders as folders

WORDS = {
    "sweep": ("test error", "training error", "leave-one-out", "targets 0/1", "chance, 90 %"),
    "norms": ("true labels", "partly replaced", "random labels", "RKHS norm, targets 0/1"),
    "ridge": ("0.001", "targets -1/+1", "on gabor"),
    "margins": ("test margins", "leave-one-out residuals", "share (%)"),
    "descent": ("fourier, bandwidth 2.85", "features / training points", "test squared error"),
    "interpolants": ("least, true labels", "pairs", "forced"),
    "randomization": ("Tree() on digits", "chance, 90 %"),
    "bench": ("scipy", "numpy", "n³/3 at the dgemm rate"),
    "training": ("inception on cifar10-jpeg75", "shuffled pixels", "random labels", "training loss"),
    "overfit": ("inception", "steps to fit"),
    "errors": ("inception", "test error (%)"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return folders.write(tmp_path_factory.mktemp("runs"), folders.everything())


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_is_drawn_the_same_each_time(name, folder, tmp_path):
    for file in ("a.svg", "b.svg"):
        assert cli.main(["plot", name, str(folder), "-o", str(tmp_path / file)]) == 0
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    text = "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
    for words in WORDS[name]:
        assert words in text


@pytest.mark.parametrize("name", PLOTS)
def test_every_figure_is_shown_in_the_terminal(name, folder, capsys):
    assert cli.main(["plot", name, str(folder)]) == 0
    out = capsys.readouterr().out
    expected = {"training": "█", "margins": "█", "overfit": "1.667", "errors": "90", "bench": "not run: torch"}
    assert expected.get(name, "digits") in out


def test_files_of_the_other_kinds(folder, tmp_path, capsys):
    for kind, start in ((".png", b"\x89PNG"), (".pdf", b"%PDF")):
        path = tmp_path / f"a{kind}"
        assert cli.main(["plot", "sweep", str(folder), "--out", str(path), "--json"]) == 0
        assert path.read_bytes().startswith(start)
        assert json.loads(capsys.readouterr().out) == {"figure": "sweep", "number": 1, "of": 1, "out": str(path)}


def test_names_are_listed_and_mistypings_answered(folder, tmp_path, capsys):
    assert cli.main(["plot"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in PLOTS) and set(WORDS) == set(PLOTS)
    assert cli.main(["plot", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(PLOTS)
    assert cli.main(["plot", "sweeep", str(folder)]) == 2
    assert "did you mean 'sweep'" in capsys.readouterr().err
    assert cli.main(["plot", "sweep", str(folder), "-o", str(tmp_path / "a.gif")]) == 2
    assert not (tmp_path / "a.gif").exists()


def test_what_is_not_there_is_named_with_the_command_that_makes_it(tmp_path, capsys):
    folder = folders.write(tmp_path / "runs", [folders.solve(histograms=None), folders.net()])
    for name, words in (("sweep", "kernelfit sweep"), ("margins", "kernelfit solve --loo"), ("overfit", "--labels")):
        assert cli.main(["plot", name, str(folder)]) == 1
        assert words in capsys.readouterr().err


def test_one_of_several_can_be_chosen(tmp_path, capsys):
    lines = [folders.sweep(level=p, command=f"kernelfit sweep --seed {k}", n_train=k) for k in (11, 22) for p in (0, 1)]
    folder = folders.write(tmp_path / "runs", lines)
    assert cli.main(["plot", "sweep", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert "22 training" in out and "2 of 2" in err
    assert cli.main(["plot", "sweep", str(folder), "--number", "1"]) == 0
    assert "11 training" in capsys.readouterr().out
    assert cli.main(["plot", "sweep", str(folder), "--number", "3"]) == 2


def test_a_name_with_dollars_or_tags_is_a_name(tmp_path):
    names = "$x^2$ <b> & $\\frac"
    folder = folders.write(tmp_path / "runs", [folders.sweep(level=p, dataset={"name": names}) for p in (0, 1)])
    assert cli.main(["plot", "sweep", str(folder), "-o", str(tmp_path / "a.svg")]) == 0
    assert names in "".join(ElementTree.parse(tmp_path / "a.svg").getroot().itertext())
