"""What two processes do in the tests: `torchrun --nproc-per-node 2 -m tests.support.team_of_nets FOLDER`.

The first writes its outcomes to FOLDER/outcomes.pt; with "fail" for FOLDER, the second fails while the first trains.
"""

import dataclasses
import sys
import time
from pathlib import Path

import torch

from kernelfit import cli
from kernelfit.common.errors import InputError
from kernelfit.datasets import load
from kernelfit.experiments.paper import nets as nets_paper
from kernelfit.nn import distributed
from kernelfit.nn.evaluation import count_wrong, evaluate
from kernelfit.nn.history import History
from kernelfit.nn.images import Images
from kernelfit.nn.models import build_model
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import train

# 97 images: the last step of an epoch has 1, of which the second process gets none.
N, RUNS = (
    97,
    {
        "mlp(hidden=[24])": Settings(batch=32, lr=0.05, epochs=20, target=0.8),
        "alexnet(width=0.1)": Settings(batch=16, lr=0.02, epochs=2, augment=True, weight_decay=1e-2),
        "mlp(hidden=[16])": Settings(batch=12, lr=0.02, steps=13),
    },
)
COMMAND = ["nn", "train", "--model", "mlp(hidden=[16])", "--n-train", "97", "--n-test", "51", "--epochs", "2"]
STOP_AFTER = 12


def problem(model):
    data = load("digits").subset(N, 33)
    images, test = Images(data.X_train, crop=6), (Images(data.X_test, crop=6), torch.tensor(data.y_test))
    return build_model(model, images.input_shape, 10), images, torch.tensor(data.y_train), test


def outcome(model, settings, team=distributed.ALONE, **options):
    """Train and measure; return the tensors and numbers that are compared."""
    net, images, labels, test = problem(model)
    history = train(net, images, labels, settings, test=test, team=team, **options)
    said, wrong = evaluate(net, *test, team), count_wrong(net, *test, team=team)
    return {
        "weights": torch.cat([parameter.detach().flatten() for parameter in net.parameters()]),
        "losses": history.step_losses,
        "curve": {name: column for name, column in history.curve.items() if name != "seconds"},
        "packed": [row.tolist() for row in history.packed],
        "ended": (history.stopped_by, history.steps, history.images, (history.time_to_fit or {}).get("steps")),
        "predicted": said.predicted.tolist(),
        "margins": said.margins.tolist(),
        "wrong": wrong,
        "bounded": [count_wrong(net, *test, allowed=allowed, team=team) for allowed in (wrong - 1, wrong)],
        "resumed": history.resumed,
    }


class StopError(Exception):
    pass


def stopped_and_resumed(folder, team):
    """A training that stops amid an epoch, and goes on from its checkpoint."""
    model, settings = "alexnet(width=0.1)", Settings(batch=16, lr=0.02, epochs=3, target=1, checkpoint_every=0)
    whole, options = outcome(model, settings, team), {"checkpoint": folder / "net.pt", "identity": "run"}
    add_step, left, distributed._AGREED_EVERY = History.add_step, STOP_AFTER, 2

    def stopping(*arguments):
        nonlocal left
        left -= 1
        if left < 0:
            raise StopError
        add_step(*arguments)

    History.add_step = stopping
    try:
        outcome(model, settings, team, **options)
    except StopError:
        History.add_step = add_step
    return whole, outcome(model, settings, team, **options, resume=True)


def refused(team):
    """Return what is said of batch normalisation, and of a batch that cannot be shared."""
    said = []
    for model, settings in (("inception(width=0.1)", Settings(batch=16)), ("mlp", Settings(batch=15))):
        try:
            outcome(model, settings, team)
        except InputError as error:
            said.append(str(error))
    return said


def main(folder):
    torch.set_num_threads(1)
    team = distributed.team_of(torch.device("cpu"))
    if str(folder) == "fail":
        if not team.is_root:
            raise StopError
        time.sleep(250)
        print("waited for")
    outcomes = {model: outcome(model, settings, team) for model, settings in RUNS.items()}
    outcomes["stopped"] = stopped_and_resumed(folder, team)
    outcomes["refused"] = refused(team)
    assert cli.main([*COMMAND, "--runs", str(folder / "runs")]) == 0
    nets_paper.SCALES["quick"] = dataclasses.replace(nets_paper.SCALES["quick"], n_train=64, n_test=32, epochs=2)
    study = ["reproduce", "table1", "--data", "digits", "--rows", "mlp1x512-none", "--seeds", "1", "--json"]
    assert cli.main([*study, "--runs", str(folder / "study")]) == 0
    if team.is_root:
        torch.save(outcomes, folder / "outcomes.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
