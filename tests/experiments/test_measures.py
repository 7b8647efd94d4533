import statistics

import pytest

from kernelfit.experiments.measures import MeasuresSpec, run_measures
from kernelfit.experiments.solve import SolveSpec, run_solve


def test_the_table_holds_what_solves_of_all_labellings_report():
    options = {"bandwidth": 1.0}  # of all digits: a seed draws a subset too
    made = run_measures(MeasuresSpec(**options))
    rows = {each.name: each for each in made.results.table.measures}
    told = {"test error": "test_error", "leave-one-out error": "loo_error", "norm": "norm"}
    told |= {"log marginal likelihood": "log_marginal_likelihood"}
    true = run_solve(SolveSpec(**options, loo=True))[0].results
    random = [run_solve(SolveSpec(**options, labels="random", loo=True, seed=seed))[0].results for seed in range(10)]
    for name, field in told.items():
        # The same system, solved beside other right-hand sides.
        assert rows[name].true == pytest.approx(getattr(true, field), rel=1e-9)
        drawn = [getattr(each, field) for each in random]
        assert rows[name].random == pytest.approx(statistics.mean(drawn), rel=1e-9)
        assert rows[name].random_sd == pytest.approx(statistics.stdev(drawn), rel=1e-6)
    assert made.dataset.name == "digits" and len(rows) == 16 and made.results.table.labellings == 10
