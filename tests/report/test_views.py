"""What views say follows from the numbers: which nets may be compared, verdicts, and where a value stands."""

import dataclasses
import itertools
import types

import numpy as np
import pytest

from kernelfit.experiments.paper.study import Outcome
from kernelfit.experiments.ridge import verdict
from kernelfit.records.fits import RandomizationResult
from kernelfit.report import words
from kernelfit.report.paper import FIGURE_1A_STEPS, SECTION_5_CLAIMS, TABLE_1
from kernelfit.report.plots import PLOTS, find_plot, shown_by
from kernelfit.report.views import (
    bench,
    descent,
    hardness,
    likelihood,
    measures,
    net,
    nets_paper,
    norms,
    randomize,
    ridge,
    section5,
    solve,
    sweep,
    table1,
)
from kernelfit.report.views.net_curves import by_key, errors_at_levels, errors_panel, loss, overfit_panel, times_to_fit
from tests.report import folders


def nets(*changes):
    """Return the Records of nets on mnist with some changes each."""
    lines = []
    for number, change in enumerate(changes):
        about = {"data": "mnist", "labels": 0.0, "pixels": "true", "steps": 100, "error": 0.1, "n_train": 500} | change
        line = {"command": f"kernelfit nn train {number}", "dataset": {"asked": f"{about['data']}.npz"}}
        line["dataset"] |= {"name": about.pop("data")}
        line["corruption"] = {name: about.pop(name) for name in ("labels", "pixels")}
        steps = about.pop("steps")
        line |= {"time_to_fit": steps and {"steps": steps}, "test_error": about.pop("error")}
        own = ("n_train", "n_test", "seed", "model", "n_classes", "step_curve", "curve", "train_error")
        line |= {name: about.pop(name) for name in own if name in about}
        line |= {"epochs": about.pop("ran")} if "ran" in about else {}
        line["training"] = {"augment": False, "weight_decay": 0.0, "lr": 0.1, "epochs": 10} | about
        lines.append(folders.net(**line))
    return folders.records(lines).of("net")


def test_each_data_set_and_each_size_has_a_curve_of_its_own():
    found = nets(
        *({"data": data, "labels": p, "n_train": n} for data in ("mnist", "own") for n in (50, 500) for p in (0, 1))
    )
    names = {f"inception on {data}, n = {n}" for data in ("mnist", "own") for n in (50, 500)}
    assert {name for name, _ in by_key(found)} == set(times_to_fit(found)) == set(errors_at_levels(found)) == names
    assert all(len(records) == 2 for _, records in by_key(found))


def test_settings_that_differ_are_told_and_limits_of_a_training_are_not():
    found = nets({}, {"lr": 0.01}, {"lr": 0.01, "epochs": 99}, {"lr": 0.01, "weight_decay": 5e-4})
    assert [(name, len(records)) for name, records in by_key(found)] == [
        ("inception on mnist, n = 500, lr 0.1", 1),
        ("inception on mnist, n = 500, lr 0.01", 2),
        ("inception, wd on mnist, n = 500", 1),
    ]
    last = by_key(nets({"data": "own"}, {}, {"data": "own", "seed": 1}))
    assert [records[-1].dataset.name for _, records in last] == ["mnist", "own"], "the one trained last at the end"


def test_the_time_to_fit_is_in_steps_of_the_same_seed():
    found = nets(
        *({"seed": 0}, {"seed": 1, "steps": 200}, {"labels": 1.0, "seed": 0, "steps": 300}),
        *({"labels": 1.0, "seed": 1, "steps": 300}, {"labels": 1.0, "seed": 2, "steps": 900}),
        {"labels": 0.5, "seed": 0, "steps": None},
    )
    assert times_to_fit(found) == {"inception on mnist, n = 500": {0.0: [1.0, 1.0], 1.0: [3.0, 1.5]}}
    assert times_to_fit(found[2:]) == {} and overfit_panel(found[2:]).empty
    again = nets({"error": 0.5, "epochs": 1}, {"error": 0.1}, {"labels": 1.0, "error": 0.9})
    assert errors_at_levels(again) == {"inception on mnist, n = 500": {0.0: [0.1], 1.0: [0.9]}}, "a seed counts once"


