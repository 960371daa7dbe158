"""Measure how long it takes until a staged record is readable in Cassandra, and where the time of a micro-batch goes.

`python -m benchmarks.latency [--rates N ...] [--seconds N] [--rounds N]` starts the servers. In each round the
publisher and the stream are started, and as soon as they are ready, pages are staged at a fixed rate.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from statistics import median

from benchmarks.common import flow
from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.open_loop import OpenLoop, watch
from benchmarks.common.pages import serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, compute_percentile, take_turns
from benchmarks.common.servers import configure, run_servers, run_stores
from insights.clients import connections
from insights.local.configuration import Configuration
from insights.settings import StoreSettings

PAGES_PER_SECOND = 10
START_SECONDS = 30
"""How long after its start the stream is considered to be cold."""
SAMPLE_SECONDS = 0.25
MIN_SHARE = 0.97
"""The share of the intended rate at which the pages have to be staged."""
ABOUT = f"""\
Seconds from the commit of a page in staging until its last record is readable in `user_profiles_by_id`, for every page.
{PAGES_PER_SECOND} pages are staged per second, each at its time, whatever becomes of those before it. Cassandra is
polled every 50 ms for the records that it does not have yet, so that a figure is up to 50 ms too high. The stream is
started for each round; the first {START_SECONDS} seconds after it reports to be ready are reported separately. The
second table of a rate has the medians of the stream's own metrics over its micro-batches: `triggerExecution` is the
whole of one, `addBatch` the part in which it is delivered, and `transform` to `mark` are the steps of that."""


class StepSampler:
    """The seconds of each step of each micro-batch, from the stream's metrics, in a `with` block of `sample_steps`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.ended = threading.Event()
        self._batches: dict[float, dict[str, float]] = {}

    def run(self) -> None:
        while not self.ended.wait(SAMPLE_SECONDS):
            metrics = flow.read_metrics(self._url)
            steps = {label: value for (name, label), value in metrics.items() if name == "stage_seconds"}
            # Spark reports a batch after it has been delivered: the last sample of a batch has all of its steps.
            self._batches[metrics["last_batch_id", ""]] = steps

    def medians(self) -> dict[str, float]:
        """The median of each step, without the first and the last batch, whose steps may be incomplete."""
        seconds = defaultdict(list)
        for number in sorted(self._batches)[1:-1]:
            for step, value in self._batches[number].items():
                seconds[step].append(value)
        return {step: median(values) for step, values in seconds.items()}


@contextmanager
def sample_steps(url: str) -> Iterator[StepSampler]:
    """Sample the steps of the micro-batches in the background for the length of a `with` block."""
    sampler = StepSampler(url)
    thread = threading.Thread(target=sampler.run, daemon=True, name="metrics")
    thread.start()
    try:
        yield sampler
    finally:
        sampler.ended.set()
        thread.join()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the ledger does not close afterwards, or the pages could not be staged at a rate.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[100, 1000], help="records per second")
    parser.add_argument("--seconds", type=int, default=90, help=f"of each round, more than {START_SECONDS}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    cases = []
    with configure() as c, run_stores(c) as stores:
        steps: dict[int, list[dict[str, float]]] = {rate: [] for rate in options.rates}
        phases: dict[int, list[tuple[Turn, Turn]]] = {rate: [] for rate in options.rates}

        def take_turn(rate: int, number: int) -> Turn:
            # Pages of the same number have the same users, whatever their size.
            run_number = number * len(options.rates) + options.rates.index(rate)
            cold, warm, medians = run_round(c, stores, rate, options.seconds, run_number)
            phases[rate].append((cold, warm))
            steps[rate].append(medians)
            return warm

        take_turns({f"{rate} records/s": partial(take_turn, rate) for rate in options.rates}, options.rounds)
        validity = flow.require_closed_ledger(stores)
    for rate in options.rates:
        colds, warms = zip(*phases[rate], strict=True)
        turns = {f"first {START_SECONDS} s": list(colds), f"after {START_SECONDS} s": list(warms)}
        cases.append(Case(f"{rate:,} records/s", turns, "Phase"))
        cases.append(Case(f"Steps of a micro-batch at {rate:,} records/s", list_steps(steps[rate]), "Step"))
    title = "Latency from staging to Cassandra"
    conclude(
        Result("latency", title, ABOUT, "records", validity, cases, list_arguments(parser, options)), options.results
    )


def run_round(
    c: Configuration, stores: StoreSettings, rate: int, seconds: int, number: int
) -> tuple[Turn, Turn, dict[str, float]]:
    """Start the publisher and the stream and stage pages. Returns the turns of both phases, and the steps' medians."""
    pages, page_size = seconds * PAGES_PER_SECOND, rate // PAGES_PER_SECOND
    numbers = range(number * pages + 1, (number + 1) * pages + 1)
    with (
        serve_pages(pages, page_size, numbers.start) as url,
        connections.open_cassandra(stores.cassandra) as session,
    ):
        loop = OpenLoop(stores.postgres, url, numbers, page_size)
        with run_servers(c.publisher, c.stream), sample_steps(c.stream.url) as sampler:
            loop.start(PAGES_PER_SECOND)
            latencies = watch(loop, session)
    times = list(loop.committed.values())
    start, end = times[0], times[-1]
    if (end - start) * MIN_SHARE > (pages - 1) / PAGES_PER_SECOND:
        raise RuntimeError(
            f"staging {pages} pages took {end - start:.0f} s instead of {pages / PAGES_PER_SECOND:.0f} s"
        )
    cold = [latencies[record] for record, at in loop.committed.items() if at < start + START_SECONDS]
    warm = [latencies[record] for record, at in loop.committed.items() if at >= start + START_SECONDS]
    cold_turn = _make_turn(cold, START_SECONDS, page_size)
    return cold_turn, _make_turn(warm, end - start - START_SECONDS, page_size), sampler.medians()


def list_steps(rounds: Sequence[dict[str, float]]) -> dict[str, list[Turn]]:
    """A turn per round for each step, the longest step first."""
    names = dict.fromkeys(step for medians in rounds for step in medians)
    longest = sorted(names, key=lambda step: -max(medians.get(step, 0.0) for medians in rounds))
    return {
        f"`{step}`": [Turn(0.0, {}, figures={"Seconds": medians[step]}) for medians in rounds if step in medians]
        for step in longest
    }


def _make_turn(latencies: Sequence[float], seconds: float, page_size: int) -> Turn:
    figures = {f"p{part} (s)": compute_percentile(latencies, part) for part in (50, 95, 99)}
    return Turn(seconds, {}, len(latencies) * page_size, figures=figures | {"max (s)": max(latencies)})


if __name__ == "__main__":
    run(main)
