import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: the extra nn")

import torch

from kernelfit.common.errors import InputError, ScratchError
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets import load
from kernelfit.nn.images import Images
from kernelfit.nn.many import Member, train_many
from kernelfit.nn.models import build_model
from kernelfit.nn.settings import Settings
from kernelfit.nn.training import train

DIGITS = load("digits").subset(150, 60)
IMAGES = Images(DIGITS.X_train, crop=6)
TEST = (Images(DIGITS.X_test, crop=6), torch.tensor(DIGITS.y_test))
SETTINGS = Settings(batch=32, lr=0.02, lr_decay=1.0, epochs=60)


def member(level=0.0, seed=0, model="mlp(hidden=[64, 32])", images=IMAGES, **changed):
    y, _ = corrupt_labels(DIGITS.y_train, 10, level, seed)
    net = build_model(model, images.input_shape, 10, seed=seed)
    return Member(
        net=net,
        images=images,
        labels=torch.tensor(y),
        settings=dataclasses.replace(SETTINGS, **changed),
        seed=seed,
        corrupted=torch.tensor(y != DIGITS.y_train),
        test=TEST,
    )


def alone(each):
    return train(
        each.net, each.images, each.labels, each.settings, seed=each.seed, corrupted=each.corrupted, test=each.test
    )


def weights(net):
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


def compare(make):
    """Train what `make` returns together and one by one.

    Both add the same float32 products in another order, which is 1e-7 of a loss in a step, and grows slowly at these
    rates. A ReLU that switches on such a difference changes a weight by up to the rate times a gradient: the bound for
    the end of a run.
    """
    tolerance = 5e-3
    together, single = make(), make()
    histories = train_many(together)
    for ours, each, one in zip(histories, together, single, strict=True):
        theirs = alone(one)
        assert (ours.epoch, ours.steps, ours.images) == (theirs.epoch, theirs.steps, theirs.images)
        assert ours.stopped_by == theirs.stopped_by
        assert (ours.time_to_fit or {}).get("steps") == (theirs.time_to_fit or {}).get("steps")
        torch.testing.assert_close(weights(each.net), weights(one.net), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.step_losses, theirs.step_losses, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.step_losses[:15], theirs.step_losses[:15], rtol=1e-5)
        assert ours.curve["learning_rate"] == theirs.curve["learning_rate"]
        for name in ("accuracy_clean", "accuracy_corrupted", "test_accuracy"):
            # One example more or less, where two logits are as good as equal.
            np.testing.assert_allclose(*(np.array(h.curve[name], float) for h in (ours, theirs)), atol=0.05)
        assert len(ours.packed) == len(theirs.packed)
    return histories


def test_levels_and_seeds_are_the_single_runs():
    histories = compare(lambda: [member(level, seed) for seed in (0, 3) for level in (0.0, 0.6)])
    assert len({history.epoch for history in histories}) > 2, "members end at different times"
    assert {history.stopped_by for history in histories} == {"accuracy"}


def test_members_may_have_rates_and_decays_of_their_own():
    changed = [{"lr": 0.01, "lr_decay": 0.9}, {"weight_decay": 0.1}, {"momentum": 0.5}, {}]
    compare(lambda: [member(0.5, epochs=12, decay_layers="fc", **each) for each in changed])


@pytest.mark.parametrize(
    "changed",
    [{"augment": True, "epochs": 8}, {"steps": 13}, {"loss_below": 1.0}, {"lr": 1e30}, {"target": 0.7}],
    ids=str,
)
def test_other_switches_and_ends(changed):
    make = lambda: [member(level, 1, "mlp(hidden=[24])", **changed) for level in (0.0, 0.3)]  # noqa: E731
    if "lr" in changed:
        assert [history.stopped_by for history in train_many(make())] == ["diverged"] * 2
    else:
        compare(make)


def test_images_of_their_own():
    other = Images(load("digits").subset(150, 60, seed=5).X_train, crop=6)
    compare(lambda: [member(0.3, 2), member(0.3, 2, images=other), member(0.0, 2)])


def test_members_end_with_tensors_of_their_own():
    members = [member(0.0), member(1.0)]
    histories = train_many(members)
    for each, history in zip(members, histories, strict=True):
        for tensor in (*each.net.parameters(), history.correct):
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


class StopError(Exception):
    pass


@pytest.mark.parametrize("stop_after", [2, 30])
def test_a_stopped_run_goes_on_with_the_same_bits(tmp_path, monkeypatch, stop_after):
    def make():
        return [member(level, seed, checkpoint_every=0) for level, seed in ((0.0, 0), (0.5, 0), (0.0, 1))]

    whole, path = make(), tmp_path / "many.pt"
    expected = train_many(whole)
    calls, gather = 0, train_many.__globals__["measure"]

    def stopping(*arguments):
        nonlocal calls
        calls += 1
        if calls > stop_after:
            raise StopError
        gather(*arguments)

    monkeypatch.setitem(train_many.__globals__, "measure", stopping)
    with pytest.raises(StopError):
        train_many(make(), checkpoint=path, identity="run")
    calls = -1000
    again = make()
    histories = train_many(again, checkpoint=path, identity="run", resume=True)
    for ours, theirs, one, other in zip(again, whole, histories, expected, strict=True):
        assert torch.equal(weights(ours.net), weights(theirs.net))
        assert one.step_losses == other.step_losses and one.stopped_by == other.stopped_by
    assert any(history.resumed for history in histories) == (stop_after > 3)
    ended = train_many(make(), checkpoint=path, identity="run", resume=True)
    assert [history.steps for history in ended] == [history.steps for history in expected]
    with pytest.raises(ScratchError, match="another run"):
        train_many(make(), checkpoint=path, identity="other", resume=True)


def test_what_cannot_be_trained_together_is_refused():
    images = Images(DIGITS.X_train, crop=5)
    dropout = dataclasses.replace(member(), net=build_model("mlp(hidden=[64, 32])", (1, 6, 6), 10, dropout=0.5))
    for members, message in (
        ([], "no nets"),
        ([member(), member(model="alexnet(width=0.1)")], "only MLPs"),
        ([dropout], "without dropout"),
        ([member(), member(model="mlp(hidden=[24])")], "same sizes"),
        ([member(), member(images=images)], "same sizes"),
        ([member(), member(images=Images(DIGITS.X_train[:99], crop=6))], "one number"),
        ([member(), member(batch=16)], "lr, lr_decay"),
        ([member(compile=True)], "compiled"),
    ):
        with pytest.raises(InputError, match=message):
            train_many(members)
