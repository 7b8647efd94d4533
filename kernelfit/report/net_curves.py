"""What figures show of trained nets: curves, and what was measured against the level of corruption."""

import json

from kernelfit.report.words import labels_of

_POINTS = 240  # of a curve, at most
# Settings that say when a training ends; steps to fit do not depend on them, and random labels are trained for longer.
_LIMITS = ("epochs", "steps", "stop_when_fitted", "loss_below")


def setting_of(row):
    """Return "crop + wd", "crop", "wd" or "none": what regularises the training of a net."""
    on = {"crop": row.training["augment"], "wd": row.training["weight_decay"]}
    return " + ".join(name for name, value in on.items() if value) or "none"


def by_curve(nets):
    """Return (name, Records) for each net on each data, the one that was trained last at the end.

    Records of one name are alike in all that decides the outcome but labels, pixels and seed, and when training ends:
    only these may be drawn as one curve, compared, or averaged over seeds. The name tells net, data and size, and, of
    nets that are alike in these, the settings in which they differ.
    """
    found = {}
    for row in nets:
        key = _name(row), json.dumps(_settings(row), sort_keys=True)
        found[key] = [*found.pop(key, []), row]
    alike = {}
    for name, settings in found:
        alike.setdefault(name, []).append(json.loads(settings))
    named = []
    for (name, settings), rows in found.items():
        own, others = json.loads(settings), alike[name]
        told = [f", {key} {own[key]}" for key in own if any(each.get(key) != own[key] for each in others)]
        named.append((name + "".join(told), rows))
    return named


def _name(row):
    setting = setting_of(row)
    return f"{row.model}{'' if setting == 'none' else f', {setting}'} on {row.dataset['name']}, n = {row.n_train:,}"


def _settings(row):
    shared = {"data": row.dataset.get("asked"), "precision": row.precision}
    return shared | {name: value for name, value in row.training.items() if name not in _LIMITS}


def one_of_each(rows):
    """Return the last Record of each kind of labels and pixels."""
    return list({labels_of(row.corruption): row for row in rows}.values())


def losses(row):
    """Return (step, mean training loss) of a net, from its finer curve where it has one."""
    steps = row.step_curve or {}
    if steps.get("every") and steps.get("loss"):
        # The last stretch may be shorter.
        points = [(min(row.steps, (k + 1) * steps["every"]), loss) for k, loss in enumerate(steps["loss"])]
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
    """Return {name: {level: test errors in percent of all seeds}} of the nets that were trained at several levels."""
    return _at_levels(nets, lambda row, true: 100 * row.test_error)


def times_to_fit(nets):
    """Return {name: {level: steps to fit, as multiples of those for true labels with the same seed}} of the same.

    Seeds that were not fitted to true labels are left out: another seed's steps are no measure of theirs.
    """

    def ratio(row, true):
        steps, least = steps_to_fit(row), true.get(row.seed)
        return steps / least if steps and least else None

    return _at_levels(nets, ratio)


def _at_levels(nets, measured):
    """Return {name: {level: measured(Record, {seed: steps to fit true labels}) of all seeds}}."""
    made = {}
    for name, rows in by_curve(nets):
        rows = {(row.corruption["labels"], row.seed): row for row in rows if row.corruption["pixels"] == "true"}
        true = {seed: steps_to_fit(row) for (level, seed), row in rows.items() if level == 0}
        levels = {}
        for (level, _), row in sorted(rows.items()):
            value = measured(row, true)
            if value is not None:
                levels.setdefault(level, []).append(value)
        if len(levels) > 1:
            made[name] = levels
    return made
