"""What is released: the metadata, the wheel and the source distribution that build and install, the API pages."""

import email
import importlib.metadata
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import kernelfit

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kernelfit"
BESIDE = {".ci", "benchmarks", "data", "kernelfit", "tests", ".gitignore", "LICENSE", "PKG-INFO", "README.md"}


def run(*command, cwd):
    """Return what a command prints; kernelfit is found where it was installed, not by PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_tested_is_beside_the_tests_or_installed():
    """Where there is a checkout its package is tested, not an older one that was installed; elsewhere the wheel's."""
    tested = Path(kernelfit.__file__).parents[1]
    installed = importlib.metadata.distribution("kernelfit").locate_file("")
    assert tested.samefile(ROOT if PACKAGE.is_dir() else installed)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution and the wheel that was built from it."""
    pytest.importorskip("build", reason="needs build: pip install '.[release]'")
    pytest.importorskip("hatchling", reason="needs hatchling: pip install '.[release]'")
    if not PACKAGE.is_dir():
        pytest.skip("the source of the package is not beside these tests")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    (path,) = built.glob("*.whl")
    return path


def sources():
    """The files of the package, as paths from the top."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".nbi", ".nbc")
    }


@pytest.mark.heavy
def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == sources() and {"kernelfit/py.typed", "kernelfit/CHANGELOG.md"} <= names


@pytest.mark.heavy
def test_the_source_distribution_holds_tests_and_licence_and_no_data(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sources() <= names and {"LICENSE", "README.md", "tests/test_release.py", "pyproject.toml"} <= names
    assert {name.partition("/")[0] for name in names} <= BESIDE | {"pyproject.toml"}
    assert {name for name in names if name.startswith("data/")} == {"data/README.md"}


@pytest.mark.heavy
def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folder = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
        about = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        assert archive.read(f"{folder}/licenses/LICENSE").startswith(b"BSD 3-Clause")
    assert about["Name"] == "kernelfit" and about["License-Expression"] == "BSD-3-Clause" and about["Author"]
    assert {line.partition(",")[0] for line in about.get_all("Project-URL")} == {"Homepage", "Issues", "Changelog"}
    assert "Typing :: Typed" in about.get_all("Classifier") and about["Requires-Python"] == ">=3.11"
    assert about.get_payload().startswith("# kernelfit")


@pytest.mark.heavy
def test_the_wheel_installs_and_runs(wheel, tmp_path):
    place = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=tmp_path)
    python, command = place / "bin" / "python", place / "bin" / "kernelfit"
    install = ("install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=tmp_path)
    # What kernelfit needs comes from where these tests have it, after the new environment's own.
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))

    version = wheel.name.split("-")[1]
    program = "import kernelfit; print(kernelfit.__file__, kernelfit.__version__, kernelfit.Gaussian(bandwidth=2))"
    found, *rest = run(python, "-c", program, cwd=tmp_path).split()
    assert Path(found).is_relative_to(packages) and rest == [version, "gaussian(bandwidth=2.0)"]
    assert version in run(command, "--version", cwd=tmp_path)
    assert "kernelfit solve" in run(command, "solve", "--help", cwd=tmp_path)
    assert "training error 0.0%" in run(python, "-m", "kernelfit.examples.fit_and_norm", cwd=tmp_path)


@pytest.mark.heavy
def test_the_pages_of_the_api_are_made_without_a_warning(tmp_path):
    pytest.importorskip("pdoc", reason="needs pdoc: pip install '.[docs]'")
    program = ROOT / ".ci" / "api.py"
    if not program.exists():
        pytest.skip("the program that makes them is not beside these tests")
    done = subprocess.run([sys.executable, program, tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    first = (tmp_path / "kernelfit.html").read_text(encoding="utf-8")
    for word in set(kernelfit.__all__) - {"features", "kernels", "solvers", "Mpi", "Dask"}:
        assert f'<section id="{word}">' in first, word
    for room in ("analysis/leaving_out", "kernels", "theory/linear/least_squares", "solvers/protocol"):
        assert (tmp_path / "kernelfit" / f"{room}.html").exists()
    fit = first.partition('<section id="fit">')[2]
    assert "<strong>kernel</strong> (Kernel" in fit  # the numpydoc sections were read
    assert (tmp_path / "search.js").exists()
