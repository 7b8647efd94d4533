"""Nets find their row of the paper's table 1, and only theirs."""

import types

import pytest

from kernelfit.report.paper import TABLE_1
from kernelfit.report.table1 import in_words, records_of
from tests.support import report_folders as folders


def net(model="inception", labels=0.0, crop=False, decay=0.0, pixels="true", dataset="cifar10", n_train=50_000, seed=0):
    about = {"model": model, "corruption": {"labels": labels, "pixels": pixels}, "n_train": n_train}
    about |= {"training": {"augment": crop, "weight_decay": decay}, "dataset": {"name": dataset}, "seed": seed}
    return types.SimpleNamespace(**folders.net(**about))


def rows(*nets):
    return [name for name in TABLE_1 if records_of(name, nets)]


def test_every_row_has_words():
    words = {in_words(name) for name in TABLE_1}
    assert len(words) == len(TABLE_1)
    assert ("Inception without batch norm", "wd") in words and ("MLP 1x512", "random labels") in words


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, "inception-none"),
        ({"crop": True, "decay": 5e-4}, "inception-crop-wd"),
        ({"labels": 1.0}, "inception-random"),
        ({"model": "inception(batch_norm=False)", "decay": 1e-3}, "inception-nobn-wd"),
        ({"model": "mlp3x512", "dataset": "cifar10-jpeg75"}, "mlp3x512-none"),
        ({"model": "mlp(hidden=[512, 512, 512])"}, "mlp3x512-none"),
        ({"model": "mlp(hidden=[512])", "labels": 1.0}, "mlp1x512-random"),
        ({"model": "alexnet", "crop": True}, "alexnet-crop"),
        ({"model": "inception_v3", "dataset": "my-imagenet"}, "imagenet-none"),
    ],
)
def test_a_net_belongs_to_its_row(about, expected):
    assert rows(net(**about)) == [expected]


@pytest.mark.parametrize(
    "about",
    [
        {"labels": 0.5},
        {"labels": 1.0, "decay": 1e-3},
        {"pixels": "shuffled"},
        {"dataset": "digits"},
        {"model": "inception(width=0.5)"},
        {"model": "mlp(hidden=[256])"},
        {"model": "my_module:inception"},
        {"model": "mine(hidden=[512])"},
    ],
)
def test_others_belong_to_none(about):
    assert rows(net(**about)) == []


def test_of_several_sizes_the_largest_is_taken_and_all_its_seeds():
    nets = [net(n_train=100), net(seed=0), net(seed=1), net(n_train=2000)]
    assert records_of("inception-none", nets) == nets[1:3]
