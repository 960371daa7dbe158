"""Measure the whole chain: staged rows to the publisher, Kafka, the stream, PostgreSQL and Cassandra.

`python -m benchmarks.chain [--records N] [--rounds N] [--warm-up N]` starts the servers, the publisher and the stream.
Before each round, generated pages are staged while the publisher is stopped by a signal; a round lasts from its
continuation until the stream reports that every sink has the records.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.common import flow
from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.pages import serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers, run_stores
from insights.local.configuration import Configuration
from insights.settings import StoreSettings

OWN = "user-insights"
PAGE_SIZE = 5000
ABOUT = """\
Staged rows to every store, with the servers, the publisher and the stream on the same machine. The pages are staged
before a round starts. A round ends when the stream reports that PostgreSQL and Cassandra have the records. The servers
and both processes are warm, and the stores hold the records of the earlier rounds. `stream Python` includes the Python
workers that the JVM starts."""


@dataclass
class Chain:
    """A running publisher and stream, and how many records they have been given."""

    configuration: Configuration
    stores: StoreSettings
    source: str
    staged: int = 0
    pids: dict[str, int] = field(default_factory=dict)

    def stage(self, records: int) -> None:
        """Stage further generated pages."""
        first = self.staged // PAGE_SIZE + 1
        flow.stage_pages(self.stores.postgres, self.source, range(first, first + records // PAGE_SIZE), PAGE_SIZE)
        self.staged += records

    def wait(self) -> None:
        """Return when every staged record is delivered.

        Raises:
            RuntimeError: that takes too long.
        """
        flow.wait_delivered(self.configuration.stream.url, self.staged)

    def run(self, records: int) -> Turn:
        """Stage records and measure their way through the chain."""
        publisher = self.configuration.publisher.pid
        return flow.measure_backlog(publisher, lambda: self.stage(records), self.wait, self.pids, records)


@contextmanager
def run_chain(pages: int) -> Iterator[Chain]:
    """Run the servers, the publisher and the stream, with a source of so many pages.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    with (
        configure() as c,
        serve_pages(pages, PAGE_SIZE) as url,
        run_stores(c) as stores,
        run_servers(c.publisher, c.stream),
    ):
        yield Chain(c, stores, url, pids=list_pids(c.postgres, c.publisher, c.kafka, c.stream, c.cassandra))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the ledger does not close afterwards.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=50_000, help=f"per round, a multiple of {PAGE_SIZE:,}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=30_000, help=f"records before, a multiple of {PAGE_SIZE:,}")
    options = parser.parse_args(arguments)
    if options.records % PAGE_SIZE or options.warm_up % PAGE_SIZE:
        parser.error(f"--records and --warm-up have to be multiples of {PAGE_SIZE:,}")
    pages = (options.warm_up + options.records * options.rounds) // PAGE_SIZE
    with run_chain(pages) as chain:
        chain.stage(options.warm_up)
        chain.wait()
        turns = take_turns({OWN: lambda _: chain.run(options.records)}, options.rounds)
        validity = flow.require_closed_ledger(chain.stores)
    result = Result(
        "chain", "The whole chain", ABOUT, "records", validity, [Case("", turns)], list_arguments(parser, options)
    )
    conclude(result, options.results)


if __name__ == "__main__":
    run(main)
