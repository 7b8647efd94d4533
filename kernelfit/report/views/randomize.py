"""The randomization test of estimators, one record for each fit: can they fit random labels?"""

from kernelfit.records.fits import RandomizationResult
from kernelfit.report.figure import Figure, Panel, chance
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.views.levels import ERROR, LEVEL, against
from kernelfit.report.words import SURVIVES, averaged, count, mean_sd, percent, seconds, share, times

_COLUMNS = ("labels replaced", "training error", "of true labels", "of wrong labels", "test error", "time of a fit")
_ERRORS = ("train_error", "train_error_clean", "train_error_corrupted", "test_error")


def table(result):
    """Return mean and deviation over seeds of a RandomizationResult, level by level."""
    first, rows = result.records[0], []
    for level, own in _by_level(result).items():
        errors = (averaged((getattr(each.results, name) for each in own), percent) for name in _ERRORS)
        time = averaged((each.results.fit_seconds for each in own), seconds)
        rows.append(Row((share(level), *errors, time), own[-1].command))
    used = first.dataset
    return Table(
        title=f"{_title(result)}{count(used.n_train)} training and {count(used.n_test)} test examples",
        columns=_COLUMNS,
        rows=tuple(rows),
        notes=tuple(_notes(result)),
        about={"estimator": first.results.estimator, "data": used.name, "n": count(used.n_train)},
    )


def figure(result):
    """Return training and test error against the level of corruption, like the paper's figure 1c."""
    series = []
    for name, label, style in SURVIVES:
        levels = {level: [getattr(each.results, name) for each in own] for level, own in _by_level(result).items()}
        series.append(against(levels, 100, name=label, style=style))
    panel = Panel(
        title="Randomization test",
        x=LEVEL,
        y=ERROR,
        series=tuple(series),
        rules=chance(result.records[0].dataset.n_classes),
        caption=result.verdict,
    )
    commands = tuple(record.command for record in result.records)
    return Figure(
        title=f"{_title(result)}n = {count(result.records[0].dataset.n_train)}", panels=(panel,), commands=commands
    )


def section(records):
    """Return all tests: the figures of the last ones, and one table."""
    about = {"what": "estimators", "caption": "Means over seeds."}
    return gallery("estimators", "The randomization test", results(records), table, figure, **about)


def findings(records):
    """Return which estimators fit random labels."""
    found = []
    for result in reversed(results(records)):
        errors = [record.results.train_error for record in result.records if record.results.level == 1]
        if errors:
            text = f"{_title(result).rstrip(', ')} {result.verdict}."
            found.append(Finding(percent(mean_sd(errors)[0]), text, result.records[0].command))
    return found


def results(records):
    """Return the RandomizationResult of every estimator on every data set."""
    found = {}
    for record in records.latest("randomize"):
        key = record.spec.get("test") or (
            record.results.estimator,
            record.dataset.name,
            str(record.dataset.sha256),
            record.dataset.n_train,
        )
        # The same fit by another version has another id: the last one counts.
        found.setdefault(key, {})[record.results.level, record.results.seed] = record
    return [RandomizationResult(tuple(own[which] for which in sorted(own))) for own in found.values()]


def _by_level(result):
    """Return {level: records of all seeds}."""
    levels = {}
    for record in result.records:
        levels.setdefault(record.results.level, []).append(record)
    return levels


def _title(result):
    first = result.records[0]
    return (
        f"{first.results.estimator} on {first.dataset.name}, " if first.dataset.name else f"{first.results.estimator}, "
    )


def _notes(result):
    yield result.verdict
    if result.time_ratio is not None:
        yield f"random labels take {times(result.time_ratio)} the time of true ones to fit"
    if result.records[0].results.test_set != "given":
        yield f"test examples: {result.records[0].results.test_set}"
    if result.resumed:
        yield f"{result.resumed} of {len(result.records)} fits were done before, and read from the records"
    if result.skipped:
        yield f"{result.skipped} lines of the records were not whole, and skipped"
