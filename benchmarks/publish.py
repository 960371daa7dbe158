"""Measure how fast staged rows get to Kafka: the publisher beside Debezium on Kafka Connect and a bare loop.

`python -m benchmarks.publish [--records N] [--rounds N]` starts PostgreSQL, Kafka, the publisher and two Connect
workers. In each round every contender finds the same new rows in its table, which were written while its process was
stopped by a signal, and a turn ends when its topic has them.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from confluent_kafka import Producer
from pydantic import AnyHttpUrl

from benchmarks.common.entry import conclude, list_arguments, make_parser, run
from benchmarks.common.flow import measure_backlog
from benchmarks.common.pages import SEED, serve_pages
from benchmarks.common.results import Case, Result
from benchmarks.common.rounds import Turn, measure, take_turns
from benchmarks.common.servers import configure, list_pids, run_servers
from benchmarks.common.topics import Topic
from benchmarks.peers import debezium_source
from benchmarks.peers.debezium_source import DebeziumSource, LogicalPostgres
from benchmarks.peers.environment import ensure_peer_jars
from insights.clients import connections
from insights.local.configuration import Configuration
from insights.migrations.kafka_topics import ensure_topics
from insights.migrations.migrate_postgres import migrate_postgres
from insights.settings import PostgresSettings, SourceSettings
from insights.source import SourceClient
from insights.staging.load import load_page

OWN, BARE = "user-insights", "bare COPY and librdkafka"
PEERS = {"Debezium": "debezium_default", "Debezium, tuned": "debezium_tuned"}
SETTINGS = {
    "Debezium": ({}, debezium_source.DEFAULT),
    "Debezium, tuned": (debezium_source.TUNED_WORKER, debezium_source.TUNED),
}
"""The properties of the worker and of the connector."""
PAGE_SIZE = 5000
ABOUT = """\
Rows of staging to a topic of two partitions with `acks=all`, on the same PostgreSQL and Kafka. `user-insights` is the
publisher: rows in commit order, headers, one message per row with the user as its key, and a cursor that moves after
the acknowledgement. `Debezium` is the PostgreSQL source 3.6.1 on Kafka Connect 4.3.1 with its defaults; *tuned*, it
unwraps the row, leaves out the schema, compresses with lz4 and has larger batches. Each has a table of its own with the
same payloads. The bare loop is `COPY ... TO STDOUT` and librdkafka's producer in one Python process: it has no headers,
no cursor and no wait for new rows, and is a bound rather than an alternative."""
VALIDITY = "the users and the digests of their records on every topic were compared in a round that is not counted"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and save the result. `arguments` default to the process's own.

    Raises:
        RuntimeError: the topics of the contenders have different records.
        UserError: Java or a jar is missing, or a server does not start.
    """
    parser = make_parser(__doc__)
    parser.add_argument("--records", type=int, default=100_000, help=f"per round, a multiple of {PAGE_SIZE:,}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    pages = options.records // PAGE_SIZE
    with (
        configure() as c,
        serve_pages(pages * (options.rounds + 1), PAGE_SIZE) as url,
        run_contenders(c, Backlog(url, pages)) as contenders,
    ):
        for contender in contenders.values():
            contender.run(0)
        require_same_records(contenders)
        turns = take_turns({name: contender.run for name, contender in contenders.items()}, options.rounds, first=1)
    title = "Staged rows into Kafka"
    result = Result("publish", title, ABOUT, "records", VALIDITY, [Case("", turns)], list_arguments(parser, options))
    conclude(result, options.results)


class Backlog:
    """The rows of each round, the same for every contender."""

    def __init__(self, url: str, pages: int) -> None:
        self._source = SourceSettings(url=AnyHttpUrl(url), page_size=PAGE_SIZE, deadline_seconds=120)
        self._pages = pages
        self.records = pages * PAGE_SIZE

    @lru_cache(maxsize=1)  # noqa: B019 (the only instance lives as long as the process)
    def fetch(self, number: int) -> list[Any]:
        """The pages of a round."""
        with SourceClient(self._source) as source:
            first = number * self._pages + 1
            return [source.fetch_page(SEED, page) for page in range(first, first + self._pages)]

    def format(self, number: int) -> bytes:
        """The user ids and the records of a round, as the text that `COPY` reads."""
        records = (record for page in self.fetch(number) for record in page.records)
        lines = (b"%b\t%b\n" % (read_user_id(record), record.replace(b"\\", b"\\\\")) for record in records)
        return b"".join(lines)


@dataclass(frozen=True, slots=True)
class Contender:
    """A way from a table to a topic: `run` is the turn of a round, `decode` reads a message of its topic."""

    run: Callable[[int], Turn]
    topic: Topic
    decode: Callable[[Any], tuple[str, bytes]]


@contextmanager
def run_contenders(c: Configuration, backlog: Backlog) -> Iterator[dict[str, Contender]]:
    """Run the servers and the contenders' processes.

    Raises:
        UserError: Java or a jar is missing, or a server does not start.
    """
    ensure_peer_jars(c.jars, c.java, "connect", debezium_source.PLUGIN)
    c.postgres = LogicalPostgres(c.home, c.postgres.port)
    with ExitStack() as stack:
        stack.enter_context(run_servers(c.postgres, c.kafka))
        c.postgres.create_database(c.postgres_settings.dbname)
        migrate_postgres(c.postgres_settings)
        ensure_topics(c.kafka_settings)

        def open_topic(name: str, *, create: bool = True) -> Topic:
            topic = Topic(c.kafka_settings, name)
            stack.callback(topic.close)
            if create:
                topic.create(c.kafka_settings)
            return topic

        sources = {}
        for name, database in PEERS.items():
            worker, connector = SETTINGS[name]
            sources[name] = DebeziumSource(c, database, worker, connector)
        topics = {name: open_topic(source.topic) for name, source in sources.items()}
        stack.enter_context(run_servers(c.publisher, *(source.worker for source in sources.values())))
        servers = list_pids(c.postgres, c.kafka)
        own, bare = open_topic(c.kafka_settings.raw_topic, create=False), open_topic("bare")
        contenders = {
            OWN: Contender(
                partial(run_publisher, c, backlog, own, servers | list_pids(c.publisher)), own, decode_record
            )
        }
        for name, source in sources.items():
            pids = servers | {"Connect": source.worker.pid}
            turn = partial(run_debezium, source, backlog, topics[name], pids)
            contenders[name] = Contender(turn, topics[name], debezium_source.decode)
        contenders[BARE] = Contender(partial(run_bare, c, backlog, bare, servers), bare, decode_record)
        yield contenders


def run_publisher(c: Configuration, backlog: Backlog, topic: Topic, pids: Mapping[str, int], number: int) -> Turn:
    expected = topic.count() + backlog.records

    def write() -> None:
        with closing(connections.connect_postgres(c.postgres_settings, "benchmark")) as connection:
            for page in backlog.fetch(number):
                load_page(connection, page, "benchmark", "benchmark")

    return measure_backlog(c.publisher.pid, write, lambda: topic.wait_for(expected), pids, backlog.records)


def run_debezium(source: DebeziumSource, backlog: Backlog, topic: Topic, pids: Mapping[str, int], number: int) -> Turn:
    expected = topic.count() + backlog.records

    def write() -> None:
        source.write(backlog.format(number))

    return measure_backlog(source.worker.pid, write, lambda: topic.wait_for(expected), pids, backlog.records)


def run_bare(c: Configuration, backlog: Backlog, topic: Topic, pids: Mapping[str, int], number: int) -> Turn:
    table = f"bare_{number}"
    with (
        closing(connections.connect_postgres(c.postgres_settings, "benchmark")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE TABLE {table} (user_key uuid, payload json)")
        cursor.copy_expert(f"COPY {table} FROM STDIN", io.BytesIO(backlog.format(number)))
    producer = connections.make_kafka_producer(c.kafka_settings, "benchmark", {"linger.ms": 5})
    producer.list_topics(topic.name, 30)
    return measure(
        partial(produce_table, c.postgres_settings, table, producer, topic.name), pids, backlog.records, memory=True
    )


def produce_table(postgres: PostgresSettings, table: str, producer: Producer, topic: str) -> None:
    """Read a table by `COPY` and produce a message per row, until all are acknowledged."""

    class Sink(io.RawIOBase):
        """Takes the output of `COPY`, a row per call."""

        def write(self, row: Any) -> int:
            key, _, record = bytes(row).rstrip(b"\n").partition(b"\t")
            record = record.replace(b"\\\\", b"\\") if b"\\" in record else record
            while True:
                try:
                    producer.produce(topic, record, key)
                    break
                except BufferError:
                    producer.poll(0.1)
            return len(row)

    with closing(connections.connect_postgres(postgres, "benchmark")) as connection, connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} TO STDOUT", Sink())
    producer.flush()


def require_same_records(contenders: Mapping[str, Contender]) -> None:
    """Compare the topics.

    Raises:
        RuntimeError: they have different users, or different records of a user.
    """
    expected = contenders[OWN].topic.digest(contenders[OWN].decode)
    for name, contender in contenders.items():
        if (digests := contender.topic.digest(contender.decode)) != expected:
            raise RuntimeError(f"the topic of {name} has {len(digests):,} users, or other records than that of {OWN}")


def decode_record(message: Any) -> tuple[str, bytes]:
    """The user id and the record of a message whose value is the record."""
    return message.key().decode(), message.value()


def read_user_id(record: bytes) -> bytes:
    """The id of a staged record."""
    user: str = json.loads(record)["login"]["uuid"]
    return user.encode()


if __name__ == "__main__":
    run(main)
