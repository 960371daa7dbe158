"""Measure how fast the dashboard's pages are with millions of users in the stores.

`python -m benchmarks.dashboard [--users N] [--data FOLDER] [--crowd N]` starts the three servers, writes
generated users into them (FOLDER keeps them for the next run), and visits every page over Streamlit's own protocol, as
a browser does, but without drawing. Times are from the request to the last message of the script run.
"""

import asyncio
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

from benchmarks.common.entry import list_arguments, make_parser, run
from benchmarks.common.processes import read_cpu_seconds
from benchmarks.common.results import Case, Result, save
from benchmarks.common.rounds import Turn, compute_percentile
from benchmarks.common.servers import free_port, run_servers
from benchmarks.visits.stores import open_filled_stores
from benchmarks.visits.visitor import Run, open_page
from insights.local.services import REPOSITORY, DashboardService
from insights.settings import LocalSettings, load, to_environment

PAGES = {path.stem.capitalize(): path.stem for path in sorted((REPOSITORY / "dashboard/views").glob("*.py"))}
PAGES["Overview"] = ""
"""The path of each page's address; the first page's is empty."""
ABOUT = """\
Pages are visited over Streamlit's own protocol, as a browser does, but without drawing; times are from the request to
the last message of the script run. The dashboard answers from its cache, or from the stores (*uncached*). The requests
and rows are those of a render that nothing is cached for."""
VALIDITY = "every page was required to show no error and no store that does not answer"
CACHE_SECONDS = {"kept": 3600.0, "read": 0.0}
"""How long the dashboard caches answers: until the end of the benchmark, or not at all."""
GOALS = {"cold": 3.0, "first": 1.0, "again": 0.2, "requests": 60}
"""Seconds of the slowest cold start, the slowest first render and the reruns' p95; requests per render."""
Pages = Mapping[str, str]
"""The path of each page by its name."""
Measurement = tuple[str, dict[str, Any]]
"""A page's name and its figures by name."""
WAVE_SECONDS = 30.0


class RecordingDashboard(DashboardService):
    """A dashboard that records its requests to Cassandra in the file `requests`."""

    def __init__(self, home: Path, port: int, environment: dict[str, str], metrics_port: int) -> None:
        super().__init__(home, port, environment, metrics_port)
        self.requests = home / "requests"

    def command(self) -> list[str]:
        python, _, _, *arguments = super().command()
        return [python, "-m", "benchmarks.visits.record_requests", str(self.requests), *arguments]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the result. `arguments` default to the process's own.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
        RuntimeError: a page shows an error.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, default=load(LocalSettings).cache.expanduser() / "benchmark")
    parser.add_argument("--colds", type=int, default=3, help="cold starts per page")
    parser.add_argument("--visits", type=int, default=20, help="first renders per page")
    parser.add_argument("--reruns", type=int, default=60, help="reruns per page")
    parser.add_argument("--crowd", type=int, default=50, help="concurrent visitors of a wave")
    parser.add_argument("--waves", type=int, default=3, help="number of waves")
    parser.add_argument("--pages", nargs="+", choices=list(PAGES), default=list(PAGES))
    options = parser.parse_args(arguments)
    with open_filled_stores(options.data, options.users) as (stores, users):
        environment = to_environment(stores.postgres, stores.kafka, stores.cassandra)
        pages = {name: PAGES[name] for name in options.pages}
        result: dict[str, Any] = {"users": users, "pages": {name: {} for name in pages}}
        for part in (
            measure_cold_starts(pages, environment, options.colds),
            measure_visits(pages, environment, "kept", options.visits, options.reruns),
            measure_visits(pages, environment, "read", options.visits, options.reruns),
            count_requests(pages, environment),
        ):
            for name, figures in part:
                print(f"visited {name}: {', '.join(figures)}", file=sys.stderr, flush=True)
                result["pages"][name] |= figures
        result["crowd"] = measure_crowd(list(pages.values()), environment, options.crowd, options.waves)
    print(format_result(result))
    save(build_result(result, list_arguments(parser, options)), options.results)


def build_result(result: dict[str, Any], arguments: list[str]) -> Result:
    """The figures of each page, as a contender with a round for each visit that has one."""
    pages = {name: [make_turn(page)] for name, page in result["pages"].items()}
    about = f"{ABOUT} The stores hold {result['users']:,} users."
    return Result("dashboard", "The dashboard's pages", about, "runs", VALIDITY, [Case("", pages, "Page")], arguments)


def make_turn(page: dict[str, Any]) -> Turn:
    """The medians of a page's renders and the 95th percentile of its reruns, in milliseconds."""
    figures = {
        "Cold start (ms)": statistics.median(page["cold"]),
        "First render (ms)": statistics.median(page["first kept"]),
        "First render, uncached (ms)": statistics.median(page["first read"]),
        "Rerun, p95 (ms)": compute_percentile(page["again kept"], 95),
        "Rerun, uncached, p95 (ms)": compute_percentile(page["again read"], 95),
    }
    counted = {"CQL requests": page["requests"], "Rows": page["rows"]}
    return Turn(0.0, {}, figures={name: 1000 * seconds for name, seconds in figures.items()} | counted)