def test_curves_end_where_the_training_did_and_chance_is_drawn_where_it_is_one():
    [one] = nets({"step_curve": {"every": 50, "loss": [2.0, 1.0, 0.5]}})
    one = dataclasses.replace(one, results=dataclasses.replace(one.results, steps=110))
    assert [(point.x, point.y) for point in loss(one, "", 0).points] == [(50, 2.0), (100, 1.0), (110, 0.5)]
    for classes, names in (((10, 10), ["chance, 90 %"]), ((4, 4), ["chance, 75 %"]), ((3, 4), [])):
        found = nets(*({"labels": p, "n_classes": k} for p, k in zip((0, 1), classes, strict=True)))
        assert [rule.name for rule in errors_panel(found).rules] == names


def test_test_accuracies_along_the_way_are_drawn_for_each_data_and_the_best_is_told():
    long, short, once = (
        {"curve": {"epoch": [*range(1, len(known) + 1)], "test_accuracy": known}, "ran": len(known)}
        for known in ([0.5, 0.75, None, 0.75], [0, 1], [None, 0.5])
    )
    bare = "inception(batch_norm=False)"
    found = nets(
        *(short, long | {"seed": 1}, long | {"labels": 1.0, "seed": 2}, short | {"n_train": 50}),
        *(short | {"model": bare, "ran": 5, "error": 0.25}, once | {"lr": 0.3}),
    )
    plot = find_plot("accuracy")
    groups = plot.find(types.SimpleNamespace(latest={"net": found}.get))
    assert [(data, [*own]) for data, own in groups] == [
        ("mnist, n = 50", ["inception"]),
        ("mnist, n = 500", ["inception, lr 0.1", bare]),
    ]
    [panel] = plot.figure(groups[1]).panels
    assert [(point.x, point.y) for point in panel.series[0].points] == [(1, 50), (2, 75), (4, 75)]
    assert [(point.x, point.y) for point in panel.series[1].points] == [(1, 0), (2, 100), (5, 75)], "what it ended with"
    assert plot.figure(groups[1]).commands == (found[1].command, found[4].command), "the last seed of each"
    first = plot.table(groups[1]).rows[0]
    assert [str(cell) for cell in first.cells[2:]] == ["75.00 %", "75.00 %", "2", "4"], "the first of the best"


def test_each_kind_of_pixels_of_a_sweep_is_told_with_its_own_kernel():
    kernels = {"true": "gaussian(bandwidth=1.5)", "random": "gaussian(bandwidth=2.5)"}
    lines = [folders.sweep(level=p, pixels=name, kernels=kernels, norm=9.0 + p) for name in kernels for p in (0, 1)]
    [both] = folders.records(lines).of("sweep")
    made = sweep.table(both)
    assert [row.cells[:2] for row in made.rows[1:3]] == [tuple(each) for each in list(kernels.items())]
    told = words.title_of(both)
    assert told.endswith("gaussian(bandwidth=1.5) and gaussian(bandwidth=2.5), true and random pixels")
    names = ["true labels", "random labels", "true labels, random pixels", "random labels, random pixels"]
    assert [row.cells[0] for row in norms.table(both).rows] == names
    assert [series.name for series in norms.figure(both).panels[0].series] == names
    one = folders.sweep(pixels="random", kernels={"random": "gaussian(bandwidth=2.5)"})
    [noise] = folders.records([one]).of("sweep")
    assert "kernel" not in sweep.table(noise).columns and words.title_of(noise).endswith(
        "(bandwidth=2.5), random pixels"
    )


def test_no_time_to_overfit_is_drawn_where_nothing_was_fitted():
    found = nets({"steps": None}, {"labels": 1.0, "steps": None})
    records = types.SimpleNamespace(latest={"net": found, "sweep": []}.get)
    assert PLOTS["overfit"].find(records) == [] and len(PLOTS["errors"].find(records)) == 1


