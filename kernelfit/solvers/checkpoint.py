"""The state of an iteration in a scratch folder: one file, whole or absent, that a later run goes on with."""

import json
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np

from kernelfit.common.errors import ScratchError
from kernelfit.common.files import atomic_write, locked_folder

FOLDER = "kernelfit-iteration"
_FORMAT = "kernelfit.iteration/1"
_EVERY = 30.0  # seconds between two writes: what a kill costs, besides the step that was under way


class Checkpoint:
    """Arrays and a JSON-ready dict of the latest state.

    Parameters
    ----------
    folder : path
        Where a folder "kernelfit-iteration" is made, and removed in the end; nothing else in it is touched.
    identity : dict
        What is solved: only a run with an equal identity may go on with the state.
    resume : bool
        Go on with the state there if there is one. Without it, finding one is an error.

    Attributes
    ----------
    found : (dict of arrays, dict) or None
        The state of an earlier run.

    Raises
    ------
    ScratchError
        Another process uses the folder, or it holds a state that may not be or cannot be used.
    """

    def __init__(self, folder, identity, *, resume=False, clock=time.monotonic):
        self.folder = Path(folder) / FOLDER
        self._identity, self._clock, self._last = {"format": _FORMAT} | identity, clock, clock()
        self._lock = locked_folder(self.folder)
        try:
            self.found = self._read() if self._path.exists() else None
            if self.found and not resume:
                raise ScratchError(
                    f"{self.folder} holds the state of an unfinished solve. Go on with --resume if it is the same "
                    "problem, or remove that folder"
                )
        except BaseException:
            self.close()
            raise

    @property
    def due(self):
        """Whether the latest state is old enough to be replaced."""
        return self._clock() - self._last >= _EVERY

    def save(self, arrays, facts):
        """Replace the state by a dict of arrays and a dict of JSON-ready facts."""
        header = json.dumps({"identity": self._identity, "facts": facts})
        try:
            with atomic_write(self._path) as file:
                np.savez(file, header=np.array(header), **arrays)
        except OSError as error:
            raise ScratchError(
                f"{self._path} cannot be written: {error.strerror}; an earlier state is safe, go on with --resume once "
                "the disk is in order"
            ) from error
        self._last = self._clock()

    def remove(self):
        """Remove the folder and let go of it."""
        self._path.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self):
        """Let go of the folder, and leave it for a run that resumes."""
        self._lock.close()

    @property
    def _path(self):
        return self.folder / "state.npz"

    def _read(self):
        try:
            with np.load(self._path, allow_pickle=False) as file:  # each array has a checksum in the archive
                arrays = {name: file[name] for name in file.files}
            header = json.loads(str(arrays.pop("header")))
            identity, facts = header["identity"], header["facts"]
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ScratchError(f"{self._path} is damaged: {error}. Remove {self.folder} and start again") from error
        different = [name for name in self._identity | identity if self._identity.get(name) != identity.get(name)]
        if different:
            pairs = ", ".join(
                f"{name} {identity.get(name)!r} there, {self._identity.get(name)!r} here" for name in different
            )
            raise ScratchError(
                f"{self.folder} holds the state of another problem ({pairs}). Repeat the command that made it, or "
                "remove that folder"
            )
        return arrays, facts


def has_state(folder):
    """Whether a scratch folder holds the state of an unfinished iteration."""
    return (Path(folder) / FOLDER / "state.npz").exists()
