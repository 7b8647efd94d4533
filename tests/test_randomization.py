import dataclasses
import functools

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from kernelfit import randomization
from kernelfit.common.errors import InputError
from kernelfit.common.progress import Progress
from kernelfit.corruption import corrupt_labels
from kernelfit.datasets import load
from kernelfit.estimators import KernelInterpolationClassifier
from kernelfit.experiments.registry import read_records
from kernelfit.randomization import randomization_test
from kernelfit.records.fits import FitResults, RandomizationResult
from kernelfit.records.record import DatasetUsed, Record
from kernelfit.report.views import randomize as view


@functools.cache
def digits(n_train=None):
    data = load("digits", n_train=n_train)
    X, X_test = (part.reshape(len(part), -1) / 255 for part in (data.X_train, data.X_test))
    return {"X": X, "y": data.y_train, "X_test": X_test, "y_test": data.y_test}


class Spy(BaseEstimator):
    """Remembers what it is fitted to; predicts by a function of X."""

    fits = []  # noqa: RUF012 - of the class, since every fit is one of a clone

    def __init__(self, predicts=None, random_state=None):
        self.predicts = predicts
        self.random_state = random_state

    def fit(self, X, y):
        self.fits.append((np.array(X), np.array(y), self.random_state))
        self.seen_ = y
        return self

    def predict(self, X):
        return self.predicts(X)


class Plain:
    """fit and predict, and nothing else: no parameters, no base class."""

    def fit(self, X, y):
        self.first = y[0]

    def predict(self, X):
        return np.full(len(X), self.first)


class OfLists(Plain):
    """The same of lists alone."""

    def fit(self, X, y):
        assert type(X) is list and {type(each) for each in X} <= {str, list}
        super().fit(X, y)


def first_column(X):
    return X[:, 0].astype(int)


def always_no(X):
    return np.full(len(X), "no")


def fails_at_the_third_fit(X):
    if len(Spy.fits) == 3:
        raise RuntimeError("the third fit fails")
    return np.zeros(len(X), int)


@pytest.fixture
def spied():
    Spy.fits.clear()
    return Spy.fits


def without_time(result):
    return [(record.id, dataclasses.replace(record.results, fit_seconds=0.0)) for record in result.records]


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