def test_nets_that_were_tested_on_other_numbers_of_images_are_not_compared():
    assert errors_at_levels(nets({}, {"labels": 1.0, "n_test": 30})) == {}
    assert len(errors_at_levels(nets({"n_test": 30}, {"labels": 1.0, "n_test": 30}))) == 1


def test_the_exact_kernel_is_drawn_beside_nets_that_saw_the_same_images():
    found = nets({"labels": 0.0}, {"labels": 1.0, "error": 0.9})
    [sweep] = folders.records([folders.sweep(level=p, test_error=0.9 * p) for p in (0, 1)]).of("sweep")
    assert len(errors_panel(found, [sweep]).series) == 1, "what images they were is not known"

    def seen(record, digest):
        return dataclasses.replace(record, dataset=dataclasses.replace(record.dataset, sha256={"X_train": digest}))

    found = [seen(record, "a") for record in found]
    assert len(errors_panel(found, [seen(sweep, "b")]).series) == 1
    _, exact = errors_panel(found, [seen(sweep, "a")]).series
    assert [(point.x, point.y) for point in exact.points] == [(0, 0), (100, 90)] and "exact, gaussian" in exact.name
    ridged = dataclasses.replace(seen(sweep, "a"), spec=sweep.spec | {"ridge": 0.1})
    assert len(errors_panel(found, [ridged]).series) == 1, "not exact"
    noise = [folders.sweep(level=p, pixels="gaussian", kernels={"gaussian": "gaussian(bandwidth=1.0)"}) for p in (0, 1)]
    [noise] = folders.records(noise).of("sweep")
    assert len(errors_panel(found, [seen(sweep, "a"), seen(noise, "a")]).series) == 2, "noise takes nothing away"
    assert len(errors_panel(found[:1], [seen(sweep, "a")]).series) == 0, "there is no line of nets to stand beside"
    plot, both = find_plot("errors"), (found, [seen(sweep, "a"), ridged])
    assert [series.name for series in plot.figure(both).panels[0].series][1] == exact.name
    assert [str(row.cells[0]) for row in plot.table(both).rows][1] == exact.name
    assert plot.figure(both).commands[-1] == sweep.command


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({}, ["inception-none"]),
        ({"augment": True, "weight_decay": 5e-4}, ["inception-crop-wd"]),
        ({"labels": 1.0}, ["inception-random"]),
        ({"model": "inception(batch_norm=False)", "weight_decay": 1e-3}, ["inception-nobn-wd"]),
        ({"model": "mlp3x512", "data": "cifar10-jpeg75"}, ["mlp3x512-none"]),
        ({"model": "mlp(hidden=[512, 512, 512])"}, ["mlp3x512-none"]),
        ({"model": "mlp(hidden=[512])", "labels": 1.0}, ["mlp1x512-random"]),
        ({"model": "alexnet", "augment": True}, ["alexnet-crop"]),
        ({"model": "inception_v3", "data": "my-imagenet"}, ["imagenet-none"]),
        *(({"labels": p, "weight_decay": d}, []) for p, d in ((0.5, 0.0), (1.0, 1e-3))),
        *(({"model": model}, []) for model in ("inception(width=0.5)", "mlp(hidden=[256])", "my_module:inception")),
        *((about, []) for about in ({"pixels": "shuffled"}, {"data": "digits"}, {"model": "mine(hidden=[512])"})),
    ],
)
def test_a_net_belongs_to_its_row_of_table_1(about, expected):
    found = nets({"data": "cifar10"} | about)
    assert [name for name in TABLE_1 if table1.groups_of(name, found)] == expected


def test_a_row_of_table_1_has_the_seeds_of_one_data_set_at_its_largest():
    words = {table1.in_words(name) for name in TABLE_1}
    assert len(words) == len(TABLE_1) and ("Inception without batch norm", "wd") in words
    sizes = [{"data": "cifar10", "n_train": n, "seed": seed} for n, seed in ((100, 0), (3000, 0), (3000, 1), (2000, 0))]
    found = nets(*sizes)
    assert table1.groups_of("inception-none", found) == [("", found[1:3])]
    found = nets(*({"data": f"cifar10{end}", "seed": seed} for end, seed in (("", 0), ("-own", 0), ("-own", 1))))
    assert table1.groups_of("inception-none", found) == [("", found[1:])], "no mean over data sets"


