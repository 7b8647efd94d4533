import json

import pytest

from kernelfit.cli import main
from kernelfit.common.errors import InputError
from kernelfit.experiments.measures import run_measures
from kernelfit.experiments.solve import SolveSpec, run_solve


def test_the_table_holds_what_solves_of_both_labellings_report():
    options = {"n_train": 200, "n_test": 100, "bandwidth": 1.0}
    made, title = run_measures(SolveSpec(**options))
    values = {each.name: (each.true, each.random) for each in made.measures}
    for column, labels in enumerate(("true", "random")):
        record, _ = run_solve(SolveSpec(**options, labels=labels, loo=True))
        assert values["test error"][column] == record.test_error
        assert values["leave-one-out error"][column] == record.loo_error
        # The same system, solved beside other right-hand sides.
        assert values["norm"][column] == pytest.approx(record.norm, rel=1e-9)
    assert "digits" in title and "gaussian" in title


def test_the_command(capsys):
    options = ["--n-train", "100", "--n-test", "50", "--bandwidth", "1", "--quiet"]
    assert main(["measures", *options]) == 0
    assert "tells apart" in capsys.readouterr().out
    assert main(["measures", "--json", *options]) == 0
    assert len(json.loads(capsys.readouterr().out)["measures"]) == 15


@pytest.mark.parametrize("wrong", [{"labels": "random"}, {"augment": "flip"}])
def test_options_that_do_not_apply_are_refused(wrong):
    with pytest.raises(InputError):
        run_measures(SolveSpec(**wrong))


def test_an_engine_without_a_factor_is_refused_for_what_it_lacks():
    with pytest.raises(InputError, match="need a factor"):
        run_measures(SolveSpec(engine="dask"))
