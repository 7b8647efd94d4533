"""What can be loaded by name: the files of each dataset, their content hashes and the mirrors that serve them."""

import dataclasses

from kernelfit.common.errors import InputError, suggestion


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a dataset.

    Attributes
    ----------
    name : str
        Path below the folder of the dataset.
    sha256 : str or None
        Hash of the content: of what a gzip wrapper holds where `gzipped`, else of the file itself. None where no
        trustworthy hash is published.
    size : int or None
        Bytes of that content.
    gzipped : bool
        The file may lie on disk plain or as `name`.gz; mirrors serve it as `name`.gz and recompress it at will.
    """

    name: str
    sha256: str | None = None
    size: int | None = None
    gzipped: bool = False

    @property
    def remote(self) -> str:
        """Name of the file on a mirror, and of what a download leaves on disk."""
        return f"{self.name}.gz" if self.gzipped else self.name

    @property
    def local(self) -> tuple[str, ...]:
        """Names under which the file is looked for."""
        return (self.name, self.remote) if self.gzipped else (self.name,)


@dataclasses.dataclass(frozen=True)
class Form:
    """One way in which a dataset may lie in a folder: all of these files, understood by the reader `kind`."""

    kind: str
    files: tuple[File, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A dataset that can be loaded by name.

    Attributes
    ----------
    name, description, home, licence : str
        What it is called, holds, where it comes from and on which terms.
    forms : tuple of Form
        Accepted forms in order of preference; the first is what a download fetches. Empty where there is nothing to
        fetch.
    mirrors : tuple of str
        Addresses, tried in turn, to which the name of a file is appended.
    batch : int
        Examples per file, for data that comes in batches.
    """

    name: str
    description: str
    home: str
    licence: str
    forms: tuple[Form, ...] = ()
    mirrors: tuple[str, ...] = ()
    batch: int = 0

    @property
    def files(self) -> tuple[File, ...]:
        """Files of the preferred form."""
        return self.forms[0].files if self.forms else ()


def _mnist() -> Entry:
    files = (
        ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 47_040_016),
        ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 60_008),
        ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 7_840_016),
        ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 10_008),
    )
    return Entry(
        name="mnist",
        description="handwritten digits, 60,000 + 10,000 grey images of 28 x 28",
        home="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
        forms=(Form("idx", tuple(File(*file, gzipped=True) for file in files)),),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    )


def _cifar10() -> Entry:
    batch = 10_000
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    binary_sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    python_sha256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    return Entry(
        name="cifar10",
        description="photographs of ten kinds of things, 50,000 + 10,000 colour images of 32 x 32",
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
        licence="none stated; cite Krizhevsky 2009",
        # The binary form holds no pickle, so it comes first.
        forms=(
            Form("cifar binary tar", (File("cifar-10-binary.tar.gz", binary_sha256, 170_052_171),)),
            Form("cifar binary", tuple(File(f"cifar-10-batches-bin/{n}.bin", size=batch * 3073) for n in names)),
            Form("cifar python tar", (File("cifar-10-python.tar.gz", python_sha256),)),
            Form("cifar python", tuple(File(f"cifar-10-batches-py/{n}") for n in names)),
        ),
        mirrors=(
            "https://www.cs.toronto.edu/~kriz/",
            "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        ),
        batch=batch,
    )


_DIGITS = Entry(
    name="digits",
    description="handwritten digits, 1,437 + 360 grey images of 8 x 8, embedded: needs no file and no network",
    home="https://archive.ics.uci.edu/dataset/80 (through scikit-learn)",
    licence="CC BY 4.0",
)
_SYNTHETIC = Entry(
    name="synthetic",
    description="ten overlapping Gaussian classes of any size; synthetic:D has dimension D (784 if left out)",
    home="made on the spot from the seed",
    licence="none needed",
)
ENTRIES = {entry.name: entry for entry in (_DIGITS, _mnist(), _cifar10(), _SYNTHETIC)}


def names() -> tuple[Entry, ...]:
    """Return the datasets that can be loaded by name, as a tuple of Entry."""
    return tuple(ENTRIES.values())


def find_entry(name: str) -> Entry:
    """Return the Entry called `name`.

    Raises
    ------
    InputError
        If there is none; the message suggests the nearest name and lists all.
    """
    if name in ENTRIES:
        return ENTRIES[name]
    raise InputError(
        f"no dataset is called {name!r}{suggestion(name, ENTRIES)}; there are: {', '.join(ENTRIES)} (synthetic:D has "
        "dimension D). A path must lead to an existing .npz file, folder, .zip or .tar"
    )
