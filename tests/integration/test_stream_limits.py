"""The stream on real stores outlives any length and any character in any field, and keeps the order of a partition.

`FUZZ=full` tests every length and every code point; without it a part of them, at least one of each kind and plane.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.ledger.check import check_ledger
from insights.model.reasons import Reason
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings
from tests.helpers import oracle
from tests.helpers.fuzzed_messages import CI, FULL, generate_messages, make_updates
from tests.helpers.oracle import Message
from tests.helpers.oracle.document import Rejection
from tests.helpers.staged_pages import fetch
from tests.helpers.stream_process import Stream
from tests.helpers.warm_spark import WarmSpark

SIZE = FULL if os.environ.get("FUZZ") == "full" else CI
PATIENCE_SECONDS = 3600 if SIZE is FULL else 600
LARGEST = 64 * 1024 * 1024
WITHOUT_THE_CITYS_LIMIT = "from insights.model.reasons import MAX_LENGTHS; MAX_LENGTHS['location__city'] = 10**8"
"""Executed before the stream starts: PostgreSQL's index and Cassandra's key then refuse what no rule rejects."""
REFUSED = "refused by a constraint"


class Topic:
    """The raw topic with room for large messages. Remembers each message under its coordinates."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = kafka.raw_topic
        size = ConfigEntry("max.message.bytes", str(LARGEST), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self._topic, incremental_configs=[size])
        admin = AdminClient(kafka.client())
        for altered in admin.incremental_alter_configs([resource]).values():
            altered.result(20)
        properties = {
            "message.max.bytes": LARGEST,
            "compression.type": "lz4",
            "queue.buffering.max.kbytes": 2 * LARGEST,
        }
        self._producer = connections.make_kafka_producer(kafka, "tests", properties)
        self.sent: dict[str, Message] = {}

    def send(self, messages: Iterator[Message] | list[Message]) -> list[str]:
        """Send messages and wait until the broker has all of them. Returns the origin of each, in their order."""
        origins: list[str] = []
        for message in messages:

            def remember(error: Any, sent: Any, message: Message = message) -> None:
                assert error is None, error
                origin = f"{self._topic}/{sent.partition()}/{sent.offset()}"
                value = message.value if len(message.value or b"") < 1_200_000 else b"x" * 1_200_000
                self.sent[origin] = replace(message, value=value, partition=sent.partition(), offset=sent.offset())
                origins.append(origin)

            self._producer.produce(
                self._topic,
                message.value,
                message.key,
                headers=list(message.headers),
                timestamp=message.timestamp,
                on_delivery=remember,
            )
            self._producer.poll(0)
            if len(message.value or b"") > 1_000_000:
                self._producer.flush(60)
        assert self._producer.flush(60) == 0
        return origins


def read_outcomes(connection: PgConnection) -> dict[str, str]:
    """What became of each message, by origin: served, superseded, or the reason of its rejection."""
    rows = fetch(
        connection,
        """
        SELECT origin, 'served' FROM analytics.users
        UNION ALL SELECT origin, concat_ws(' ', reason, field) FROM quarantine.records
        UNION ALL SELECT event_id, 'superseded' FROM analytics.superseded
        """,
    )
    assert max(Counter(origin for origin, _ in rows).values()) == 1, "a message is in two places"
    return dict(rows)


def has_delivered(connection: PgConnection, messages: int) -> bool:
    [(read, undelivered)] = fetch(
        connection, "SELECT coalesce(sum(read), 0), count(*) FILTER (WHERE served_at IS NULL) FROM analytics.batches"
    )
    return read >= messages and not undelivered


def predict(message: Message) -> str:
    outcome = oracle.parse(message)
    return f"{outcome.reason} {outcome.field}" if isinstance(outcome, Rejection) else "served"


@pytest.mark.timeout(PATIENCE_SECONDS + 600)
def test_every_message_is_served_or_quarantined_once_and_the_ledger_closes(
    tmp_path: Path,
    jars: Path,
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    cassandra: CassandraSettings,
    connection: PgConnection,
    warm_spark: WarmSpark,
) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE analytics.users ADD CONSTRAINT refused CHECK (username <> '{REFUSED}')")
    topic = Topic(kafka)
    updates = topic.send(make_updates(0xFFFF, 3000, kafka.raw_topic))
    topic.send(generate_messages(kafka.raw_topic, SIZE))
    [first, second] = make_updates(0xFFFE, 2, kafka.raw_topic)
    topic.send([first])
    [refused] = topic.send([replace(second, value=(second.value or b"").replace(b"update 1", REFUSED.encode()))])

    stream = Stream(
        tmp_path, jars, postgres, kafka, cassandra, warm_spark, INSIGHTS_STREAM_MAX_OFFSETS_PER_TRIGGER="1000"
    )
    with stream.running(WITHOUT_THE_CITYS_LIMIT) as running:
        running.wait(lambda: has_delivered(connection, len(topic.sent)), PATIENCE_SECONDS)
        ledger = check_ledger(StoreSettings(postgres, kafka, cassandra))
    assert ledger.closed, "\n".join(hop.sentence for hop in ledger.open_hops())

    outcomes = read_outcomes(connection)
    assert outcomes.keys() == topic.sent.keys()
    assert {outcomes[origin] for origin in updates[:-1]} == {"superseded"}
    assert (outcomes[updates[-1]], outcomes[refused]) == ("served", "SINK_REFUSED PostgreSQL")
    compared = topic.sent.keys() - set(updates) - {refused}
    unexpected = {}
    for origin in compared:
        expected = predict(topic.sent[origin])
        allowed = {expected}
        if expected == f"{Reason.TOO_LONG} location.city":
            allowed = {"served", "SINK_REFUSED PostgreSQL", "SINK_REFUSED Cassandra"}
        if outcomes[origin] not in allowed:
            unexpected[origin] = (outcomes[origin], expected, (topic.sent[origin].value or b"")[:200])
    assert unexpected == {}
    totals = Counter(outcomes.values())
    print(f"{len(outcomes):,} messages: {totals}")
    assert totals["SINK_REFUSED PostgreSQL"] > 2
    assert totals["SINK_REFUSED Cassandra"] > 0
    assert totals["served"] > 100
