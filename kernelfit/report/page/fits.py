"""The randomization test of estimators: can they fit random labels?"""

from kernelfit.common.progress import duration
from kernelfit.records.fits import FitRecord, RandomizationResult
from kernelfit.report.figures import ERRORS
from kernelfit.report.page.parts import figure, figures, last, number, paragraph, percent, repeat, section, table
from kernelfit.report.page.sweeps import LEVEL, averaged, told
from kernelfit.report.svg.chart import Rule, chart
from kernelfit.report.svg.scales import Axis


def fits_section(runs):
    """Return the section of the randomization test of estimators."""
    drawn, note = last(runs.fits, "estimators")
    header = (
        "estimator",
        "data",
        "n",
        "labels replaced",
        "fits",
        "training error",
        "of true labels",
        "of wrong labels",
    )
    header += ("test error", "time of a fit", "command")
    rows, made = [], []
    for batch in reversed(runs.fits):
        result = randomization_result(batch)
        for each in result.summary:
            rows.append(
                [
                    batch.shared["estimator"],
                    batch.shared["data"]["name"],
                    number(batch.shared["n_train"], f"{batch.shared['n_train']:,}"),
                    number(each.level, f"{100 * each.level:g} %"),
                    number(each.fits),
                    *(
                        number(None) if pair[0] != pair[0] else percent(pair[0])
                        for pair in (
                            each.train_error,
                            each.train_error_clean,
                            each.train_error_corrupted,
                            each.test_error,
                        )
                    ),
                    number(
                        each.fit_seconds[0],
                        duration(each.fit_seconds[0]) if each.fit_seconds[0] >= 60 else f"{each.fit_seconds[0]:.2f} s",
                    ),
                    repeat(batch.shared["command"]),
                ]
            )
    for batch in drawn:
        made.append(_fits_figure(batch))
    return section(
        "estimators",
        "The randomization test of other estimators",
        figures(made),
        paragraph(note),
        table(header, rows, caption="Means over seeds.") if rows else None,
    )


def randomization_result(batch):
    """Return the RandomizationResult of a Batch of fits."""
    names = FitRecord.__dataclass_fields__
    records = [
        FitRecord(
            **{"version": "", "labels_changed": 0} | {key: value for key, value in vars(row).items() if key in names}
        )
        for row in batch.rows
    ]
    return RandomizationResult(tuple(sorted(records, key=lambda record: (record.level, record.seed))))


def _fits_figure(batch):
    result = randomization_result(batch)
    shared = batch.shared
    data = f" on {shared['data']['name']}" if shared["data"]["name"] else ""
    title = f"{shared['estimator']}{data}, n = {shared['n_train']:,}"
    own = {}
    for record in result.records:
        own.setdefault(record.level, []).append(record)
    series = [
        averaged(list(own.items()), name, label, style, scale=100, unit=" %") for name, label, style in ERRORS[:2]
    ]
    chance = 100 * result.chance
    drawing = chart(
        title=f"Randomization test: {title}",
        description=told(series, "%"),
        x=LEVEL,
        y=Axis(label="error (%)", low=0.0, high=100.0),
        series=series,
        rules=[Rule(name=f"chance, {chance:.3g} %", y=chance)],
    )
    return figure(f"Randomization test: {title}", drawing, caption=result.verdict, commands=[shared["command"]])
