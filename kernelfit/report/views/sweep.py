"""Sweeps of label corruption: errors, leave-one-out and norm at every level (the paper's figure 1c, for kernels)."""

from kernelfit.records.fits import THRESHOLD
from kernelfit.report.figure import Figure, Panel, chance
from kernelfit.report.section import Finding, gallery
from kernelfit.report.table import Row, Table
from kernelfit.report.views.levels import ERROR, LEVEL, MEANS, NORM, against
from kernelfit.report.words import (
    ERRORS,
    about_of,
    averaged,
    count,
    data_of,
    kernel_of,
    known,
    mean_sd,
    number,
    percent,
    quotient,
    seconds,
    share,
    sizes_of,
    times,
    title_of,
)


def table(record):
    """Return mean and deviation over seeds, level by level."""
    results = record.results
    loo = any(row.loo_error is not None for row in results.rows)
    pixels = {row.pixels for row in results.rows} != {"true"}  # else seven columns do not fit in 80 characters
    kernels = len(set(results.kernels.values())) > 1
    likely = not (loo or pixels) and any(row.log_marginal_likelihood is not None for row in results.rows)
    columns = ("labels replaced", "training error", "test error", "norm, 0/1")
    columns += ("leave-one-out", "recovered") if loo else ("test margin",)
    columns += ("log likelihood",) * likely
    rows = []
    for setting, level, own in groups(results.rows):
        cells = [averaged((getattr(row, name) for row in own), percent) for name in ("train_error", "test_error")]
        cells.append(averaged(row.norm for row in own))
        if loo:
            cells += [averaged((getattr(row, name) for row in own), percent) for name in ("loo_error", "recovered")]
        else:
            cells.append(averaged(row.test_margins.get("mean") for row in own))
        if likely:
            cells.append(averaged(row.log_marginal_likelihood for row in own))
        own_kernel = [kernel_of(record, setting)] * kernels
        rows.append(Row((*[setting] * pixels, *own_kernel, share(level), *cells), record.command))
    how = f"{count(len(results.rows))} sets of labels in {seconds(record.seconds.get('total'))}; {results.method}"
    return Table(
        title=sizes_of(record),
        columns=(*["pixels"] * pixels, *["kernel"] * kernels, *columns),
        rows=tuple(rows),
        notes=(f"{how}; relative residual {number(results.relative_residual, 2)}",),
        warnings=tuple(record.warnings),
        about=about_of(record),
    )


def figure(record):
    """Return errors and norm against the level, means over seeds and deviations."""
    errors, norms = [], []
    for index, pixels in enumerate(dict.fromkeys(row.pixels for row in record.results.rows)):
        own = {level: rows for name, level, rows in groups(record.results.rows) if name == pixels}
        suffix, look = "" if pixels == "true" else f", {pixels} pixels", {"dashed": index > 0}
        for name, label, style in ERRORS:
            levels = {level: [getattr(row, name) for row in rows] for level, rows in own.items()}
            series = against(levels, 100, name=label + suffix, style=style if index == 0 else 3 + index, **look)
            errors += [series] if series.points and (index == 0 or name == "test_error") else []
        levels = {level: [row.norm for row in rows] for level, rows in own.items()}
        norms.append(against(levels, name=f"targets 0/1{suffix}", style=0 if index == 0 else 3 + index, **look))
    rules = chance(record.dataset.n_classes)
    about = f"{MEANS}; the paper's figure 1c shows the same for nets."
    panels = (
        Panel(title="Errors against corruption", x=LEVEL, y=ERROR, series=tuple(errors), rules=rules, caption=about),
        Panel(title="Norm against corruption", x=LEVEL, y=NORM, series=tuple(norms)),
    )
    return Figure(title=title_of(record), panels=panels, commands=(record.command,))


def section(records):
    """Return all sweeps: the figures of the last ones, and one table."""
    about = "Means over seeds. Recovered: replaced labels whose leave-one-out prediction is the true class."
    sweeps = records.latest("sweep")
    return gallery("sweeps", "Label corruption", sweeps, table, figure, what="sweeps", caption=about)


def findings(records):
    """Return what the last sweeps say of random labels beside true ones."""
    found = []
    for record in reversed(records.latest("sweep")):
        levels = {level: rows for pixels, level, rows in groups(record.results.rows) if pixels == "true"}
        if {0, 1} <= set(levels):
            train, test, norm, true_test, true_norm = (
                mean_sd(getattr(row, name) for row in levels[level])[0]
                for level, name in ((1, "train_error"), (1, "test_error"), (1, "norm"), (0, "test_error"), (0, "norm"))
            )
            fitted = "fitted" if max(row.train_error for row in levels[1]) <= THRESHOLD else "not fitted"
            more = f", {times(quotient(norm, true_norm))} the norm" if known(quotient(norm, true_norm)) else ""
            text = (
                f"Random labels are {fitted}: training error {percent(train)}, test error {percent(test)} instead of "
                f"{percent(true_test)}{more} ({data_of(record)})."
            )
            found.append(Finding(percent(train), text, record.command))
    return found


def groups(rows):
    """Return (pixels, level, rows of all seeds) for each setting of a sweep."""
    settings = dict.fromkeys((row.pixels, row.level) for row in rows)
    return [(*each, [row for row in rows if (row.pixels, row.level) == each]) for each in settings]
