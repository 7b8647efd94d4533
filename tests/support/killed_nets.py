"""Trainings that are killed and resumed, in a process of its own: `python -m tests.support.killed_nets FOLDER SEED`.

Each is killed (kill -9) after a random number of events: touches of a file, or steps. Prints one JSON line with what
happened.
"""

import json
import os
import random
import signal
import sys
from pathlib import Path

import torch

from kernelfit.datasets import load
from kernelfit.nn.history import History
from kernelfit.nn.images import Images
from kernelfit.nn.models import build_model
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import train

SETTINGS = Settings(batch=8, lr=0.05, epochs=4, target=1, augment=True, checkpoint_every=0)
KILLS = 20


def training(images, labels, folder):
    """The run that is killed; writes its weights, and how often it was resumed."""
    net = build_model("alexnet(width=0.1)", images.input_shape, 10, dropout=0.3)
    history = train(net, images, labels, SETTINGS, checkpoint=folder / "net.pt", identity="run", resume=True)
    (folder / "answer").write_bytes(b"".join(p.detach().numpy().tobytes() for p in net.parameters()))
    (folder / "resumed").write_text(str(len(history.resumed)))


def killed(images, labels, folder, events):
    """Run it in a child that dies after so many events, if it is given a number; return whether it did."""
    child = os.fork()
    if not child:
        code = 1
        try:
            if events is not None:
                kill_after(events)
            training(images, labels, folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, f"a run ended with status {status}"
    return os.WIFSIGNALED(status)


def kill_after(left):
    def count(event, arguments=()):
        nonlocal left
        if event in ("step", "os.rename") or (event == "open" and arguments and "x" in str(arguments[1])):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    add_step = History.add_step

    def counted(*arguments):
        count("step")
        add_step(*arguments)

    History.add_step = counted
    sys.addaudithook(count)


def main(folder, seed):
    torch.set_num_threads(1)  # a process with threads cannot be forked
    os.fsync = lambda number: None  # a kill is no power failure: what was written is there
    data = load("digits").subset(48, 10)
    images, labels = Images(data.X_train, crop=6), torch.tensor(data.y_train)
    torch.optim.SGD([torch.zeros(1)])  # imports what every child needs
    killed(images, labels, folder, None)
    expected = (folder / "answer").read_bytes()
    rng, kills, resumed = random.Random(seed), 0, 0
    while kills < KILLS:
        for name in ("answer", "resumed", "net.pt"):
            (folder / name).unlink(missing_ok=True)
        while killed(images, labels, folder, rng.randrange(30)):
            kills += 1
        assert (folder / "answer").read_bytes() == expected, "another answer"
        resumed += int((folder / "resumed").read_text())
    print(json.dumps({"kills": kills, "resumed": resumed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
