"""Only what is alike in all but labels and seed is one curve, and a curve ends where the training did."""

import types

from kernelfit.experiments.nets_paper import Entry, Outcome
from kernelfit.report.net_curves import by_curve, errors_at_levels, losses, times_to_fit
from kernelfit.report.nets_paper import plot_study
from kernelfit.report.page.nets import nets_section
from kernelfit.report.table1 import records_of
from tests.support import report_folders as folders


def net(data="mnist", *, labels=0.0, seed=0, steps=100, error=0.1, n_train=500, epochs=10, **training):
    about = {"dataset": {"asked": f"{data}.npz", "name": data}, "corruption": {"labels": labels, "pixels": "true"}}
    about |= {"training": {"augment": False, "weight_decay": 0.0, "lr": 0.1, "epochs": epochs} | training}
    about |= {"seed": seed, "n_train": n_train, "test_error": error, "time_to_fit": steps and {"steps": steps}}
    return types.SimpleNamespace(**folders.net(**about))


def test_each_data_set_and_each_size_has_a_curve_of_its_own():
    nets = [net(data, labels=p, n_train=n) for data in ("mnist", "digits") for n in (50, 500) for p in (0, 1)]
    names = {f"inception on {data}, n = {n}" for data in ("mnist", "digits") for n in (50, 500)}
    assert {name for name, _ in by_curve(nets)} == set(times_to_fit(nets)) == set(errors_at_levels(nets)) == names
    assert all(len(rows) == 2 for _, rows in by_curve(nets))


def test_settings_that_differ_are_told_and_limits_of_a_training_are_not():
    nets = [net(lr=0.1), net(lr=0.01), net(lr=0.01, epochs=99), net(lr=0.01, weight_decay=5e-4)]
    assert [(name, len(rows)) for name, rows in by_curve(nets)] == [
        ("inception on mnist, n = 500, lr 0.1", 1),
        ("inception on mnist, n = 500, lr 0.01", 2),
        ("inception, wd on mnist, n = 500", 1),
    ]
    twins = [net(), net()]
    twins[1].dataset = {"asked": "other/mnist.npz", "name": "mnist"}
    assert [name.partition("500")[2] for name, _ in by_curve(twins)] == [", data mnist.npz", ", data other/mnist.npz"]


def test_the_one_trained_last_stands_at_the_end():
    nets = [net("digits"), net("mnist"), net("digits", seed=1)]
    assert [rows[-1].dataset["name"] for _, rows in by_curve(nets)] == ["mnist", "digits"]


def test_the_time_to_fit_is_in_steps_of_the_same_seed():
    nets = [net(seed=0, steps=100), net(seed=1, steps=200)]
    nets += [net(labels=1.0, seed=0, steps=300), net(labels=1.0, seed=1, steps=300)]
    nets += [net(labels=1.0, seed=2, steps=900)]  # a seed that was not fitted to true labels
    nets += [net(labels=0.5, seed=0, steps=None)]
    assert times_to_fit(nets) == {"inception on mnist, n = 500": {0.0: [1.0, 1.0], 1.0: [3.0, 1.5]}}
    assert times_to_fit(nets[2:]) == {}


def test_a_seed_that_was_trained_twice_counts_once_as_it_was_last():
    nets = [net(error=0.5, epochs=1), net(error=0.1), net(labels=1.0, error=0.9)]
    assert errors_at_levels(nets) == {"inception on mnist, n = 500": {0.0: [10.0], 1.0: [90.0]}}


def test_the_last_point_stands_at_the_last_step():
    row = net()
    row.steps, row.step_curve = 110, {"every": 50, "loss": [2.0, 1.0, 0.5]}
    assert losses(row) == [(50, 2.0), (100, 1.0), (110, 0.5)]


def test_table_1_has_no_mean_over_data_sets():
    nets = [net("cifar10", seed=0), net("cifar10-jpeg75", seed=0), net("cifar10-jpeg75", seed=1)]
    assert records_of("inception-none", nets) == nets[1:]


def test_chance_is_drawn_where_it_is_one():
    nets = [net(labels=p) for p in (0, 1)]
    assert "chance, 90 %" in str(nets_section(types.SimpleNamespace(nets=nets)))
    for row in nets:
        row.n_classes = 4
    assert "chance, 75 %" in str(nets_section(types.SimpleNamespace(nets=nets)))
    nets[0].n_classes = 3
    assert "chance" not in str(nets_section(types.SimpleNamespace(nets=nets)))


def test_figure_1b_is_relative_to_true_labels_alone(tmp_path):
    """Without them there is no relative time: no panel, and no line that calls the first level 1."""

    def drawn(*levels):
        outcomes = [
            Outcome(Entry(f"mlp-{p:g}", "bc", {"model": "mlp", "labels": f"{p:g}"}), (net(labels=p),)) for p in levels
        ]
        return plot_study("figure1", outcomes, tmp_path / "a.svg").read_text().count("relative to true labels")

    assert drawn(0.0, 1.0) and not drawn(0.5, 1.0)
