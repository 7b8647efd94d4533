"""List what can be loaded by name."""

from kernelfit import datasets
from kernelfit.cli.options import Json, Quiet
from kernelfit.cli.output import show_json, show_text


def command(*, json: Json = False, quiet: Quiet = False):
    """Print their names, what they are, and where they come from."""
    entries = datasets.names()
    if json:
        show_json(
            [{key: getattr(entry, key) for key in ("name", "description", "home", "licence")} for entry in entries]
        )
        return
    for entry in entries:
        show_text(f"{entry.name:10} {entry.description}\n{'':10} {entry.home}; licence: {entry.licence}")
    show_text(
        f"{'PATH':10} your own .npz (X_train, y_train, X_test, y_test), class folders train/CLASS/*.png, .zip or .tar"
    )