def test_a_row_of_table_1_that_was_trained_in_several_ways_shows_each_the_papers_first():
    shared = {"data": "cifar10", "model": "mlp1x512", "labels": 1.0}
    ways = [{"lr_decay": decay, "batch": 128, "seed": seed} for decay, seed in ((0.95, 0), (0.98, 0), (0.95, 1))]
    found = nets(*(shared | way for way in ways[:2]), shared | dict(reversed(ways[2].items())))
    assert table1.groups_of("mlp1x512-random", found) == [("", found[::2]), (", lr_decay 0.98", found[1:2])]
    twice = nets(*(shared | {"ran": epochs, "lr_decay": 0.95} for epochs in (30, 17)))
    assert table1.groups_of("mlp1x512-random", twice) == [("", twice[:1])], "a seed that was trained twice"
    again = nets(
        *(
            shared | {"model": name, "lr_decay": 0.95, "seed": k}
            for k, name in enumerate(("mlp1x512", "mlp(hidden=[512])"))
        )
    )
    assert table1.groups_of("mlp1x512-random", again) == [("", again)], "one net under two names"
    alex = nets(*({"data": "cifar10", "model": "alexnet", "lr_decay": 0.95, "init": init} for init in ("glorot", "he")))
    assert table1.groups_of("alexnet-none", alex) == [("", alex[:1]), (", init he", alex[1:])], "as the study starts it"
    table = table1.section(types.SimpleNamespace(latest=lambda kind: found)).parts[0]
    shown = [[str(cell) for cell in row.cells] for row in table.rows if not row.grey]
    assert [row[1] for row in shown] == ["random labels", "random labels, lr_decay 0.98"]
    assert "±" in shown[0][3] and "2 seeds" in shown[0][6] and "±" not in shown[1][3]


def arriving(order):
    """Return the Outcomes of figure 1a in which the curves arrive in this order."""
    curves = [{"every": 10, "loss": [2.0] * (order.index(name) + 1) + [0.05]} for name in FIGURE_1A_STEPS]
    found = nets(*({"step_curve": curve} for curve in curves))
    return [Outcome(name, "a", (record,)) for name, record in zip(FIGURE_1A_STEPS, found, strict=True)]


def test_verdicts_of_studies_follow_the_numbers():
    right = list(FIGURE_1A_STEPS)
    assert "holds: true 20, shuffled 30" in nets_paper.verdicts("figure1", arriving(right))[0]
    for wrong in (right[::-1], [*right[1:], "true"]):
        assert "does not hold" in nets_paper.verdicts("figure1", arriving(wrong))[0]
    assert nets_paper.verdicts("figure1", arriving(right)[1:]) == [], "no order of four"
    late = [
        *arriving(right)[:4],
        Outcome("random-labels", "a", tuple(nets({"step_curve": {"every": 1, "loss": [2.0]}}))),
    ]
    assert "random-labels did not reach it" in nets_paper.verdicts("figure1", late)[0]
    rising = [Outcome(f"mlp-{p}", "bc", tuple(nets({"labels": p, "error": p}))) for p in (0.0, 0.5, 1.0)]
    assert "rises with every level, from 0 % at 0 % to 100.00 % at 100 %" in nets_paper.verdicts("figure1", rising)[0]
    with_bn, without, unfitted = nets({"error": 0.2}, {"error": 0.25}, {"error": 0.9, "train_error": 0.88})
    for other, said in ((without, "is worth 5 points of test"), (unfitted, "inception-nobn did not fit")):
        pair = [Outcome("inception", "b", (with_bn,)), Outcome("inception-nobn", "b", (other,))]
        assert said in nets_paper.verdicts("figure2", pair)[0]
    failed = Outcome("inception-none", "", (), "absent is no folder")
    assert "inception-none was not run: absent is no folder" in nets_paper.table("table1", [failed]).sentences


