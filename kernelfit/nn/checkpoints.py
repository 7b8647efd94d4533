"""Checkpoints: the whole state of a training in one file, written whole or not at all."""

import io
import zipfile

import torch

from kernelfit.common.errors import ScratchError
from kernelfit.common.files import atomic_write

SCHEMA = "kernelfit.checkpoint/1"


def save_checkpoint(path, state, *, identity):
    """Write a dict of tensors, numbers, texts, lists and dicts, for the run that `identity` names."""
    _write(path, {"schema": SCHEMA, "identity": identity, "state": state})


def load_checkpoint(path, *, identity, device="cpu"):
    """Return the state of a checkpoint, or None where there is no file.

    Raises
    ------
    ScratchError
        The file is damaged, no checkpoint, or that of another run.
    """
    try:
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():  # torch.load does not look at the checksums
                raise ValueError(f"{damaged} in it is damaged")
        # weights_only: a file must not choose code to run.
        content = torch.load(path, map_location=device, weights_only=True)
        schema, run, state = (content[name] for name in ("schema", "identity", "state"))
        if schema != SCHEMA:
            raise ValueError(f"schema {schema!r}")
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise ScratchError(f"{path} is no whole checkpoint ({error}); remove it, or leave out `resume`") from error
    if run != identity:
        raise ScratchError(
            f"{path} belongs to another run ({run[:12]}, not {identity[:12]}): data, model, seed or settings differ. "
            "Repeat that run's command, or leave out `resume`"
        )
    return state


def save_weights(path, net):
    """Write the state_dict of a net, for torch.load(path, weights_only=True); returns the path."""
    _write(path, {name: tensor.cpu() for name, tensor in net.state_dict().items()})
    return path


def _write(path, content):
    made = io.BytesIO()
    torch.save(content, made)  # to memory: of a full disk it would raise a RuntimeError that names neither
    with atomic_write(path) as file:
        file.write(made.getbuffer())
