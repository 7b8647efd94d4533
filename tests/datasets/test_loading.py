import subprocess
import sys

import pytest

from kernelfit.common.errors import DataError, DataNotFoundError, InputError
from kernelfit.datasets import fetch, load, names, verify
from kernelfit.datasets.fetch.registry import ENTRIES
from kernelfit.datasets.fetch.search import download_folder


def test_names_describe_themselves():
    entries = names()
    assert [entry.name for entry in entries] == ["digits", "mnist", "cifar10", "synthetic"]
    for entry in entries:
        assert entry.description and entry.home and entry.licence
        assert "\n" not in entry.description
        for form in entry.forms:
            for file in form.files:
                assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
        for file in entry.files:
            assert file.sha256 and file.size  # what is downloaded is verified


@pytest.mark.parametrize("function", [load, fetch, verify])
@pytest.mark.parametrize(("wrong", "right"), [("mnits", "mnist"), ("CIFAR-10", "cifar10"), ("digit", "digits")])
def test_an_unknown_name_gets_a_suggestion(function, wrong, right):
    with pytest.raises(InputError, match=f"did you mean '{right}'.*digits, mnist, cifar10, synthetic"):
        function(wrong)


@pytest.mark.parametrize("data", [None, 3, ["mnist"]])
def test_what_is_neither_name_nor_path_is_refused(data):
    with pytest.raises(InputError, match="name of a dataset or a path"):
        load(data)


@pytest.mark.parametrize("name", ["mine.npz", "a/folder", "mine.tar.gz", "./mnist"])
def test_a_path_that_does_not_exist_is_an_error(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFoundError, match="does not exist"):
        load(name)


def test_a_file_of_unknown_kind_is_refused(tmp_path):
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(InputError, match="cannot tell"):
        load(tmp_path / "data.csv")


def test_a_name_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert load("digits").X_train.shape == (1437, 8, 8)
    with pytest.raises(DataError, match="no images train/"):
        load("./digits")


def test_subsets_are_taken_by_seed():
    part = load("digits", n_train=100, n_test=50, seed=3)
    assert part.hashes() == load("digits").subset(100, 50, seed=3).hashes()
    with pytest.raises(InputError, match=r"from 1 to 1437"):
        load("digits", n_train=5000)


def test_nothing_to_fetch_for_made_data():
    assert fetch("digits") is None and fetch("synthetic") is None


def test_importing_the_package_stays_light():
    heavy = ("sklearn", "scipy", "PIL", "urllib.request", "http.client", "rich")
    code = f"import sys, kernelfit.datasets; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names_that_no_file_can_have():
    for name, error in (("a" * 300, InputError), ("a" * 300 + ".npz", DataNotFoundError)):
        with pytest.raises(error):
            load(name)
    with pytest.raises(InputError, match="not a folder"):
        load("mnist", data_dir="b" * 300)


def test_a_file_where_the_folder_of_a_download_should_be(tmp_path, monkeypatch):
    monkeypatch.delenv("KERNELFIT_DATA", raising=False)
    (tmp_path / "mnist").touch()
    with pytest.raises(InputError, match="is a file where the folder of mnist should be"):
        download_folder(ENTRIES["mnist"], tmp_path)


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_name_is_not_the_current_folder(empty):
    with pytest.raises(InputError, match="empty text"):
        load(empty)