def measure_cold_starts(pages: Pages, environment: dict[str, str], times: int) -> Iterator[Measurement]:
    """Seconds of a page's first render by a dashboard that is ready but has not been visited."""
    for name, page in pages.items():
        seconds = []
        for _ in range(times):
            with run_dashboard(environment) as server:
                seconds += [run.seconds for run in asyncio.run(visit_first(server.port, page, 1))]
        yield name, {"cold": seconds}


def measure_visits(
    pages: Pages, environment: dict[str, str], answers: str, times: int, reruns: int
) -> Iterator[Measurement]:
    """Seconds, and CPU seconds per run, of first renders, reruns and live updates by a single visitor."""
    with run_dashboard(environment, CACHE_SECONDS[answers]) as server:
        for name, page in pages.items():
            asyncio.run(visit_first(server.port, page, 2))
            first = asyncio.run(visit_first(server.port, page, times))
            cpu = read_cpu_seconds(server.pid)
            again, live = asyncio.run(visit_again(server.port, page, reruns))
            cpu = (read_cpu_seconds(server.pid) - cpu) / (1 + len(again) + len(live))
            figures = {"first": [run.seconds for run in first], "again": again, "live": live, "cpu": cpu}
            yield name, {f"{kind} {answers}": value for kind, value in figures.items()} | first[-1]._asdict()


def count_requests(pages: Pages, environment: dict[str, str]) -> Iterator[Measurement]:
    """Requests to Cassandra, and rows in its answers, of the first visitor's render and of the next visitor's."""
    with run_dashboard(environment, 0.0, RecordingDashboard) as server:
        for name, page in pages.items():
            recorded = []
            for _ in range(2):
                server.requests.unlink(missing_ok=True)
                asyncio.run(visit_first(server.port, page, 1))
                recorded.append(server.requests.read_text().splitlines() if server.requests.exists() else [])
            rows = sum(int(line.split()[1]) for line in recorded[1])
            yield name, {"requests": len(recorded[1]), "requests at first": len(recorded[0]), "rows": rows}


async def visit_first(port: int, page: str, visits: int) -> list[Run]:
    """The first renders of visitors who open the page one after another."""
    runs = []
    for _ in range(visits):
        async with open_page(port, page) as visitor:
            runs.append(await visitor.render())
    return runs


async def visit_again(port: int, page: str, reruns: int) -> tuple[list[float], list[float]]:
    """Seconds of reruns of the whole page, and of its fragments that rerun by themselves, in turn."""
    async with open_page(port, page) as visitor:
        await visitor.render()
        whole = [(await visitor.rerun()).seconds for _ in range(reruns)]
        fragments = list(visitor.fragments)
        turns = islice(cycle(fragments), reruns if fragments else 0)
        live = [(await visitor.rerun(fragment)).seconds for fragment in turns]
        return whole, live


def measure_crowd(pages: Sequence[str], environment: dict[str, str], visitors: int, waves: int) -> dict[str, Any]:
    """Measure `waves` of `visitors` who arrive at once, spread over the pages, stay for a while, and leave.

    The dashboard has its default settings, except for its ports.
    """
    measured = []
    with run_dashboard(environment) as server:
        asyncio.run(visit_all(server.port, pages))
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        for number in range(waves):
            print(f"wave {number + 1} of {visitors} visitors", file=sys.stderr, flush=True)
            cpu, started = read_cpu_seconds(server.pid), time.monotonic()
            first, live, due = asyncio.run(visit_at_once(server.port, list(islice(cycle(pages), visitors))))
            cores = (read_cpu_seconds(server.pid) - cpu) / (time.monotonic() - started)
            rss = process.memory_info().rss
            measured.append({"first": first, "live": live, "due": due, "cores": cores, "rss": rss})
    return {"visitors": visitors, "rss before": before, "waves": measured}


async def visit_all(port: int, pages: Sequence[str]) -> None:
    """Open every page twice, to fill the caches."""
    for page in pages:
        await visit_first(port, page, 2)


async def visit_at_once(port: int, pages: Sequence[str]) -> tuple[list[float], list[float], float]:
    """Seconds of all visitors' first renders and live updates, and the live updates that were due per second."""
    visits = await asyncio.gather(*(stay(port, page) for page in pages))
    firsts, lives, due = zip(*visits, strict=True)
    return list(firsts), [seconds for live in lives for seconds in live], sum(due)


