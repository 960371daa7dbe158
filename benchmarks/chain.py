"""Measure the whole chain: staged rows to the publisher, Kafka, the stream, PostgreSQL and Cassandra.

`python -m benchmarks.chain [--records N] [--rounds N] [--warm-up N] [--peers]` starts the servers, the publisher and
the stream. Before each round, generated pages are staged while the publisher is stopped by a signal; a round lasts from
its continuation until the stream reports that every sink has the records.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from benchmarks.common import flow
from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.pages import serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, Turns, measure, order_round
from benchmarks.common.servers import configure, list_pids, run_servers, run_stores
from benchmarks.peers.spark_chain_contenders import PEERS, SparkChain, require_same_users, run_spark_chain
from insights.local.configuration import Configuration
from insights.settings import StoreSettings

OWN = "user-insights"
PAGE_SIZE = 5000
ABOUT = """\
Staged rows to every store, with the servers, the publisher and the stream on the same machine. The pages are staged
before a round starts. A round ends when the stream reports that PostgreSQL and Cassandra have the records. The servers
and both processes are warm, and the stores hold the records of the earlier rounds. `stream Python` includes the Python
workers that the JVM starts. *Spark 3.5* reads the same topic with Structured Streaming, micro-batches of the same size
and built-in functions, and writes the same Cassandra tables with the Cassandra connector 3.5.1 and PostgreSQL by JDBC;
*tuned*, the connector has larger batches and more writes in flight, and JDBC rewritten inserts. It leaves out the
publisher, all rules but two, the counts of twelve dimensions, quarantine, versions, and repetition without effect."""


@dataclass
class Chain:
    """A running publisher and stream, and how many records they have been given."""

    configuration: Configuration
    stores: StoreSettings
    source: str
    staged: int
    pids: dict[str, int]
    delivered_before: int = 0
    """Records that an earlier run of the stream delivered."""

    def stage(self, records: int) -> None:
        """Stage further generated pages."""
        first = self.staged // PAGE_SIZE + 1
        flow.stage_pages(self.stores.postgres, self.source, range(first, first + records // PAGE_SIZE), PAGE_SIZE)
        self.staged += records

    def wait(self) -> None:
        """Return when every staged record is delivered.

        Raises:
            RuntimeError: that takes too long, or the stream has exited.
        """
        stream = self.configuration.stream
        try:
            flow.wait_delivered(stream.url, self.staged - self.delivered_before)
        except OSError as error:
            raise RuntimeError(f"the stream does not answer: {stream.read_log_tail(5)}") from error

    def run(self, records: int) -> Turn:
        """Stage records and measure their way through the chain."""
        publisher = self.configuration.publisher.pid
        return flow.measure_backlog(publisher, lambda: self.stage(records), self.wait, self.pids, records)

    def take_turn(self, records: int, _: int) -> Turn:
        """`run` as the turn of a round."""
        return self.run(records)


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
        yield Chain(c, stores, url, 0, list_pids(c.postgres, c.publisher, c.kafka, c.stream, c.cassandra))


def run_peer(chain: Chain, spark: SparkChain, name: str, records: int, _: int) -> Turn:
    """Let a contender process the messages that the chain has published in this round."""
    pids = {part: chain.pids[part] for part in ("PostgreSQL", "Kafka", "Cassandra")} | {"Spark 3.5": spark.pid}
    return measure(partial(spark.run, name), pids, records, counts_client=False, memory=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the ledger does not close afterwards.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=50_000, help=f"per round, a multiple of {PAGE_SIZE:,}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="measure Spark 3.5 too; downloads it the first time")
    parser.add_argument("--warm-up", type=int, default=30_000, help=f"records before, a multiple of {PAGE_SIZE:,}")
    options = parser.parse_args(arguments)
    if options.records % PAGE_SIZE or options.warm_up % PAGE_SIZE:
        parser.error(f"--records and --warm-up have to be multiples of {PAGE_SIZE:,}")
    pages = (options.warm_up + options.records * options.rounds) // PAGE_SIZE
    with ExitStack() as stack:
        chain = stack.enter_context(run_chain(pages))
        chain.stage(options.warm_up)
        chain.wait()
        contenders = {OWN: partial(chain.take_turn, options.records)}
        if options.peers:
            spark = stack.enter_context(run_spark_chain(chain.configuration, chain.stores))
            for name in PEERS:
                spark.run(name)
            contenders |= {name: partial(run_peer, chain, spark, name, options.records) for name in PEERS}
        # The peers read what the chain has published, so that it always begins.
        turns: Turns = {name: [] for name in contenders}
        for number in range(options.rounds):
            for name in (OWN, *order_round(list(PEERS), number)) if options.peers else (OWN,):
                turns[name].append(contenders[name](number))
                print(f"round {number + 1}, {name}: {turns[name][-1].seconds:.2f} s", file=sys.stderr, flush=True)
        validity = flow.require_closed_ledger(chain.stores)
        if options.peers:
            require_same_users(chain.stores)
            validity += ", and the users of the peers, with seven of their fields, are those of the chain"
    result = Result(
        "chain", "The whole chain", ABOUT, "records", validity, [Case("", turns)], list_arguments(parser, options)
    )
    conclude(result, options.results)


if __name__ == "__main__":
    run(main)
