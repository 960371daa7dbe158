"""Measure how long the platform's parts take to start: on an empty directory, again, and all of them as the demo.

`python -m benchmarks.startup [--rounds N] [--demo]` starts every server and service alone, one after another; with
`--demo` also `insights demo --once`, which starts everything with Airflow and follows the first batch.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.processes import read_cpu_seconds, read_memory_by_component
from benchmarks.common.results import REPOSITORY, Case, Result
from benchmarks.common.rounds import Turn, Turns, measure
from benchmarks.common.servers import DISPLAY, PATIENCE_SECONDS, configure, create_schemas, find_free_ports
from insights.environment import read_inherited_environment
from insights.local.configuration import Configuration
from insights.local.process import Component
from insights.settings import LocalSettings

DEMO = "insights demo --once"
ABOUT = """\
Seconds from the start of a process until it answers a real request, with the CPU time and the memory until then.
*First* is on an empty directory, which includes creating the database; *again* is after a stop. The stores, the
schemas and the topics are there when a service is started. The demo includes Airflow and ends when the ledger of its
first batch closes."""
VALIDITY = "every part was required to be ready, and the ledger of the demo to close"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the demo fails.
        UserError: Java or a jar is missing, or a part does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--demo", action="store_true", help=f"measure `{DEMO}` too")
    options = parser.parse_args(arguments)
    turns: Turns = {}
    for number in range(options.rounds):
        with configure() as c:
            for name, turn in start_parts(c).items():
                turns.setdefault(name, []).append(turn)
        if options.demo:
            turns.setdefault(f"`{DEMO}`", []).append(run_demo())
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    case = Case("", turns, "Part")
    title = "Start-up"
    conclude(
        Result("startup", title, ABOUT, "starts", VALIDITY, [case], list_arguments(parser, options)), options.results
    )


def start_parts(c: Configuration) -> dict[str, Turn]:
    """Start every part twice. Returns the turn of each start by the part's name and the start."""
    turns = {}
    with ExitStack() as stack:
        for start in ("first", "again"):
            parts = (c.postgres, c.kafka, c.cassandra, c.publisher, c.stream, c.dashboard)
            for part in parts:
                stack.callback(part.stop)
                turns[f"{DISPLAY.get(part.name, part.name)}, {start}"] = start_part(part)
                if part is c.cassandra:
                    create_schemas(c)
            for part in reversed(parts):
                part.stop()
    return turns


def start_part(part: Component) -> Turn:
    """Start a part and wait until it is ready.

    Raises:
        UserError: it does not start.
    """

    def start() -> None:
        part.start()
        part.wait_ready(PATIENCE_SECONDS)

    before = sum(os.times()[2:4])
    seconds = measure(start, {}).seconds
    # Programs that create a database or format a directory have ended and were waited for.
    cpu = read_cpu_seconds(part.pid) + sum(os.times()[2:4]) - before
    memory = sum(read_memory_by_component({"": part.pid}).values()) / 2**20
    return Turn(seconds, {}, figures={"Seconds": seconds, "CPU seconds": cpu, "Memory (MiB)": memory})


def run_demo() -> Turn:
    """Run the demo in a new directory, to the end of its first batch.

    Raises:
        RuntimeError: it fails.
    """
    names = [f"INSIGHTS_{name.upper()}" for name in LocalSettings.model_fields if name.endswith("_port")]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        ports = {name: str(port) for name, port in zip(names, find_free_ports(len(names)), strict=True)}
        environment = read_inherited_environment() | ports | {"INSIGHTS_HOME": home}
        command = [str(Path(sys.executable).with_name("insights")), "demo", "--once"]

        def demo() -> None:
            program = subprocess.run(
                command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
            )
            if program.returncode:
                output = (program.stdout + program.stderr).splitlines()
                raise RuntimeError(f"the demo failed: {' | '.join(output[-3:])}")

        seconds = measure(demo, {}).seconds
    return Turn(seconds, {}, figures={"Seconds": seconds})


if __name__ == "__main__":
    run(main)
