import pytest

from kernelfit.experiments.measures import MeasuresSpec, run_measures
from kernelfit.experiments.solve import SolveSpec, run_solve


def test_the_table_holds_what_solves_of_both_labellings_report():
    options = {"n_train": 200, "n_test": 100, "bandwidth": 1.0}
    made = run_measures(MeasuresSpec(**options))
    values = {each.name: (each.true, each.random) for each in made.results.table.measures}
    for column, labels in enumerate(("true", "random")):
        results = run_solve(SolveSpec(**options, labels=labels, loo=True))[0].results
        assert values["test error"][column] == results.test_error
        assert values["leave-one-out error"][column] == results.loo_error
        # The same system, solved beside other right-hand sides.
        assert values["norm"][column] == pytest.approx(results.norm, rel=1e-9)
        likelihood = results.log_marginal_likelihood
        assert values["log marginal likelihood"][column] == pytest.approx(likelihood, rel=1e-9)
    assert made.dataset.name == "digits" and len(values) == 16