def test_studies_have_a_row_for_each_entry_and_a_command_for_each_seed():
    levels = (0.0, 1.0)
    found = [
        Outcome(f"mlp-{p:g}", "bc", tuple(nets(*({"labels": p, "seed": s, "steps": 100 + 100 * p} for s in (0, 1)))))
        for p in levels
    ]
    made = nets_paper.table("figure1", found)
    assert [row.cells[:2] for row in made.rows] == [("mlp-0", "500 x 2"), ("mlp-1", "500 x 2")]
    assert [row.cells[4] for row in made.rows] == ["1 ± 0", "2 ± 0"] and len(made.rows[0].command.splitlines()) == 2
    panels = {panel.title for panel in nets_paper.figure("figure1", found).panels}
    assert panels == {"Time to overfit", "Test error against corruption"}
    alone = {panel.title for panel in nets_paper.figure("figure1", found[1:]).panels}
    assert alone == set(), "without true labels there is no relative time, and one level is no curve"
    both = nets_paper.figure("figure2", [Outcome("inception", "b", tuple(nets({})))])
    assert [series.dashed for series in both.panels[0].series] == [True, False]


def path(loo=(0.02, 0.02, 0.03), test=(0.0125, 0.0124, 0.2), ridges=(0.0, 1e-8, 1.0)):
    """Return the Record of a ridge path, with the verdict that its rows deserve."""
    lines = [
        folders.ridge(ridge=r, loo_error=loo[k], test_error=test[k], test_corrected=3 * k, test_broken=2 * k)
        for k, r in enumerate(ridges)
    ]
    [record] = folders.records(lines).of("ridge")
    squared = [dataclasses.replace(row, loo_squared_error=row.loo_error) for row in record.results.rows]
    return dataclasses.replace(record, results=dataclasses.replace(record.results, **verdict(squared)))


def test_a_ridge_path_tells_the_outcome():
    made = ridge.table(path())
    assert made.rows[0].cells[:5] == ("0 *", "0 %", "2.00 %", "1.25 %", "")
    assert made.rows[1].cells[:5] == ("1e-8", "0 %", "2.00 %", "1.24 %", "3, 2")
    assert "a larger ridge does not lower the leave-one-out error, which would choose 0;" in made.notes[0]
    assert "in hindsight the test error is 1.24 % at 1e-8 instead of 1.25 %" in made.notes[0]
    better = ridge.table(path(loo=(0.02, 0.01, 0.03), test=(0.1, 0.1, 0.1))).notes[0]
    assert "lowers the leave-one-out error, which would choose 1e-8; none improves the test error of 10.00 %" in better
    blind = ridge.table(path(loo=(None, None, None)))
    assert "no leave-one-out to choose by" in blind.notes[0] and "chosen" not in blind.caption
    assert "*" not in blind.rows[0].cells[0]


@pytest.mark.parametrize(
    ("ridges", "expected"),
    [
        ([0.0, 1e-8, 1.0], [1e-9, 1e-8, 1.0]),
        ([1e-3, 1.0], [1e-3, 1.0]),
        ([0.0, 1e-300], [1e-301, 1e-300]),
        ([0], [0.1]),
    ],
)
def test_a_ridge_of_zero_stands_a_decade_below_the_first_and_is_named(ridges, expected):
    assert ridge.positions(ridges) == pytest.approx(expected, rel=1e-12)
    panels = ridge.figure(path(ridges=(0.0, 1e-8, 1.0))).panels
    assert [text for _, text in panels[0].x.ticks] == ["0", "1e-8", "1"] and len(panels[0].rules) == 1