@pytest.mark.parametrize(
    "estimator",
    [DecisionTreeClassifier(), KNeighborsClassifier(1), KernelInterpolationClassifier(bandwidth=1.0)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_what_can_memorise_fits_random_labels(estimator):
    result = randomization_test(estimator, **digits(500), levels=(0, 1))
    assert result.fits_random_labels is True
    assert [each.train_error for each in result.summary] == [(0, 0), (0, 0)]
    assert result.verdict.startswith("fits random labels: training error 0 % over 3 seeds")
    true, random = result.summary
    # Labels that know nothing of the images: 90 % errors on 360 test digits; five standard deviations of 3 means.
    assert abs(random.test_error[0] - 0.9) < 5 * np.sqrt(0.09 / (3 * 360)) and true.test_error[0] < 0.35


@pytest.mark.parametrize(
    "estimator", [RidgeClassifier(), LogisticRegression(max_iter=1000)], ids=lambda estimator: type(estimator).__name__
)
def test_a_linear_model_with_n_far_above_d_does_not(estimator):
    """1,437 random labels and 640 numbers to fit them with: it gets some, far from all."""
    result = randomization_test(estimator, **digits(), levels=(0, 1))
    assert result.fits_random_labels is False and result.chance == pytest.approx(0.9)
    true, random = result.summary
    assert true.train_error[0] < 0.06 and 0.6 < random.train_error[0] < 0.9
    assert result.verdict.startswith("does not fit random labels: training error 7") and "90 %" in result.verdict


def test_labels_are_those_of_the_corruption_module_and_test_labels_stay(spied):
    data = digits(100)
    test = np.column_stack([data["y_test"], data["X_test"]])  # the true label, for first_column to give back
    train = np.column_stack([data["y"], data["X"]])
    result = randomization_test(
        Spy(first_column), train, data["y"], X_test=test, y_test=data["y_test"], levels=[0.4, 0, 1.0], seeds=[3, 1]
    )
    assert [(record.results.level, record.results.seed) for record in result.records] == [
        (level, seed) for level in (0, 0.4, 1) for seed in (1, 3)
    ]
    assert len(spied) == 6
    by_labels = {labels.tobytes(): state for _, labels, state in spied}
    for record in result.records:
        labels, _ = corrupt_labels(data["y"], 10, record.results.level, record.results.seed)
        changed = (labels != data["y"]).sum()
        assert by_labels[labels.tobytes()] == record.results.seed or record.results.level == 0
        assert record.results.labels_changed == changed and record.results.test_error == 0
        # It predicts the truth: right on every label that is true still, wrong on every other.
        assert record.results.train_error == changed / 100
        assert record.results.train_error_clean == 0 and record.results.train_error_corrupted == (
            1 if changed else None
        )


def test_errors_of_both_kinds_of_labels_make_the_whole():
    result = randomization_test(RandomForestClassifier(3), **digits(300), levels=(0.5,), seeds=range(4))
    for record in result.records:
        share = record.results.labels_changed / record.dataset.n_train
        parts = share * record.results.train_error_corrupted + (1 - share) * record.results.train_error_clean
        assert parts == pytest.approx(record.results.train_error) and 0 < record.results.train_error < 0.5


def test_same_seed_same_result_for_any_number_of_jobs(tmp_path):
    run = functools.partial(randomization_test, **digits(200), levels=(0, 0.3), seeds=(0, 5))
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(5))  # its random_state is None
    one, two = run(forest), run(forest, n_jobs=2, records=tmp_path / "fits.jsonl")
    assert without_time(one) == without_time(two) == without_time(run(forest))
    assert one.records[0].results.test_error != one.records[1].results.test_error, "another seed, another forest"
    resumed = run(forest, records=tmp_path / "fits.jsonl")
    assert resumed.resumed == 4 and resumed.records == two.records


def test_resuming_refits_nothing(tmp_path, monkeypatch):
    path, run = tmp_path / "runs" / "fits.jsonl", functools.partial(randomization_test, **digits(100))
    first = run(DecisionTreeClassifier(), records=path, levels=(0, 1))
    assert first.resumed == 0 and len(path.read_text().splitlines()) == 6
    more = run(DecisionTreeClassifier(), records=path, levels=(0, 0.5, 1))
    assert more.resumed == 6 and len(path.read_text().splitlines()) == 9
    monkeypatch.setattr(randomization, "_fit", lambda *_: pytest.fail("fitted again"))
    again = run(DecisionTreeClassifier(), records=path, levels=(0, 0.5, 1))
    assert (again.resumed, again.skipped) == (9, 0) and again.records == more.records


def test_other_parameters_or_data_are_other_fits(tmp_path):
    path, data = tmp_path / "fits.jsonl", digits(100)
    run = functools.partial(randomization_test, records=path, levels=(1,), seeds=(0,))
    base = run(DecisionTreeClassifier(), **data)
    other_X, other_y = data["X"].copy(), data["y_test"].copy()
    other_X[3, 20] += 0.5
    other_y[0] = (other_y[0] + 1) % 10
    for result in (
        run(DecisionTreeClassifier(max_depth=3), **data),
        run(make_pipeline(DecisionTreeClassifier()), **data),
        run(make_pipeline(DecisionTreeClassifier(max_depth=3)), **data),
        run(DecisionTreeClassifier(), **data | {"X": other_X}),
        run(DecisionTreeClassifier(), **data | {"y_test": other_y}),
        run(DecisionTreeClassifier(), **data, seeds=(1,)),
        run(DecisionTreeClassifier(), **data, levels=(0.99,)),
    ):
        assert result.resumed == 0
    assert run(DecisionTreeClassifier(), **data).resumed == 1
    fitted = DecisionTreeClassifier().fit(data["X"], data["y"])
    assert run(fitted, **data).records == base.records, "what it was fitted to before does not matter"
    assert run(DecisionTreeClassifier(), **data, name="digits").resumed == 1, "a name is no part of it"


def test_a_torn_line_is_reported_and_that_fit_repeated(tmp_path):
    path, notes = tmp_path / "fits.jsonl", Notes()
    run = functools.partial(randomization_test, DecisionTreeClassifier(), **digits(100), records=path, levels=(1,))
    first = run()
    path.write_bytes(b'{"schema": "kernelfit.record/1"}\n' + path.read_bytes()[:-30])
    second = run(progress=notes)
    assert (second.resumed, second.skipped) == (2, 1), "what is no fit is none of its business"
    assert without_time(second) == without_time(first)
    assert len(notes.notes) == 1 and ", line 4, is skipped" in notes.notes[0]
    third = run()
    assert (third.resumed, third.skipped) == (3, 1), "the torn line stays, the new record has a line of its own"


def test_what_was_finished_before_a_failure_is_kept(tmp_path, spied):
    path, run = tmp_path / "fits.jsonl", functools.partial(randomization_test, **digits(100), levels=(0,))
    with pytest.raises(RuntimeError, match="third") as caught:
        run(Spy(fails_at_the_third_fit), records=path)
    assert "level 0 and seed 2" in caught.value.__notes__[0]
    assert [record.results.seed for record in read_records(path.parent)] == [0, 1]


def test_without_a_test_set_a_fifth_is_held_out_per_class(spied):
    rng = np.random.default_rng(0)
    y = np.repeat(["no", "yes"], [160, 40])
    X = np.column_stack([np.arange(200), rng.standard_normal(200)])
    result = randomization_test(Spy(always_no), X, y, levels=(0, 1), seeds=(0, 1))
    first = result.records[0]
    assert (first.dataset.n_train, first.dataset.n_test) == (
        160,
        40,
    ) and "a fifth of the examples, 40" in first.results.test_set
    assert first.results.test_error == 8 / 40 and first.results.train_error == 32 / 160, "per class"
    assert len({fit[0].tobytes() for fit in spied}) == 1, "the same split for every level and seed"
    again = randomization_test(Spy(always_no), X, y, levels=(0, 1), seeds=(0, 1))
    assert [record.id for record in again.records] == [record.id for record in result.records]
    assert set(np.concatenate([fit[1] for fit in spied])) == {"no", "yes"}, "labels as the user has them"


def test_lists_are_passed_on_as_they_are():
    for X in (["a", "bb"] * 10, [["a"], ["b", "c"]] * 10):  # the latter is no array at all
        result = randomization_test(OfLists(), X, [0, 1] * 10, levels=(0,), seeds=(0,))
        assert result.records[0].dataset.n_train == 16


def test_anything_with_fit_and_predict_will_do():
    data = {"X": [[0.0], [1.0], [2.0], [3.0]], "y": [5, 7, 5, 7], "X_test": [[4.0]], "y_test": [5]}
    result = randomization_test(Plain(), **data, levels=(0,), seeds=(0,))
    assert result.records[0].results.train_error == 0.5 and result.records[0].results.test_error == 0
    assert result.fits_random_labels is None and result.time_ratio is None and "no verdict" in result.verdict
    with pytest.raises(InputError, match=r"X_test has 1 examples, and y_test the shape \(2,\)"):
        randomization_test(Plain(), **data | {"y_test": [5, 7]}, levels=(0,), seeds=(0,))


def made(level, seed, train=0.0, test=0.5, seconds=1.0):
    errors = {"train_error": train, "train_error_clean": 0.0, "train_error_corrupted": None, "test_error": test}
    results = FitResults(
        estimator="Made()", test_set="", level=level, seed=seed, labels_changed=3, fit_seconds=seconds, **errors
    )
    used = DatasetUsed(asked="", name="", n_train=10, n_test=5, n_classes=4)
    about = {"created": "", "version": "", "command": "", "spec": {}, "environment": {}, "seconds": {}}
    return Record(kind="randomize", id=f"{level} {seed}", dataset=used, results=results, **about)


def test_summary_verdict_and_time():
    tests = [0.1, 0.3, 0.4]
    records = [made(0.0, i, test=tests[i], seconds=[9.0, 1.0, 2.0][i]) for i in range(3)]
    records += [made(1.0, i, train=[0.0, 0.01, 0.0][i], seconds=[20.0, 3.0, 5.0][i]) for i in range(3)]
    result = RandomizationResult(tuple(records))
    true, random = result.summary
    np.testing.assert_allclose(true.test_error, (np.mean(tests), np.std(tests, ddof=1)))
    assert (true.level, true.fits, random.level) == (0, 3, 1) and np.isnan(true.train_error_corrupted).all()
    assert result.fits_random_labels is True and result.chance == 0.75
    assert result.time_ratio == 5 / 2, "of medians: the first fits of both paid for something else"
    assert "0 to 1 % over 3 seeds" in result.verdict
    worse = RandomizationResult((*records[:-1], made(1.0, 2, train=0.011)))
    assert worse.fits_random_labels is False, "one seed that does not fit is enough"
    assert np.isnan(RandomizationResult((made(1.0, 0),)).summary[0].test_error[1]), "one seed has no deviation"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": ()}, "levels"),
        ({"levels": (0, 1.5)}, "probability"),
        ({"seeds": 3}, "seeds"),
        ({"seeds": (0, -1)}, "seed"),
        ({"seeds": (0, None)}, "seed"),
        ({"y_test": None}, "together"),
        ({"y": np.zeros(100, int)}, "two classes"),
        ({"y": np.linspace(0, 1, 100)}, "one class for each"),
        ({"y_test": np.full(360, 11)}, r"hold \[11\]"),
        ({"y": np.arange(100), "X_test": None, "y_test": None}, "held out"),
        ({"estimator": "DecisionTreeClassifier"}, "fit and predict"),
        ({"estimator": DecisionTreeClassifier}, "must be an object"),
        ({"estimator": Spy(lambda X: X[:, 0])}, "pickled"),
        ({"estimator": Spy(np.asarray)}, "regressor"),
        ({"estimator": Spy(first_column), "y": np.arange(100) % 2 + 5, "y_test": np.full(360, 5)}, "regressor"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        randomization_test(**{"estimator": DecisionTreeClassifier(), **digits(100), "seeds": (0,), **changes})


class Nearest:
    """No base class and no text of its own: it prints where it lies in memory."""

    def __init__(self, k=1):
        self.k = k

    def fit(self, X, y):
        self.X, self.y = X, y
        return self

    def predict(self, X):
        if self.k > 50:
            return np.full(len(X), self.y[0])
        return self.y[((X[:, None] - self.X[None]) ** 2).sum(2).argmin(1)]


class Same(Nearest):
    def __repr__(self):
        return "same"


def test_a_test_is_of_one_estimator_whatever_it_prints(tmp_path):
    """Its records know it by its parameters: neither mixed with another nor split when it is made again."""
    file, given = tmp_path / "records.jsonl", digits(100)
    for estimator, levels in ((Same(1), (0, 1)), (Same(99), (1,)), (Nearest(), (0,)), (Nearest(), (0, 1))):
        randomization_test(estimator, **given, levels=levels, seeds=(0,), records=file)
    found = view.results(read_records(tmp_path))
    told = sorted(
        (result.records[0].results.estimator, [each.results.level for each in result.records]) for result in found
    )
    assert told == [("same", [0, 1]), ("same", [1]), (f"{__name__}.Nearest", [0, 1])]
