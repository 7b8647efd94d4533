"""What every benchmark shares: cases by name, processes of their own, figures of several rounds, one table printer."""

import contextlib
import dataclasses
import importlib
import inspect
import json
import math
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = 1_000_000  # from here on numbers are written with an exponent
CASES: dict[str, "Case"] = {}


# ---- cases ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Case:
    """One benchmark.

    Attributes
    ----------
    name, measures : str
        What it is called, and in one line what it measures; `about` is all that is said of it.
    run : callable
        Yields a Table as soon as it is measured. Its parameters are the options, of the types of their defaults.
    targets : dict
        Target by the name of a row, of a column, or "row: column" of the figure that should reach it.
    smoke : dict
        Options of a size that takes seconds, whose figures mean nothing.
    """

    name: str
    measures: str
    about: str
    run: Callable
    targets: dict
    smoke: dict

    @property
    def options(self):
        """Defaults by name."""
        return {name: parameter.default for name, parameter in inspect.signature(self.run).parameters.items()}


def case(*, targets=None, smoke=None):
    """Register a function as the case of its name; the first line of its docstring says what it measures."""

    def register(run):
        about = inspect.getdoc(run)
        name = run.__name__
        CASES[name] = Case(name, about.splitlines()[0].rstrip("."), about, run, targets or {}, smoke or {})
        return run

    return register


@dataclasses.dataclass(frozen=True)
class Target:
    """What a figure should be: between `low` and `high`, both included."""

    low: float
    high: float
    text: str

    def __str__(self):
        return self.text


def at_most(high):
    return Target(-math.inf, high, f"<= {number(high)}")


def at_least(low):
    return Target(low, math.inf, f">= {number(low)}")


def within(middle, slack):
    return Target(middle - slack, middle + slack, f"{middle:g} +- {slack:g}")


# ---- figures and tables --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number, or those of several rounds: written as their median and range."""

    values: tuple
    unit: str = ""
    digits: int = 3

    @property
    def median(self):
        return statistics.median(self.values)

    def __str__(self):
        low, middle, high = (number(value, self.digits) for value in (min(self.values), self.median, max(self.values)))
        text = f"{middle} {self.unit}".strip()
        return text if low == high else f"{text} ({low} to {high}, {len(self.values)} runs)"


def figure(values, unit="", digits=3, scale=1.0):
    """Return the Figure of a number or of several, each divided by `scale`; None, where there are none, is no text."""
    values = values if isinstance(values, list | tuple) else [values]
    return "" if None in values else Figure(tuple(value / scale for value in values), unit, digits)


def of(runs, *keys, **options):
    """Return the Figure of one value of each run: of run[key] for one key, run[key][next] for two, and so on."""
    found = runs
    for key in keys:
        found = [run[key] for run in found]
    return figure(found, **options)


def ratio(runs, others):
    """Return the Figure of the ratios of two Figures, round by round."""
    return Figure(tuple(a / b for a, b in zip(runs.values, others.values, strict=True)))


def number(value, digits=3):
    """Return a number to some digits; to three and more, whole thousands rather than an exponent."""
    return f"{value:,.0f}" if digits > 2 and 1000 <= abs(value) < SHOWN else f"{value:.{digits}g}"


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of cells by column, the first of which names the row. A cell is a text or a Figure."""

    title: str
    rows: list
    note: str = ""

    def markdown(self, targets, *, judged=True):
        """Return the table with the target beside each figure that has one, and whether it is missed."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [columns, ["---"] * len(columns)]
        for row in self.rows:
            name, alone = row[columns[0]], columns[1:] == ["measured"]
            wanted = [targets.get(name if alone else f"{name}: {column}", targets.get(column)) for column in columns]
            lines.append(
                [_cell(row.get(column, ""), target, judged) for column, target in zip(columns, wanted, strict=True)]
            )
        table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        return "\n\n".join(part for part in (f"### {self.title}", table, self.note) if part) + "\n"


def measures(title, rows, note=""):
    """Return a Table of one column of figures, by what they measure; those that are None are left out."""
    return Table(title, [{"measure": name, "measured": rows[name]} for name in rows if rows[name] is not None], note)


def _cell(value, target, judged):
    if target is None or not isinstance(value, Figure):
        return str(value)
    missed = judged and not target.low <= value.median <= target.high
    return f"{value} (target {target}{': missed' if missed else ''})"


# ---- running a case ------------------------------------------------------------------------------------------------


def run(chosen, options, *, smoke=False, folder=None):
    """Run a case and print its tables, each as soon as it is there; write them to NAME.md in a folder, if given."""
    unusual = [_written(name, value) for name, value in options.items() if value != chosen.options[name]]
    heading = " ".join(["## `python -m benchmarks", chosen.name, *(["--smoke"] if smoke else unusual)]) + "`"
    if folder is not None:
        os.environ["BENCH_RESULTS"] = str(folder)  # of the processes that are started: see benchmarks.experiments
    text = ""
    for part in _parts(chosen, heading, options, smoke):
        print(part, flush=True)
        text += part + "\n"
        if folder is not None:
            save(Path(folder) / f"{chosen.name}.md", f"# {chosen.name}: {chosen.measures}\n\n", heading, text)