def test_a_randomization_test_tells_means_deviations_and_the_verdict():
    lines = []
    for p, seed in itertools.product((0.0, 0.5, 1.0), range(3)):
        about = {"identity": f"{p} {seed}", "level": p, "seed": seed, "train_error": 0.02 * p + 0.01 * seed}
        lines.append(folders.fit(train_error_corrupted=p or None, **about))
    earlier = [
        folders.fit(identity=f"{k}", level=1.0, seed=k, train_error=0.9) for k in range(3)
    ]  # of a version before
    [found] = randomize.results(folders.records(earlier + lines))
    result = dataclasses.replace(found, resumed=2, skipped=1)
    made = randomize.table(result)
    assert made.rows[0].cells[:4] == ("0 %", "1.00 ± 1.00 %", "0 ± 0 %", "")
    assert made.rows[2].cells[:4] == ("100 %", "3.00 ± 1.00 %", "0 ± 0 %", "100.00 ± 0 %")
    told = "; ".join(made.notes)
    assert "does not fit random labels: training error 2 to 4 % over 3 seeds" in told and "1 x the time" in told
    assert "2 of 9 fits were done before" in told and "1 lines of the records were not whole" in told
    single = RandomizationResult(result.records[:1])
    assert "±" not in "".join(randomize.table(single).rows[0].cells) and not randomize.figure(single).panels[0].empty


def test_the_slope_is_the_exponent_and_the_limit_that_of_the_machine():
    [run] = bench.runs(folders.records([folders.bench(n=n, seconds=2e-9 * n**2.5) for n in (100, 200, 400)]))
    assert bench.slope(run, "scipy") == pytest.approx(2.5)
    assert bench.slope(run[:1], "scipy") is None and bench.slope(run, "numpy") is None
    assert bench.limit(3000, 9e9) == pytest.approx(1.0)
    [skipped] = bench.runs(folders.records([folders.bench(skipped="torch is not installed", seconds=None)]))
    assert bench.table(skipped).rows[0].cells[-1] == "not run: torch is not installed"
    assert bench.figure(skipped).panels == ()


def test_section_5_says_what_its_rows_say_together():
    lines = [folders.section5(), folders.section5(row="mnist-pixels", command="b", norm=145.1, test_error=0.0122)]
    said = [found.sentence for found in section5.findings(folders.records(lines))]
    assert said[0].startswith("The norm does not predict the error")
    lines[1] |= {"norm": 200.0}
    assert "agrees with" in section5.findings(folders.records(lines))[0].sentence
    lines[1] |= {"norm": 200.0, "test_error": 0.001}
    assert "does not predict" in section5.findings(folders.records(lines))[0].sentence, "less norm and more errors"
    for best, verb in (
        (0.0122, "does not improve"),
        (0.0121, "improves by less than noise on"),
        (0.005, "improves the"),
    ):
        ends = [{"ridge": 0.0, "test_error": 0.0122}, {"ridge": 0.01, "test_error": best}]
        records = folders.records([folders.section5(row="mnist-pixels-ridge", path=ends)])
        assert verb in section5.findings(records)[0].sentence
    for corrected, broken, verb in ((16, 0, "improves the"), (42, 26, "improves by less than noise on")):
        better = {"ridge": 0.01, "test_error": 0.0106, "test_corrected": corrected, "test_broken": broken}
        records = folders.records([folders.section5(row="mnist-pixels-ridge", path=[ends[0], better])])
        assert verb in section5.findings(records)[0].sentence
    solved = folders.solve(dataset={"asked": "mnist", "name": "mnist"}, n_train=60_000, n_test=10_000, test_error=0.012)
    rows = section5.section(folders.records([solved])).parts[0].rows
    assert rows[0].cells[3] == "1.20 %" and [row.grey for row in rows] == [False] + [True] * (len(SECTION_5_CLAIMS) - 1)
    failed = Outcome("linear", "", (), "singular")
    assert section5.table([failed]).rows[0].cells[-1] == "singular"


def test_a_solve_and_a_net_tell_what_they_have_and_leave_out_what_they_lack():
    records = folders.records([folders.solve(), folders.solve(loo_error=0.03, ridge=0.5), folders.net()])
    bare, full = ({row.cells[0]: row.cells[1] for row in solve.table(record).rows} for record in records.of("solve"))
    assert set(full) - set(bare) == {"leave-one-out error", "ridge"} and full["ridge"] == "0.5"
    one = {row.cells[0]: row.cells[1] for row in net.table(records.of("net")[0]).rows}
    assert one["fitted after"] == "3 epochs, 300 steps, 9.00 s" and "test error, five guesses" not in one
    loss_panel, accuracy = net.figure(records.of("net")[0]).panels
    assert len(loss_panel.series[0].points) == 6
    np.testing.assert_allclose([(p.x, p.y) for p in accuracy.series[1].points], [(1, 40), (3, 80)])


