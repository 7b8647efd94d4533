"""Benchmarks: cases are found by name and run at a tiny size, tables are printed with their targets."""

import os
import subprocess
import time

import pytest

from benchmarks import runner
from benchmarks.__main__ import load, main
from benchmarks.runner import Table, apart, at_least, at_most, figure, measures, ratio, rounds, save, within

CASES = load()
NEEDS = {"dask": "distributed", "links": "distributed", "mpi": "mpi4py", "nets": "torch"}


def test_without_a_name_all_are_listed_with_their_targets(capsys):
    main([])
    lines = capsys.readouterr().out.splitlines()
    assert all(any(line.startswith(name + " ") for line in lines) for name in CASES)
    assert any("target: " in line and "whole process / limit <= 0.7" in line for line in lines)


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SystemExit, match=r"'sweeep' is no benchmark.*did you mean 'sweep'"):
        main(["sweeep"])


@pytest.mark.parametrize("chosen", CASES.values(), ids=CASES)
def test_every_case_says_what_it_measures_and_has_a_tiny_size(chosen):
    assert chosen.measures and chosen.smoke, chosen.name
    assert set(chosen.smoke) <= set(chosen.options)
    assert chosen.smoke.get("data") != "mnist" and chosen.options | chosen.smoke != chosen.options


def test_tables_have_the_target_beside_the_figure():
    rows = [{"solver": "ours", "time": figure([1.0, 3.0, 2.0], "s")}, {"solver": "theirs", "time": figure(1520.0, "s")}]
    targets = {"ours: time": at_most(2), "theirs: time": at_least(5000)}
    text = Table("Times", rows, "A note.").markdown(targets)
    assert text == (
        "### Times\n\n| solver | time |\n| --- | --- |\n| ours | 2 s (1 to 3, 3 runs) (target <= 2) |\n"
        "| theirs | 1,520 s (target >= 5,000: missed) |\n\nA note.\n"
    )
    assert "missed" not in Table("Times", rows).markdown(targets, judged=False)


def test_measures_are_judged_by_name_and_absent_ones_are_left_out():
    table = measures("", {"norm |f|": figure(145.2, digits=4), "steps": None, "test error": figure(0.0123)})
    text = table.markdown({"norm |f|": within(145.1, 0.05), "test error": within(0.0122, 0.0002)})
    assert r"| norm \|f\| | 145.2 (target 145.1 +- 0.05: missed) |" in text
    assert "0.0123 (target 0.0122 +- 0.0002) |" in text and "steps" not in text


def test_ratios_are_of_the_same_round():
    calls = []
    found = rounds(2, {"a": lambda: calls.append("a") or 2.0 * len(calls), "b": lambda: calls.append("b") or 1.0})
    assert calls == ["a", "b", "a", "b"]
    assert ratio(figure(found["a"]), figure(found["b"])).values == (2.0, 6.0)


def test_a_run_takes_the_place_of_the_earlier_one_of_the_same_command(tmp_path):
    path = tmp_path / "sweep.md"
    for heading, text in (("## `a`", "first"), ("## `a --n 3`", "other"), ("## `a`", "second")):
        save(path, "# sweep\n\n", heading, f"{heading}\n\n{text}\n")
    assert path.read_text() == "# sweep\n\n## `a`\n\nsecond\n\n## `a --n 3`\n\nother\n"


def test_a_process_of_its_own_answers():
    assert apart(os.getenv, "BENCH_TEST", BENCH_TEST="x") == "x"
    assert apart(os.getpid) != os.getpid()


def test_a_patience_that_ends_kills():
    with pytest.raises(subprocess.TimeoutExpired):
        apart(time.sleep, 60, timeout=0.1)


@pytest.mark.parametrize("name", ["expressivity", "eigendecomposition"])
def test_a_cheap_case_runs_and_writes_only_where_it_is_told(name, tmp_path, capsys):
    before = sorted(runner.RESULTS.iterdir())
    main([name, "--smoke", "--results", str(tmp_path)])
    printed, written = capsys.readouterr().out, (tmp_path / f"{name}.md").read_text()
    assert f"## `python -m benchmarks {name} --smoke`" in printed and "threads" in printed
    assert written.startswith(f"# {name}: ") and printed.strip() in written
    assert "missed" not in printed and sorted(runner.RESULTS.iterdir()) == before


@pytest.mark.heavy
@pytest.mark.parametrize("name", sorted(set(CASES) - {"gpu"}))
def test_every_case_runs_at_its_tiny_size(name, capsys):
    for start, module in NEEDS.items():
        if name.startswith(start):
            pytest.importorskip(module)
    if name == "links" and os.geteuid():
        pytest.skip("links makes network namespaces, which takes root")
    main([name, "--smoke"])
    assert "| --- |" in capsys.readouterr().out