def _parts(chosen, heading, options, smoke):
    yield f"{heading}\n\n{machine(smoke)}\n"
    for table in chosen.run(**options):
        yield table.markdown(chosen.targets, judged=not smoke)


def word(value):
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _written(name, value):
    flag = name.replace("_", "-")
    return f"--{'' if value else 'no-'}{flag}" if isinstance(value, bool) else f"--{flag} {word(value)}"


def save(path, title, heading, text):
    """Write a section into a file of results: in the place of an earlier one of the same command, or at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sections = re.split(r"(?m)^(?=## `)", path.read_text(encoding="utf-8") if path.exists() else title)
    number = next((k for k, part in enumerate(sections) if part.startswith(heading + "\n")), len(sections))
    sections[number : number + 1] = [text]
    path.write_text("\n\n".join(part.strip() for part in sections) + "\n", encoding="utf-8")


def machine(smoke=False):
    """Return in words what is measured, on what, and at which rates matrices are multiplied right now."""
    import numpy as np

    import kernelfit
    from kernelfit import backend
    from kernelfit.solvers.planning.rates import measure_gemm

    rates = {name: measure_gemm(256 if smoke else 4096, dtype=np.dtype(name)) for name in ("float64", "float32")}
    words = [f"kernelfit {kernelfit.__version__} ({commit()})"]
    words += [f"{name} {', '.join(v) if isinstance(v, list) else v}" for name, v in backend.describe().items()]
    words += [f"cores {os.cpu_count()}", f"load {os.getloadavg()[0]:.1f}"]
    words += [f"{name} matrix product {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items()]
    return "; ".join(words) + "."


def commit():
    """Return the commit that is measured, "commit unknown" where there is none."""
    with contextlib.suppress(OSError):
        command = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    with contextlib.suppress(OSError):  # no git on this machine
        head = (ROOT / ".git" / "HEAD").read_text().removeprefix("ref: ").strip()
        branch = ROOT / ".git" / head
        return (branch.read_text() if branch.exists() else head)[:8]
    return "commit unknown"


def missing(data):
    """Return what to do about a dataset that is not on this machine, or ""; nothing is downloaded for a benchmark."""
    from kernelfit.datasets.fetch import search
    from kernelfit.datasets.fetch.registry import ENTRIES

    entry = ENTRIES.get(data)
    if entry is None or not entry.forms or search.locate(entry):
        return ""
    places = ", ".join(map(str, search.candidates(entry)))
    return (
        f"{data} is not on this machine; looked in {places}. Set KERNELFIT_DATA to a folder that holds its files, "
        f"fetch them by `kernelfit data fetch {data}`, or try --smoke, which needs none"
    )


# ---- processes of their own ----------------------------------------------------------------------------------------


def apart(function, *arguments, launcher=(), timeout=None, **environment):
    """Return what function(*arguments) returns, as JSON, in a process of its own: its peak memory is its own.

    `launcher` is put before the command; `environment` is what is different in the environment variables. After
    `timeout` seconds the process is killed, and subprocess.TimeoutExpired raised.
    """
    program = [sys.executable, "-c", "from benchmarks.runner import answer; answer()"]
    words = [f"{function.__module__}:{function.__name__}", json.dumps(arguments)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "BENCH_STARTED": str(time.time())} | environment
    command, out = [*launcher, *program, *words], subprocess.PIPE
    done = subprocess.run(command, check=True, stdout=out, text=True, env=environment, timeout=timeout)
    return json.loads(done.stdout.splitlines()[-1])


def answer():
    """Do what `apart` asks for; nothing is printed for None, which processes return that follow another's lead."""
    module, _, name = sys.argv[1].partition(":")
    found = getattr(importlib.import_module(module), name)(*json.loads(sys.argv[2]))
    if found is not None:
        print(json.dumps(found))


def since_start():
    """Return the seconds since `apart` started this process: what a person would wait."""
    return time.time() - float(os.environ["BENCH_STARTED"])


def rounds(count, ways):
    """Return lists of what each of the functions `ways` returned, by name: one call of each in turn, `count` times."""
    found = {name: [] for name in ways}
    for _ in range(count):
        for name, way in ways.items():
            found[name].append(way())
    return found


def timed(function, *arguments, **options):
    """Return (what the function returned, seconds)."""
    begin = time.perf_counter()
    return function(*arguments, **options), time.perf_counter() - begin


def phases(seconds):
    """Return seconds by phase as a line of text."""
    return ", ".join(f"{name} {value:.3g}" for name, value in seconds.items())
