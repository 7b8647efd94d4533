import pytest

from kernelfit.common.errors import InputError, IntegrityError
from kernelfit.datasets import fetch, verify
from kernelfit.datasets.fetch import search


def fill(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_folders_come_in_the_documented_order(monkeypatch, tmp_path):
    given, environment, checkout = (tmp_path / name for name in ("given", "environment", "checkout"))
    given.mkdir()
    environment.mkdir()
    monkeypatch.setenv("KERNELFIT_DATA", str(environment))
    monkeypatch.setattr(search, "_checkout_data", lambda: checkout)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert search.folders(given) == [given, environment, checkout, tmp_path / "cache" / "kernelfit"]
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # invalid by the XDG specification
    assert search.folders()[-1].parts[-2:] == (".cache", "kernelfit")
    monkeypatch.setattr("sys.platform", "darwin")
    assert search.folders()[-1].parts[-3:] == ("Library", "Caches", "kernelfit")


def test_the_first_complete_folder_wins(monkeypatch, tmp_path, tiny_mnist):
    entry, contents = tiny_mnist
    first, second = tmp_path / "first", tmp_path / "second"
    fill(first, dict(list(contents.items())[:3]))  # one file is missing
    fill(second / "mnist", contents)
    monkeypatch.setenv("KERNELFIT_DATA", str(second))
    assert search.locate(entry, first) == (second / "mnist", entry.forms[0])
    fill(first, contents)
    assert search.locate(entry, first)[0] == first


@pytest.mark.parametrize("variable", [False, True])
def test_a_folder_that_does_not_exist_is_an_error(monkeypatch, tmp_path, variable):
    if variable:
        monkeypatch.setenv("KERNELFIT_DATA", str(tmp_path / "no"))
    with pytest.raises(InputError, match="not a folder"):
        search.folders(None if variable else tmp_path / "no")


def test_a_wrong_file_is_an_error_and_stays(tmp_path, tiny_mnist, server):
    entry, contents = tiny_mnist
    fill(tmp_path, contents)
    name = entry.files[1].name
    (tmp_path / name).write_bytes(contents[name][:-1] + b"\xff")
    with pytest.raises(IntegrityError) as caught:
        fetch("mnist", data_dir=tmp_path)
    assert entry.files[1].sha256 in str(caught.value) and name in str(caught.value)
    assert (tmp_path / name).read_bytes()[-1] == 0xFF
    assert server.log == []
    verdicts = {check.name: check.ok for check in verify("mnist", data_dir=tmp_path)}
    assert verdicts == {file.name: file.name != name for file in entry.files}


def test_verify_names_what_is_missing(tmp_path, tiny_mnist):
    checks = verify("mnist", data_dir=tmp_path)
    assert [(check.path, check.ok, check.verdict) for check in checks] == [(None, False, "missing")] * 4
    assert verify("digits") == []


def test_the_checkout_is_recognised_by_its_project_file(monkeypatch, tmp_path):
    monkeypatch.undo()  # the fixture hides the checkout
    module = tmp_path / "kernelfit" / "datasets" / "fetch" / "search.py"
    monkeypatch.setattr(search, "__file__", str(module))
    assert search._checkout_data() is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert search._checkout_data() is None
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "kernelfit"\n')
    assert search._checkout_data() == tmp_path.resolve() / "data"


def test_a_plain_and_a_packed_file_are_one_file(tiny_mnist, tmp_path):
    entry, _ = tiny_mnist
    file = entry.files[0]
    assert search.path_of(file, tmp_path) is None
    (tmp_path / f"{file.name}.gz").touch()
    assert search.path_of(file, tmp_path).name == f"{file.name}.gz"
    (tmp_path / file.name).touch()
    assert search.path_of(file, tmp_path).name == file.name