async def stay(port: int, page: str) -> tuple[float, list[float], float]:
    """Keep a page open for `WAVE_SECONDS` and rerun its fragments as a browser does.

    Returns the seconds of the first render, those of the live updates, and the updates due per second.
    """
    async with open_page(port, page) as visitor:
        first, live = (await visitor.render()).seconds, []
        until = time.perf_counter() + WAVE_SECONDS
        due = {fragment: time.perf_counter() + interval for fragment, interval in visitor.fragments.items()}
        while due and due[fragment := min(due, key=lambda name: due[name])] < until:
            await asyncio.sleep(max(0.0, due[fragment] - time.perf_counter()))
            live.append((await visitor.rerun(fragment)).seconds)
            due[fragment] = max(due[fragment] + visitor.fragments[fragment], time.perf_counter())
        await asyncio.sleep(max(0.0, until - time.perf_counter()))
        return first, live, sum(1 / interval for interval in visitor.fragments.values())


@contextmanager
def run_dashboard(
    environment: dict[str, str], cache_seconds: float | None = None, kind: type[DashboardService] = DashboardService
) -> Iterator[Any]:
    """Run a new dashboard for the length of a `with` block."""
    cache = {} if cache_seconds is None else {"INSIGHTS_DASHBOARD_CACHE_SECONDS": str(cache_seconds)}
    with tempfile.TemporaryDirectory() as home:
        server = kind(Path(home), free_port(), environment | cache | {"PYTHONPATH": str(REPOSITORY)}, free_port())
        with run_servers(server):
            yield server


COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "Cold start": lambda page: format_spread(page["cold"]),
    "First render": lambda page: format_spread(page["first kept"]),
    "First render, uncached": lambda page: format_spread(page["first read"]),
    "Rerun": lambda page: format_percentiles(page["again kept"]),
    "Rerun, uncached": lambda page: format_percentiles(page["again read"]),
    "Live update, uncached": lambda page: format_percentiles(page["live read"]),
    "CPU of a run": lambda page: f"{1000 * page['cpu kept']:,.0f}, {1000 * page['cpu read']:,.0f}",
    "CQL requests": lambda page: f"{page['requests']}",
    "Rows": lambda page: f"{page['rows']:,}",
    "kB": lambda page: f"{page['received'] / 1000:,.0f}",
}


def format_result(result: dict[str, Any]) -> str:
    """Markdown: a table of the pages, a table of the crowd, and the goals that were missed."""
    lines = [f"{result['users']:,} users; milliseconds as min / median / max, of reruns as p50 / p95 / max", ""]
    lines += [f"| Page | {' | '.join(COLUMNS)} |", f"| --- |{' ---: |' * len(COLUMNS)}"]
    for name, page in result["pages"].items():
        lines.append(f"| {name} | {' | '.join(cell(page) for cell in COLUMNS.values())} |")
    crowd = result["crowd"]
    lines += ["", f"{crowd['visitors']} concurrent visitors who stay {WAVE_SECONDS:.0f} s;"]
    lines[-1] += f" {crowd['rss before'] / 2**20:,.0f} MiB before"
    lines += ["", "| Wave | First render | Live update | Updates per second: due, done | Cores | MiB |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for number, wave in enumerate(crowd["waves"], 1):
        done = f"{wave['due']:.1f}, {len(wave['live']) / WAVE_SECONDS:.1f}"
        renders, updates = format_percentiles(wave["first"]), format_percentiles(wave["live"])
        memory = f"{wave['rss'] / 2**20:,.0f}"
        lines.append(f"| {number} | {renders} | {updates} | {done} | {wave['cores']:.2f} | {memory} |")
    return "\n".join([*lines, "", *(list_missed_goals(result["pages"]) or ["Every goal is met."])])


def list_missed_goals(pages: dict[str, Any]) -> list[str]:
    """A line for each goal that a page missed."""
    missed = []
    for name, page in pages.items():
        figures = {
            "cold": max(page["cold"]),
            "first": max(*page["first kept"], *page["first read"]),
            "again": max(compute_percentile(page[f"again {answers}"], 95) for answers in CACHE_SECONDS),
            "requests": max(page["requests"], page["requests at first"]),
        }
        missed += [
            f"{name}: {figure} {value:.3g}, goal {GOALS[figure]:g}"
            for figure, value in figures.items()
            if value > GOALS[figure]
        ]
    return missed


def format_spread(seconds: Sequence[float]) -> str:
    """Minimum, median and maximum in milliseconds."""
    return " / ".join(f"{1000 * value:,.0f}" for value in (min(seconds), statistics.median(seconds), max(seconds)))


def format_percentiles(seconds: Sequence[float]) -> str:
    """p50, p95 and maximum in milliseconds; a dash for a page without live updates."""
    return " / ".join(f"{1000 * compute_percentile(seconds, part):,.0f}" for part in (50, 95, 100)) if seconds else "–"


if __name__ == "__main__":
    run(main)
