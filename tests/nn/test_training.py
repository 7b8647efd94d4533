import contextlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch
from torch.nn import functional

from kernelfit.common.errors import DataError, InputError, ScratchError
from kernelfit.common.progress import Progress
from kernelfit.datasets import load
from kernelfit.nn import checkpoints, draws, evaluation
from kernelfit.nn.estimator import NetClassifier
from kernelfit.nn.evaluation import count_wrong, evaluate, starting_weights, weight_norms
from kernelfit.nn.images import Images
from kernelfit.nn.models import build_model
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import _try, train

DIGITS = load("digits").subset(150, 60)
MLP = "mlp(hidden=[24])"


def problem(model=MLP, crop=6, **options):
    images = Images(DIGITS.X_train, crop=crop)
    return build_model(model, images.input_shape, 10, **options), images, torch.tensor(DIGITS.y_train)


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("layers", ["all", "fc"])
def test_it_is_sgd_with_momentum_as_the_textbook_writes_it(layers):
    """v <- momentum v + gradient + c w; w <- w - lr v, over the drawn order and crops, decay of the rate included."""
    model = "alexnet(width=0.1)"
    settings = Settings(
        batch=64, lr=0.02, lr_decay=0.5, epochs=3, weight_decay=0.1, decay_layers=layers, augment=True, target=0.99
    )
    net, images, y = problem(model)
    history = train(net, images, y, settings, seed=7)
    own, _, _ = problem(model)
    velocity = {name: torch.zeros_like(w) for name, w in own.named_parameters()}
    losses = []
    for epoch in range(3):
        rows = torch.tensor(draws.order(7, epoch, 150))
        offsets = torch.tensor(draws.crop_offsets(7, epoch, 150, (2, 2)))
        for part in (rows[:64], rows[64:128], rows[128:]):
            loss = functional.cross_entropy(own(images.batch(part, offsets[part])), y[part])
            own.zero_grad()
            loss.backward()
            losses.append(loss.item())
            with torch.no_grad():
                for name, w in own.named_parameters():
                    decayed = name.endswith("weight") and (layers == "all" or "classifier" in name)
                    velocity[name].mul_(0.9).add_(w.grad + 0.1 * decayed * w)
                    w.sub_(0.02 * 0.5**epoch * velocity[name])
    torch.testing.assert_close(weights(net), weights(own), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(history.step_losses, losses, rtol=1e-4)
    means = np.array(losses).reshape(3, 3) @ [64, 64, 22] / 150
    np.testing.assert_allclose(history.curve["loss"], means, rtol=1e-4)
    assert history.curve["learning_rate"] == [0.02, 0.01, 0.005] and history.images == 450
    assert history.step_curve(4)["loss"] == pytest.approx(
        [np.mean(losses[:4]), np.mean(losses[4:8]), losses[8]], rel=1e-4
    )


def test_the_training_accuracy_is_exact_and_the_first_that_reaches_the_target():
    net, images, y = problem()
    history = train(net, images, y, Settings(batch=16, lr=0.05, epochs=100))
    assert history.stopped_by == "accuracy" and history.time_to_fit["epochs"] == history.epoch > 2
    assert (evaluate(net, images, y).predicted == DIGITS.y_train).all()
    assert history.curve["train_accuracy"] == [None] * (history.epoch - 1) + [1.0]
    assert history.time_to_fit["steps"] == history.steps == 10 * history.epoch
    before, _, _ = problem()
    shorter = train(before, images, y, Settings(batch=16, lr=0.05, epochs=history.epoch - 1))
    assert shorter.stopped_by == "epochs" and shorter.time_to_fit is None
    assert (evaluate(before, images, y).predicted != DIGITS.y_train).any()


def test_a_target_below_one_and_training_beyond_it():
    net, images, y = problem()
    settings = Settings(batch=16, lr=0.05, epochs=30, target=0.8, stop_when_fitted=False)
    history = train(net, images, y, settings)
    at = history.time_to_fit["epochs"]
    assert history.stopped_by == "epochs" and at < 30 and history.curve["train_accuracy"][at - 1] >= 0.8
    assert sum(value is not None for value in history.curve["train_accuracy"]) == 1


def test_other_ends():
    net, images, y = problem()
    history = train(net, images, y, Settings(batch=16, steps=13))
    assert (history.stopped_by, history.steps, history.epoch, history.images) == ("steps", 13, 2, 150 + 3 * 16)
    assert len(history.packed) == 1, "an epoch that was cut short says nothing of the examples it did not see"
    history = train(net, images, y, Settings(batch=16, lr=0.05, loss_below=1.0, target=1))
    assert history.stopped_by == "loss" and history.curve["loss"][-1] < 1 <= history.curve["loss"][-2]
    history = train(net, images, y, Settings(lr=1e30, epochs=5))
    assert history.stopped_by == "diverged" and history.epoch < 5
    assert (evaluate(net, images, y).predicted == -1).all() and count_wrong(net, images, y) == 150


def test_wrong_examples_are_counted_in_any_order_and_up_to_a_bound(monkeypatch):
    monkeypatch.setitem(evaluation._BATCH, "cpu", 7)
    net, images, y = problem("alexnet(width=0.1)", dropout=0.5)
    said = evaluate(net, images, y)
    wrong = int((said.predicted != DIGITS.y_train).sum())
    likely = torch.tensor(said.predicted != DIGITS.y_train)
    assert net.training and count_wrong(net, images, y) == wrong > 20
    for mask in (likely, ~likely, None):
        assert count_wrong(net, images, y, likely_wrong=mask, allowed=wrong) == wrong
        assert count_wrong(net, images, y, likely_wrong=mask, allowed=wrong - 1) is None


def test_an_evaluation_agrees_with_its_logits():
    net, images, y = problem()
    logits = net(images.batch(torch.arange(150))).detach().double().numpy()
    found, true = evaluate(net, images, y), DIGITS.y_train
    own = logits[np.arange(150), true]
    np.testing.assert_array_equal(found.predicted, logits.argmax(axis=1))
    np.testing.assert_allclose(found.losses, np.log(np.exp(logits).sum(axis=1)) - own, atol=1e-5)
    np.testing.assert_array_equal(found.rank, (logits > own[:, None]).sum(axis=1))
    others = np.where(np.arange(10) == true[:, None], -np.inf, logits).max(axis=1)
    np.testing.assert_allclose(found.margins, own - others, atol=1e-5)


def test_correctness_and_curves_tell_clean_from_corrupted():
    net, images, y = problem()
    corrupted = torch.arange(150) < 50
    test = (Images(DIGITS.X_test, crop=6), torch.tensor(DIGITS.y_test))
    settings = Settings(batch=16, lr=0.05, epochs=4, target=1, test_every=2)
    history = train(net, images, y, settings, corrupted=corrupted, test=test)
    correct = np.array([np.unpackbits(row.numpy(), count=150) for row in history.packed]).astype(bool)
    assert correct.shape == (4, 150)
    np.testing.assert_allclose(correct.mean(axis=1), history.curve["accuracy"])
    np.testing.assert_allclose(correct[:, :50].mean(axis=1), history.curve["accuracy_corrupted"])
    np.testing.assert_allclose(correct[:, 50:].mean(axis=1), history.curve["accuracy_clean"])
    right = float((evaluate(net, *test).predicted == DIGITS.y_test).mean())
    assert history.curve["test_accuracy"][::2] == [None, None]
    assert history.curve["test_accuracy"][3] == pytest.approx(right)
    alone = train(problem()[0], images, y, Settings(epochs=1))
    assert alone.curve["accuracy_corrupted"] == [None] and alone.curve["test_accuracy"] == [None]


def test_the_process_keeps_its_random_numbers():
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    net, images, y = problem(dropout=0.5)
    train(net, images, y, Settings(epochs=1))
    assert torch.equal(torch.rand(4), expected)


class StopError(Exception):
    pass


@pytest.mark.parametrize("stop_after", [1, 14, 20, 25])
def test_a_run_that_was_stopped_goes_on_with_the_same_bits(tmp_path, monkeypatch, stop_after):
    settings = Settings(batch=16, lr=0.05, epochs=3, augment=True, weight_decay=1e-3, checkpoint_every=0, target=1)
    options = {"checkpoint": tmp_path / "net.pt", "identity": "this run"}
    model = "alexnet(width=0.1)"
    whole, images, y = problem(model, dropout=0.3)
    undisturbed = train(whole, images, y, settings)
    seen, add_step = 0, train.__globals__["History"].add_step

    def stopping(*arguments):
        nonlocal seen
        if seen == stop_after:
            raise StopError
        seen += 1
        add_step(*arguments)

    monkeypatch.setattr(train.__globals__["History"], "add_step", stopping)
    with pytest.raises(StopError):
        train(problem(model, dropout=0.3)[0], images, y, settings, **options)
    seen = -1000
    net, _, _ = problem(model, seed=99, dropout=0.3)
    history = train(net, images, y, settings, **options, resume=True)
    assert torch.equal(weights(net), weights(whole))
    assert history.resumed == [stop_after] and undisturbed.resumed == []
    assert history.step_losses == undisturbed.step_losses
    for name in set(history.curve) - {"seconds"}:
        assert history.curve[name] == undisturbed.curve[name]
    assert all(torch.equal(a, b) for a, b in zip(history.packed, undisturbed.packed, strict=True))
    again = train(problem(model, dropout=0.3)[0], images, y, settings, **options, resume=True)
    assert again.steps == 30, "a run that has ended is not run again"


@pytest.mark.heavy
def test_killed_runs_end_with_the_same_bits(tmp_path):
    """Killed by kill -9 at random events, in a process of its own (see tests/support/killed_nets.py)."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.killed_nets", str(tmp_path), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout)
    assert happened["kills"] >= 20 and happened["resumed"] >= 10


def test_a_net_that_diverges_does_not_go_on_to_the_end_of_its_epoch():
    net, images, y = problem()
    history = train(net, images, y, Settings(batch=1, lr=1e30, epochs=5))
    assert history.stopped_by == "diverged" and history.steps == 50 < len(images)
    assert len(history.step_losses) == 50 and history.epoch == 1 and history.packed == []


def test_checkpoints_of_other_runs_and_damaged_ones_are_refused(tmp_path):
    net, images, y = problem()
    settings, path = Settings(epochs=1), tmp_path / "net.pt"
    train(net, images, y, settings, checkpoint=path, identity="one", resume=True)
    with pytest.raises(ScratchError, match="another run"):
        train(net, images, y, settings, checkpoint=path, identity="two", resume=True)
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = content[:middle] + bytes(byte ^ 255 for byte in content[middle : middle + 64]) + content[middle + 64 :]
    for wrong in (content[:1000], damaged, b""):
        path.write_bytes(wrong)
        with pytest.raises(ScratchError, match="whole checkpoint"):
            train(net, images, y, settings, checkpoint=path, identity="one", resume=True)
    train(net, images, y, settings, checkpoint=path, identity="two")
    assert [file.name for file in tmp_path.iterdir()] == ["net.pt"]


def test_a_checkpoint_of_other_code_is_refused(tmp_path):
    settings, path = Settings(epochs=1), tmp_path / "net.pt"
    net, images, y = problem("mlp(hidden=[8])")
    train(net, images, y, settings, checkpoint=path, identity="one")
    wider = problem("mlp(hidden=[9])")[0]
    with pytest.raises(ScratchError, match=r"does not fit this net .*size mismatch"):
        train(wider, images, y, settings, checkpoint=path, identity="one", resume=True)
    state = checkpoints.load_checkpoint(path, identity="one")
    for history in ({**state["history"], "later": 1}, {k: v for k, v in state["history"].items() if k != "steps"}):
        checkpoints.save_checkpoint(path, state | {"history": history}, identity="one")
        with pytest.raises(ScratchError, match="its history holds"):
            train(net, images, y, settings, checkpoint=path, identity="one", resume=True)
    for missing in ("identity", "state"):
        content = {"schema": checkpoints.SCHEMA, "identity": "one", "state": state}
        torch.save({name: value for name, value in content.items() if name != missing}, path)
        with pytest.raises(ScratchError, match=f"no whole checkpoint .*{missing}"):
            train(net, images, y, settings, checkpoint=path, identity="one", resume=True)


def test_bfloat16_trains_and_is_evaluated_in_float32():
    net, images, y = problem("mlp(hidden=[64])")
    history = train(net, images, y, Settings(batch=16, lr=0.05, precision="bfloat16"))
    assert history.stopped_by == "accuracy" and weights(net).dtype == torch.float32
    assert count_wrong(net, images, y) == 0
    plain, _, _ = problem("mlp(hidden=[64])")
    train(plain, images, y, Settings(batch=16, lr=0.05))
    assert not torch.equal(weights(plain), weights(net))


def test_a_cpu_without_bfloat16_is_told_of(monkeypatch):
    notes = []

    class Told(Progress):
        note = staticmethod(notes.append)

    net, images, y = problem()
    for slow in (True, False):
        monkeypatch.setattr("kernelfit.nn.training.slow_in_bfloat16", lambda device, slow=slow: slow)
        for precision in ("float32", "bfloat16"):
            train(net, images, y, Settings(epochs=1, precision=precision), progress=Told())
    assert [note for note in notes if "bfloat16" in note] == notes[:1] and "quicker" in notes[0]


def test_the_compiled_net_makes_the_steps_alone(monkeypatch):
    calls = []

    def compiling(net):
        def compiled(x):
            calls.append(len(x))
            return net(x)

        return compiled

    monkeypatch.setattr(torch, "compile", compiling)
    net, images, y = problem()
    train(net, images, y, Settings(batch=64, epochs=2, compile=True))
    assert calls == [64, 64, 22] * 2


def test_progress_tells_loss_accuracy_and_speed(monkeypatch):
    monkeypatch.setattr("kernelfit.nn.training._SHOWN_EVERY", 0.0)
    told, notes = [], []

    class Told(Progress):
        note = staticmethod(notes.append)

        def phase(self, name, total, **options):
            told.append((name, total, options["at_most"]))
            return contextlib.nullcontext(lambda amount, detail="": told.append((amount, detail)))

    net, images, y = problem()
    train(net, images, y, Settings(epochs=2), progress=Told())
    assert told[0] == ("training", 4, True)
    assert all(word in told[-1][1] for word in ("epoch 2", "loss", "accuracy", "images/s"))
    assert len(notes) == 1 and re.fullmatch(r"about 0 s for 1 epoch at [\d,]+ images/s, tests apart", notes[0])
    train(net, images, y, Settings(epochs=500, steps=5, stop_when_fitted=False), progress=Told())
    assert ("training", 5, False) in told and "for 2 epochs at" in notes[1], "3 of 5 steps are left, 2 to an epoch"


def test_nets_that_do_not_suit_are_refused():
    _, images, y = problem()
    for other, message in (
        (build_model(MLP, (5,), 10), "does not take inputs"),
        (build_model(MLP, images.input_shape, 9), "expected logits for 10 classes"),
        (torch.nn.Flatten(0), "expected logits"),
        (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.AvgPool1d(3)), "no parameters to train"),
    ):
        with pytest.raises(InputError, match=message):
            train(other, images, y)


def test_a_batch_of_one_is_tried_before_the_first_epoch():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(36), torch.nn.Linear(36, 10))
    _, images, y = problem()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError, match="a batch of one example, which batch = 149 leads to: ValueError"):
        train(net, images, y, Settings(batch=149))
    tried = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.BatchNorm1d(36), torch.nn.Linear(36, 10))
    tried.load_state_dict(before)
    _try(tried, images.batch(torch.arange(5)), 10, training=True, inputs="five examples")
    for each in (net, tried):
        assert all(torch.equal(value, before[name]) for name, value in each.state_dict().items())
    assert train(net, images, y, Settings(batch=10**6, epochs=1)).steps == 1, "all examples are one batch"
    with pytest.raises(InputError, match="batch = 10000000000000000000"):
        Settings(batch=10**19)


def test_a_broken_image_is_not_the_nets_fault(monkeypatch):
    net, images, y = problem()
    monkeypatch.setattr(images, "batch", lambda rows: (_ for _ in ()).throw(DataError("i0.png cannot be read")))
    with pytest.raises(DataError, match=r"^i0\.png"):
        train(net, images, y)


def test_crops_without_room_are_refused():
    net, images, y = problem(crop=8)
    with pytest.raises(InputError, match="no room for random crops"):
        train(net, images, y, Settings(augment=True))


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(tmp_path, monkeypatch):
    notes, real = [], checkpoints.atomic_write

    class Told(Progress):
        note = staticmethod(notes.append)

    @contextlib.contextmanager
    def full(path):
        with real(path) as file:
            yield file
            raise OSError(28, "No space left on device")

    net, images, y = problem()
    path = tmp_path / "net.pt"
    monkeypatch.setattr(checkpoints, "atomic_write", full)
    history = train(net, images, y, Settings(epochs=2), checkpoint=path, progress=Told())
    assert history.epoch == 2 and any("no checkpoint was written" in note and "No space" in note for note in notes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"epochs": 0},
        {"steps": 0},
        {"lr": -1.0},
        {"lr": float("nan")},
        {"lr_decay": 1.5},
        {"target": 1.1},
        {"precision": "float16"},
        {"decay_layers": "some"},
        {"test_every": -1},
    ],
)
def test_settings_are_checked(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Settings(**wrong)


def test_norms_of_weights():
    net, images, y = problem("alexnet(width=0.1)")
    start = starting_weights(net)
    untouched = weight_norms(net, start)
    assert set(untouched["distance"].values()) == {0.0}
    train(net, images, y, Settings(epochs=1))
    found = weight_norms(net, start)
    product = 1.0
    for name, parameter in net.named_parameters():
        if name.endswith("weight"):
            matrix = parameter.detach().numpy().reshape(len(parameter), -1).astype(np.float64)
            singular = np.linalg.svd(matrix, compute_uv=False)
            assert found["frobenius"][name] == pytest.approx(np.sqrt((singular**2).sum()), rel=1e-5)
            assert found["spectral"][name] == pytest.approx(singular[0], rel=1e-5)
            assert found["distance"][name] > 0
            product *= singular[0]
    assert found["spectral_product"] == pytest.approx(product, rel=1e-4)
    assert len(found["frobenius"]) == 5


class Counting(torch.nn.Module):
    """Counts the passes of its training, in a buffer that it replaces."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.linear = torch.nn.Linear(input_shape[0], n_classes)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.seen = self.seen + 1
        return self.linear(x)


class Lazy(torch.nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.linear = torch.nn.LazyLinear(n_classes)


def test_a_net_is_tried_without_a_trace_of_it():
    X, y = np.random.default_rng(0).random((150, 8)), np.arange(150) % 3
    net = NetClassifier(f"{__name__}:Counting", epochs=3, batch=149, lr=1e-3).fit(
        X, y
    )  # the last batch has one example
    assert net.net_.seen == net.history_.steps == 6
    with pytest.raises(InputError, match="lazy"):
        NetClassifier(f"{__name__}:Lazy", epochs=3).fit(X, y)


class Odd(torch.nn.Module):
    """Returns logits, in training made odd in one of several ways; three more of them than there are classes."""

    def __init__(self, input_shape, n_classes, way=""):
        super().__init__()
        self.linear, self.way = torch.nn.Linear(input_shape[0], n_classes + 3), way

    def forward(self, x):
        logits = self.linear(x)
        if self.training:
            odd = {"pair": lambda: (logits, logits), "detached": logits.detach, "complex": lambda: logits * 1j}
            return odd.get(self.way, lambda: logits)()
        return logits


@pytest.mark.parametrize(
    ("way", "said"),
    [("pair", "returns tuple"), ("detached", "has no gradient"), ("complex", "returns torch.complex64")],
)
def test_what_a_net_returns_in_training_is_looked_at_first(way, said):
    X, y = np.random.default_rng(0).random((30, 8)), np.arange(30) % 3
    with pytest.raises(InputError, match=said):
        NetClassifier(f"{__name__}:Odd(way='{way}')").fit(X, y)
    made = NetClassifier(f"{__name__}:Odd", epochs=1).fit(X, y)
    assert made.decision_function(X).shape == (30, 3) and set(made.predict(X)) <= {0, 1, 2}


def test_a_net_of_its_own_weights_takes_no_others():
    with pytest.raises(InputError, match="draws its weights itself"):
        build_model(f"{__name__}:Odd", (8,), 3, init="glorot")
