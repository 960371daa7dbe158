"""A leg as a program: its options, its exit code, and what becomes of its result."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from pathlib import Path

from benchmarks.common.report import format_result
from benchmarks.common.results import RESULTS, Result, save
from insights.errors import UserError, print_error


def make_parser(description: str | None) -> ArgumentParser:
    """A parser with the option that every leg has: where the result goes."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the result is written")
    return parser


def list_arguments(parser: ArgumentParser, options: Namespace) -> list[str]:
    """The arguments that repeat a run: those options that differ from their defaults, except for the folder."""
    arguments = []
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        if action.dest in ("help", "results") or value == action.default:
            continue
        arguments.append(action.option_strings[-1])
        if action.nargs != 0:
            arguments += [str(part) for part in (value if isinstance(value, list) else [value])]
    return arguments


def conclude(result: Result, folder: Path) -> None:
    """Write the result to the folder and print its tables."""
    print(format_result(save(result, folder)))


def run(main: Callable[[], None]) -> None:
    """Run a leg's `main` as a program, with one sentence instead of a traceback for an error of the user."""
    try:
        main()
    except UserError as error:
        print_error(error)
        sys.exit(1)
