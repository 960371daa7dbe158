"""How soon the dashboard's pages are there, with millions of users in the stores.

`python -m benchmarks.dashboard [--users N] [--data FOLDER] [--crowd N] [--json FILE]` starts the three servers, writes
made-up users into them (kept in FOLDER for the next time), and visits every page over Streamlit's own protocol, as a
browser does but for drawing. Each time is from the request until the last message of the run.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil

from benchmarks.visits.stores import filled, started
from benchmarks.visits.visitor import Run, visiting
from insights.errors import UserError, print_error
from insights.local.services import REPOSITORY, DashboardService
from insights.settings import LocalSettings, load, to_environment
from tests.helpers.support import free_port

PAGES = {
    path.stem.capitalize(): path.stem.capitalize() for path in sorted((REPOSITORY / "dashboard/views").glob("*.py"))
}
PAGES["Overview"] = ""
"""The path of each page's address; the first page has none."""
KEPT_SECONDS = {"kept": 3600.0, "read": 0.0}
"""For how long the dashboard keeps answers: until the end, so that it reads nothing; or it reads at each run."""
GOALS = {"cold": 3.0, "first": 1.0, "again": 0.2, "requests": 60}
"""Seconds of the slowest cold start, of the slowest first render, of a rerun's 95th percentile; requests a render."""
Pages = Mapping[str, str]
"""The path of each page by its name."""
Found = tuple[str, dict[str, Any]]
"""Of a page, by its name."""
WAVES = 3
WAVE_SECONDS = 30.0


