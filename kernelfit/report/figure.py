"""Figures as data: what every renderer is given, that of the page and that of a paper alike."""

import dataclasses
from collections.abc import Iterable

from kernelfit.report.words import count, known, number, share

STYLES = 6  # of colours and marks
MARKED = 80  # a line of more points has no marks
_POINTS = 240  # of a line, at most


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """What a panel asks of an axis.

    Attributes
    ----------
    label, unit : str
    log : bool
        Only positive values have a place then.
    low, high : float or None
        Ends that must be within it, beside the data.
    ticks : tuple of (value, text)
        Instead of round numbers.
    """

    label: str
    unit: str = ""
    log: bool = False
    low: float | None = None
    high: float | None = None
    ticks: tuple[tuple[float, str], ...] = ()

    @property
    def title(self) -> str:
        """What is written along it."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def says(self, value: float) -> str:
        """Return a value as it is told in words, with its unit."""
        return dict(self.ticks).get(value) or f"{number(value)} {self.unit}".rstrip()


@dataclasses.dataclass(frozen=True)
class Point:
    """A value of y at x, give or take `spread`; `name` tells what it is, where its series does not."""

    x: float
    y: float
    spread: float = 0.0
    name: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Points that belong together; those that are no numbers, or beyond all measure, have no place and are left out.

    Attributes
    ----------
    name : str
        In the legend.
    points : tuple of Point
        In the order in which a line joins them.
    style : int
        Of colour and mark; from 0 on, and again from the first after the last, then dashed.
    line, dashed : bool
    """

    name: str
    points: tuple[Point, ...]
    style: int = 0
    line: bool = True
    dashed: bool = False

    def __post_init__(self) -> None:
        kept = tuple(point for point in self.points if known(point.x) and known(point.y) and known(point.spread))
        object.__setattr__(self, "points", kept)
        object.__setattr__(self, "dashed", self.dashed or self.style >= STYLES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steps:
    """A histogram: counts in bins of equal width from low to high, drawn as shares of their sum."""

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    style: int = 0

    @property
    def bins(self) -> list[tuple[float, float, float]]:
        """(left end, right end, share in percent) of every bin."""
        width, total = (self.high - self.low) / len(self.counts), max(1, sum(self.counts))
        return [
            (self.low + k * width, self.low + (k + 1) * width, 100 * each / total) for k, each in enumerate(self.counts)
        ]


@dataclasses.dataclass(frozen=True)
class Bar:
    """A horizontal bar beside its name."""

    name: str
    value: float
    style: int = 0


@dataclasses.dataclass(frozen=True)
class Rule:
    """A line across a panel at a value of y, as chance is one, or at one of x."""

    at: float
    name: str = ""
    vertical: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One pair of axes and what stands between them, or bars, which have names instead of the second axis.

    Attributes
    ----------
    title : str
        What is shown; of what, the title of the figure says.
    caption : str
        What to see in it.
    """

    title: str
    x: Axis
    y: Axis = Axis(label="share", unit="%", low=0.0)
    series: tuple[Series, ...] = ()
    steps: tuple[Steps, ...] = ()
    bars: tuple[Bar, ...] = ()
    rules: tuple[Rule, ...] = ()
    caption: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not (any(each.points for each in self.series) or self.steps or self.bars)

    @property
    def values(self) -> tuple[list[float], list[float]]:
        """All values of x and of y that must have a place."""
        points = [point for each in self.series for point in each.points]
        across = [point.x for point in points] + [bar.value for bar in self.bars]
        up = [end for point in points for end in (point.y - point.spread, point.y + point.spread)]
        for left, right, height in (each for steps in self.steps for each in steps.bins):
            across, up = [*across, left, right], [*up, height]
        for rule in self.rules:
            (across if rule.vertical else up).append(rule.at)
        return across, up

    @property
    def description(self) -> str:
        """What is read out to those who cannot see it: where each line starts and ends."""
        parts = [f"{bar.name}: {self.x.says(bar.value)}" for bar in self.bars]
        parts += [f"{each.name}: from {each.low:.3g} to {each.high:.3g}" for each in self.steps]
        for each in self.series:
            if each.points and each.line:
                ends = (self.y.says(point.y) for point in (each.points[0], each.points[-1]))
                parts.append(f"{each.name}: from {' to '.join(ends)}")
            elif each.points:
                parts.append(f"{each.name}: {count(len(each.points))} points")
        return f"{self.y.label if not self.bars else self.x.label} of {'; '.join(parts)}"

    def told(self, series: Series, point: Point) -> str:
        """Return what a point says when pointed at."""
        around = f" ± {number(point.spread, 2)}" if point.spread else ""
        up, across = self.y.says(point.y), self.x.says(point.x)
        return f"{point.name or series.name}: {self.y.label} {up}{around}, {self.x.label} {across}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels side by side.

    Attributes
    ----------
    title : str
        Of what: data and settings.
    panels : tuple of Panel
        Those with nothing to draw are left out.
    commands : tuple of str
        Repeat what is shown, each once.
    """

    title: str
    panels: tuple[Panel, ...]
    commands: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "panels", tuple(panel for panel in self.panels if not panel.empty))
        object.__setattr__(self, "commands", tuple(dict.fromkeys(filter(None, self.commands))))


def thinned(points: Iterable[Point]) -> tuple[Point, ...]:
    """Return some of many points, evenly, the last among them."""
    kept = list(points)
    every = -(-len(kept) // _POINTS) or 1
    return tuple(kept[::-1][::every][::-1])


def chance(n_classes: int | None) -> tuple[Rule, ...]:
    """Return the rule, in percent, of a guess that knows nothing; none where the number of classes is not known."""
    return (Rule(100 - 100 / n_classes, f"chance, {share(round(1 - 1 / n_classes, 4))}"),) if n_classes else ()
