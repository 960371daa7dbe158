"""Run the benchmarks, and generate `docs/performance.md` from their results.

`python -m benchmarks [--small] [--only LEG ...]` runs each leg in a process of its own; `python -m benchmarks report`
only generates the page.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.report import PAGE, write_page
from benchmarks.common.results import REPOSITORY, RESULTS

SMALL: dict[str, list[str]] = {
    "chain": ["--records", "10000", "--rounds", "1", "--warm-up", "10000"],
    "latency": ["--seconds", "35", "--rounds", "1", "--rates", "100"],
    "ingest": ["--pages", "2", "--rounds", "3"],
    "publish": ["--records", "5000", "--rounds", "2"],
    "transform": ["--records", "5000", "--rounds", "2"],
    "cassandra_writer": ["--rows", "5000", "--rounds", "2"],
    "merge": ["--records", "5000", "--rounds", "2"],
    "growth": ["--sizes", "20000", "--records", "5000", "--rounds", "1"],
    "check": ["--records", "10000", "--rounds", "1"],
    "startup": ["--rounds", "1"],
    "dashboard": [
        *("--users", "20000", "--colds", "1", "--visits", "2", "--reruns", "5", "--pages", "Overview"),
        *("--crowd", "3", "--waves", "1"),
    ],
}
"""Every leg, with the arguments of a run that takes about a minute."""
FULL: dict[str, list[str]] = {"chain": ["--peers"], "cassandra_writer": ["--connector"], "startup": ["--demo"]}
"""Arguments of a full run, where they differ from the leg's defaults."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the legs and generate the page. Returns the exit code: 1 if a leg failed, whose result stays as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=("run", "report"), default="run")
    parser.add_argument("--small", action="store_true", help="run every leg with sizes that take about a minute")
    parser.add_argument("--only", nargs="+", choices=list(SMALL), metavar="LEG", help=f"of {', '.join(SMALL)}")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the results are written")
    options = parser.parse_args(arguments)
    failed = []
    for leg in (options.only or SMALL) if options.action == "run" else ():
        sizes = SMALL[leg] if options.small else FULL.get(leg, [])
        print(f"{leg} {' '.join(sizes)}".strip(), flush=True)
        started = time.monotonic()
        if code := run_leg(leg, [*sizes, "--results", str(options.results)]):
            failed.append(leg)
        print(f"{leg} ended after {time.monotonic() - started:.0f} s with exit code {code}\n", flush=True)
    if options.results == RESULTS:
        write_page()
        print(f"{PAGE.relative_to(REPOSITORY)} is generated from {RESULTS.relative_to(REPOSITORY)}.")
    if failed:
        print(f"{', '.join(failed)} failed: their results are those of earlier runs.", file=sys.stderr)
    return 1 if failed else 0


def run_leg(leg: str, arguments: Sequence[str]) -> int:
    """Run a leg in a process of its own, so that no leg leaves threads or memory to the next. Returns its exit code."""
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{leg}", *arguments], cwd=REPOSITORY, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
