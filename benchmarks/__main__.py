"""`python -m benchmarks`: the cases and their targets; `python -m benchmarks NAME [options]` runs one."""

import argparse
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import benchmarks
from benchmarks import runner
from kernelfit.common.errors import KernelfitError, suggestion


def load(name=""):
    """Return cases by name: those of every module of this folder, or of the one that has the name of a case alone."""
    modules = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__"]
    for module in [name] if name in modules else modules:
        importlib.import_module(f"benchmarks.{module}")
    return runner.CASES if name in runner.CASES or name not in modules else load()


def listing(cases):
    """Return a line for each case, and its targets below."""
    lines = ["python -m benchmarks NAME [--smoke] [--help]", ""]
    width = max(map(len, cases))
    for name, chosen in sorted(cases.items()):
        lines.append(f"{name:{width}}  {chosen.measures}")
        targets = "; ".join(f"{what} {target}" for what, target in chosen.targets.items())
        lines += [f"{'':{width}}    target: {targets}"] if targets else []
    return "\n".join(lines)


def main(words=None):
    words = sys.argv[1:] if words is None else words
    cases = load(*words[:1])
    if not words or words[0] in ("-h", "--help"):
        print(listing(cases))
        return
    if words[0] not in cases:
        sys.exit(f"{words[0]!r} is no benchmark{suggestion(words[0], cases)}; without a name all are listed")
    chosen = cases[words[0]]
    options = vars(parser(chosen).parse_args(words[1:]))
    smoke, folder = options.pop("smoke"), options.pop("results")
    given = {name: value for name, value in options.items() if value is not None}
    options = chosen.options | (chosen.smoke if smoke else {}) | given
    if problem := runner.missing(options.get("data", "")):
        sys.exit(problem)
    try:
        runner.run(chosen, options, smoke=smoke, folder=folder or (None if smoke else runner.RESULTS))
    except KernelfitError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"a process of the benchmark ended with exit code {error.returncode}; what it said is above")


def parser(chosen):
    """Return the parser of a case's options, which are its function's parameters."""
    name = f"python -m benchmarks {chosen.name}"
    made = argparse.ArgumentParser(name, description=chosen.about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--smoke", action="store_true", help="sizes of seconds, whose figures mean nothing")
    made.add_argument("--results", type=Path, metavar="FOLDER", help="default: benchmarks/results; with --smoke none")
    for option, default in chosen.options.items():
        text = f"default: {runner.word(default)}"
        many = {"nargs": "+"} if isinstance(default, tuple) else {}
        kind = type(default[0]) if many else type(default)
        flag = f"--{option.replace('_', '-')}"
        if isinstance(default, bool):
            made.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
        else:
            made.add_argument(flag, type=kind, help=text, **many)
    return made


if __name__ == "__main__":
    main()