def test_plots_are_found_by_name_and_number():
    lines = [folders.sweep(level=p, command=f"kernelfit sweep --seed {k}", n_train=k) for k in (11, 22) for p in (0, 1)]
    records = folders.records(lines)
    shown, count = shown_by(find_plot("sweep"), records, "runs")
    assert (shown.dataset.n_train, count) == (22, 2)
    assert shown_by(PLOTS["sweep"], records, "runs", 1)[0].dataset.n_train == 11
    with pytest.raises(Exception, match="from 1 to 2"):
        shown_by(PLOTS["sweep"], records, "runs", 3)
    with pytest.raises(Exception, match="did you mean 'sweep'"):
        find_plot("sweeep")
    for name, said in (("margins", "kernelfit solve --loo"), ("overfit", "--labels"), ("bench", "kernelfit bench")):
        with pytest.raises(Exception, match=said):
            shown_by(PLOTS[name], records, "runs")


def test_the_likelihood_is_shown_where_it_is_known_and_there_is_room():
    """Records of before have none; beside leave-one-out or pixels there is no room in a terminal."""
    for value in (None, -1234.5):
        line = folders.solve(log_marginal_likelihood=value)
        [record] = folders.records([line]).of("solve")
        cells = {row.cells[0]: row.cells[1] for row in solve.table(record).rows}
        assert cells.get("log marginal likelihood", "") == ("" if value is None else "-1,234.5")
        for changes, room in (({"loo_error": None}, True), ({}, False), ({"pixels": "shuffled"}, False)):
            line = folders.sweep(log_marginal_likelihood=value, **changes)
            [record] = folders.records([line]).of("sweep")
            assert ("log likelihood" in sweep.table(record).columns) == (room and value is not None)


def test_a_measure_has_its_spread_over_random_labellings_and_none_is_not_defined():
    def shown(**changes):
        line = folders.measures()
        made = line["results"]["table"]
        made["measures"] = [made["measures"][0] | changes]
        made |= {"labellings": 10} if "random_sd" in changes else {}
        return measures.table(folders.records([line]).of("measures")[0])

    early, spread, missing = shown(), shown(random_sd=2.5), shown(random=None, tells_apart=False)
    assert early.rows[0].cells[1:4] == ("20", "126", "tells apart") and "labellings" not in early.caption
    assert spread.rows[0].cells[2] == "126 ± 2.5" and "three standard deviations of 10 random" in spread.caption
    assert missing.rows[0].cells[3] == "not defined"


def said(view, *lines):
    return [found.sentence for found in view.findings(folders.records(list(lines)))]


def test_findings_are_true_when_the_numbers_turn():
    line = folders.likelihood()
    assert "are likelier to" in said(likelihood, line)[0]
    line["results"]["rows"][0]["log_likelihood"] = -9000.0
    assert "are less likely to" in said(likelihood, line)[0] and "by 4.705 nats" in said(likelihood, line)[0]
    line = folders.hardness()
    line["results"]["nets"][1]["learnt_for_good"] = -0.61
    assert "correlation of 0 ± 0.86" in said(hardness, line)[0], "all nets, and not the one that agrees most"
    peaks = folders.descent(grid=[50, 100, 200])
    assert "squared error on test points peaks at 100" in said(descent, peaks)[0]
    assert said(descent, folders.descent(test_squared_error=[[0.9, 0.4, 0.2]])) == [], "the side of a peak"
    levels = ((0.0, 0, 0.0), (1.0, 0, 0.0), (1.0, 1, 0.02), (1.0, 2, 0.0))
    fits = [folders.sweep(level=level, seed=seed, train_error=error) for level, seed, error in levels]
    assert "are not fitted" in said(sweep, *fits)[0], "one seed of three"
