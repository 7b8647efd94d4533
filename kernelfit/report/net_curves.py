"""What figures show of trained nets: curves, and what was measured against the level of corruption."""

from kernelfit.report.words import is_true, labels_of

_POINTS = 240  # of a curve, at most


def setting_of(row):
    """Return "crop + wd", "crop", "wd" or "none": what regularises the training of a net."""
    on = {"crop": row.training["augment"], "wd": row.training["weight_decay"]}
    return " + ".join(name for name, value in on.items() if value) or "none"


def with_setting(row):
    """Return the net of a Record, and what regularises its training."""
    setting = setting_of(row)
    return row.model if setting == "none" else f"{row.model}, {setting}"


def by_model(nets):
    """Return (net with its setting, its Records) for each, the one that was trained last at the end."""
    found = {}
    for row in nets:
        found[with_setting(row)] = [*found.pop(with_setting(row), []), row]
    return list(found.items())


def one_of_each(rows):
    """Return the last Record of each kind of labels and pixels."""
    return list({labels_of(row.corruption): row for row in rows}.values())


def losses(row):
    """Return (step, mean training loss) of a net, from its finer curve where it has one."""
    steps = row.step_curve or {}
    if steps.get("every") and steps.get("loss"):
        points = [((k + 1) * steps["every"], loss) for k, loss in enumerate(steps["loss"])]
    else:
        points = list(zip(row.curve.get("steps") or [], row.curve.get("loss") or [], strict=False))
    return thinned([(step, loss) for step, loss in points if step is not None and loss is not None])


def thinned(points):
    """Return at most about _POINTS of many, evenly, the last among them."""
    every = -(-len(points) // _POINTS) if points else 1
    return points[::-1][::every][::-1]


def steps_to_fit(row):
    """Return the steps at which the training accuracy reached the target, or None."""
    return (row.time_to_fit or {}).get("steps")


def errors_at_levels(nets):
    """Return {net: {level: test errors in percent of all seeds}} of the nets that were trained at several levels."""
    return _at_levels(nets, lambda row: 100 * row.test_error)


def times_to_fit(nets):
    """Return {net: {level: steps to fit, as multiples of those for true labels}} of the same."""
    true = [row for row in nets if is_true(row) and steps_to_fit(row)]
    base = {with_setting(row): steps_to_fit(row) for row in true}

    def ratio(row):
        steps, least = steps_to_fit(row), base.get(with_setting(row))
        return steps / least if steps and least else None

    return _at_levels(nets, ratio)


def _at_levels(nets, measured):
    found = {}
    for row in nets:
        value = measured(row) if row.corruption["pixels"] == "true" else None
        if value is not None:
            found.setdefault(with_setting(row), {}).setdefault(row.corruption["labels"], []).append(value)
    return {name: dict(sorted(levels.items())) for name, levels in found.items() if len(levels) > 1}