class Counted(DashboardService):
    """A dashboard that notes its requests to Cassandra."""

    def __init__(self, home: Path, port: int, environment: dict[str, str]) -> None:
        super().__init__(home, port, environment)
        self.notes = home / "requests"

    def command(self) -> list[str]:
        python, _, _, *arguments = super().command()
        return [python, "-m", "benchmarks.visits.counted", str(self.notes), *arguments]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; `arguments` are the process's own by default.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
        RuntimeError: a page shows an error.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, default=load(LocalSettings).cache.expanduser() / "benchmark")
    parser.add_argument("--colds", type=int, default=3, help="cold starts a page")
    parser.add_argument("--visits", type=int, default=20, help="first renders a page")
    parser.add_argument("--reruns", type=int, default=60, help="reruns a page")
    parser.add_argument("--crowd", type=int, default=50, help="visitors at once")
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES))
    parser.add_argument("--json", type=Path, help="write the result here as well")
    options = parser.parse_args(arguments)
    with filled(options.data, options.users) as (stores, users):
        environment = to_environment(stores.postgres, stores.kafka, stores.cassandra)
        pages = {name: PAGES[name] for name in options.pages}
        result: dict[str, Any] = {"users": users, "pages": {name: {} for name in pages}}
        for part in (
            cold_starts(pages, environment, options.colds),
            visits(pages, environment, "kept", options.visits, options.reruns),
            visits(pages, environment, "read", options.visits, options.reruns),
            requests(pages, environment),
        ):
            for name, found in part:
                print(f"visited {name}: {', '.join(found)}", file=sys.stderr, flush=True)
                result["pages"][name] |= found
        result["crowd"] = crowded(list(pages.values()), environment, options.crowd)
    print(text(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def cold_starts(pages: Pages, environment: dict[str, str], times: int) -> Iterator[Found]:
    """Seconds until a page was there that was the first of its dashboard's process, which listened already."""
    for name, page in pages.items():
        seconds = []
        for _ in range(times):
            with dashboard(environment) as served:
                seconds += [run.seconds for run in asyncio.run(firsts(served.port, page, 1))]
        yield name, {"cold": seconds}


def visits(pages: Pages, environment: dict[str, str], answers: str, times: int, reruns: int) -> Iterator[Found]:
    """Seconds of first renders, reruns and live updates, the processor's among them, while no one else visits."""
    with dashboard(environment, KEPT_SECONDS[answers]) as served:
        process = psutil.Process(served.pid)
        for name, page in pages.items():
            asyncio.run(firsts(served.port, page, 2))
            first = asyncio.run(firsts(served.port, page, times))
            used = cpu_seconds(process)
            again, live = asyncio.run(agains(served.port, page, reruns))
            used = (cpu_seconds(process) - used) / (1 + len(again) + len(live))
            found = {"first": [run.seconds for run in first], "again": again, "live": live, "cpu": used}
            yield name, {f"{kind} {answers}": value for kind, value in found.items()} | first[-1]._asdict()


def requests(pages: Pages, environment: dict[str, str]) -> Iterator[Found]:
    """Requests to Cassandra, and rows of its answers, of a page's first render and of the next visitor's."""
    with dashboard(environment, 0.0, Counted) as served:
        for name, page in pages.items():
            asked = []
            for _ in range(2):
                served.notes.unlink(missing_ok=True)
                asyncio.run(firsts(served.port, page, 1))
                asked.append(served.notes.read_text().splitlines() if served.notes.exists() else [])
            rows = sum(int(note.split()[1]) for note in asked[1])
            yield name, {"requests": len(asked[1]), "requests at first": len(asked[0]), "rows": rows}


async def firsts(port: int, page: str, visits: int) -> list[Run]:
    """One visitor after the other opens the page."""
    runs = []
    for _ in range(visits):
        async with visiting(port, page) as visitor:
            runs.append(await visitor.first())
    return runs


async def agains(port: int, page: str, reruns: int) -> tuple[list[float], list[float]]:
    """Seconds of the reruns of the whole page, and of its parts that look again by themselves, in turns."""
    async with visiting(port, page) as visitor:
        await visitor.first()
        whole = [(await visitor.again()).seconds for _ in range(reruns)]
        parts = list(visitor.fragments)
        live = [(await visitor.again(part)).seconds for part in islice(cycle(parts), reruns if parts else 0)]
        return whole, live


def crowded(pages: Sequence[str], environment: dict[str, str], visitors: int) -> dict[str, Any]:
    """Waves of visitors who come at once, spread over the pages, stay, and leave; a wave later others come.

    The dashboard is as it comes, but for its ports: it keeps answers as long as by default.
    """
    waves = []
    with dashboard(environment) as served:
        asyncio.run(all_pages(served.port, pages))
        process = psutil.Process(served.pid)
        before = process.memory_info().rss
        for number in range(WAVES):
            print(f"wave {number + 1} of {visitors} visitors", file=sys.stderr, flush=True)
            used, began = cpu_seconds(process), time.monotonic()
            first, live, asked = asyncio.run(wave(served.port, list(islice(cycle(pages), visitors))))
            cores = (cpu_seconds(process) - used) / (time.monotonic() - began)
            rss = process.memory_info().rss
            waves.append({"first": first, "live": live, "asked": asked, "cores": cores, "rss": rss})
    return {"visitors": visitors, "rss before": before, "waves": waves}


async def all_pages(port: int, pages: Sequence[str]) -> None:
    for page in pages:
        await firsts(port, page, 2)


async def wave(port: int, pages: Sequence[str]) -> tuple[list[float], list[float], float]:
    """Seconds of the first renders and of the live updates of all, and how many updates a second were due."""
    visits = await asyncio.gather(*(stay(port, page) for page in pages))
    firsts, lives, due = zip(*visits, strict=True)
    return list(firsts), [seconds for live in lives for seconds in live], sum(due)


async def stay(port: int, page: str) -> tuple[float, list[float], float]:
    """Open a page and leave it open for `WAVE_SECONDS`, with its parts looking again as they do in a browser."""
    async with visiting(port, page) as visitor:
        first, live = (await visitor.first()).seconds, []
        until = time.perf_counter() + WAVE_SECONDS
        due = {part: time.perf_counter() + every for part, every in visitor.fragments.items()}
        while due and (next_part := min(due, key=lambda part: due[part])) and due[next_part] < until:
            await asyncio.sleep(max(0.0, due[next_part] - time.perf_counter()))
            live.append((await visitor.again(next_part)).seconds)
            due[next_part] = max(due[next_part] + visitor.fragments[next_part], time.perf_counter())
        await asyncio.sleep(max(0.0, until - time.perf_counter()))
        return first, live, sum(1 / every for every in visitor.fragments.values())


@contextmanager
def dashboard(
    environment: dict[str, str], kept_seconds: float | None = None, kind: type[DashboardService] = DashboardService
) -> Iterator[Any]:
    """A dashboard of its own process that nobody has visited, for the length of a `with`."""
    kept = {} if kept_seconds is None else {"INSIGHTS_DASHBOARD_CACHE_SECONDS": str(kept_seconds)}
    with tempfile.TemporaryDirectory() as home:
        served = kind(Path(home), free_port(), environment | kept | {"PYTHONPATH": str(REPOSITORY)})
        with started(served):
            yield served


def cpu_seconds(process: psutil.Process) -> float:
    """What the process has used of the processors."""
    times = process.cpu_times()
    return float(times.user + times.system)


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "Cold start": lambda page: spread(page["cold"]),
    "First render": lambda page: spread(page["first kept"]),
    "First render, all read": lambda page: spread(page["first read"]),
    "Rerun": lambda page: percentiles(page["again kept"]),
    "Rerun, all read": lambda page: percentiles(page["again read"]),
    "Live update, all read": lambda page: percentiles(page["live read"]),
    "CPU of a run": lambda page: f"{1000 * page['cpu kept']:,.0f}, {1000 * page['cpu read']:,.0f}",
    "CQL requests": lambda page: f"{page['requests']}",
    "Rows": lambda page: f"{page['rows']:,}",
    "kB": lambda page: f"{page['received'] / 1000:,.0f}",
}


def text(result: dict[str, Any]) -> str:
    """Markdown: a table of the pages, one of the crowd, and which goals were missed."""
    lines = [f"{result['users']:,} users; milliseconds, min / median / max, of reruns p50 / p95 / max", ""]
    lines += [f"| Page | {' | '.join(COLUMNS)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for name, page in result["pages"].items():
        lines.append(f"| {name} | {' | '.join(cell(page) for cell in COLUMNS.values())} |")
    crowd = result["crowd"]
    lines += ["", f"{crowd['visitors']} visitors at once, who stay {WAVE_SECONDS:.0f} s;"]
    lines[-1] += f" {crowd['rss before'] / 2**20:,.0f} MiB before"
    lines += ["", "| Wave | First render | Live update | Updates a second: due, done | Cores | MiB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for number, wave in enumerate(crowd["waves"], 1):
        done = f"{wave['asked']:.1f}, {len(wave['live']) / WAVE_SECONDS:.1f}"
        lines.append(
            f"| {number} | {percentiles(wave['first'])} | {percentiles(wave['live'])} | {done} | {wave['cores']:.2f}"
            f" | {wave['rss'] / 2**20:,.0f} |"
        )
    return "\n".join([*lines, "", *(missed(result["pages"]) or ["Every goal is met."])])


def missed(pages: dict[str, Any]) -> list[str]:
    """A sentence for each goal that a page did not reach."""
    found = []
    for name, page in pages.items():
        reached = {
            "cold": max(page["cold"]),
            "first": max(*page["first kept"], *page["first read"]),
            "again": max(percentile(page[f"again {answers}"], 95) for answers in KEPT_SECONDS),
            "requests": max(page["requests"], page["requests at first"]),
        }
        found += [
            f"{name}: {what} {value:.3g}, goal {GOALS[what]:g}"
            for what, value in reached.items()
            if value > GOALS[what]
        ]
    return found


def spread(seconds: Sequence[float]) -> str:
    return " / ".join(f"{1000 * value:,.0f}" for value in (min(seconds), statistics.median(seconds), max(seconds)))


def percentiles(seconds: Sequence[float]) -> str:
    """Of a page that does not look again by itself there are none."""
    return " / ".join(f"{1000 * percentile(seconds, part):,.0f}" for part in (50, 95, 100)) if seconds else "–"


def percentile(seconds: Sequence[float], part: int) -> float:
    """By nearest rank."""
    return sorted(seconds)[max(0, -(-len(seconds) * part // 100) - 1)]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print_error(error)
        sys.exit(1)
