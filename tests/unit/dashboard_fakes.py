"""Stores that answer from memory, and can be taken down."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaException

from dashboard import stores, topics
from insights import connections, ledger
from insights.errors import UserError
from insights.serve import queries
from insights.settings import KafkaSettings

NOW = datetime.now(UTC)
TOPIC = KafkaSettings().raw_topic
COUNTS = {
    "country_code": {"FR": 30, "DE": 70}, "gender": {"female": 60, "male": 40}, "registered_year": {"2020": 100},
    "registered_month": {"2020-01": 40, "2020-03": 60}, "age_band": {"18-24": 100}, "generation": {"Gen Z": 100},
}  # fmt: skip


class FakeStores:
    """Every store holds 100 users, one of them named `name`; `down` names the stores that do not answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down: set[str] = set()
        self.counts: dict[str, dict[str, int]] = COUNTS
        self.quarantine = {"BAD_EMAIL": 25}
        self.batches = [queries.Batch(3, NOW, NOW + timedelta(seconds=2), None, 9, 8, 1, 8, 0)]
        self.read = {0: 7}
        self.messages = [topics.Seen(TOPIC, 0, 9, NOW, name, 3, f"event_id={name}", name)]
        self.state = ledger.State.CLOSED

    def install(self, patch: Any) -> None:
        patch.setattr(stores, "_session", self._cassandra)
        patch.setattr(connections, "postgres", self._postgres)
        patch.setattr(queries, "counts", lambda _, dimension: self.counts.get(dimension, {}))
        patch.setattr(queries, "latest", self._latest)
        patch.setattr(queries, "by_country", self._registered)
        patch.setattr(queries, "by_month", self._registered)
        patch.setattr(queries, "geo_sample", self._places)
        patch.setattr(queries, "open_quarantine", lambda _: self.quarantine)
        patch.setattr(queries, "quarantine_samples", self._refused)
        patch.setattr(queries, "last_batches", lambda *_: self.batches)
        patch.setattr(queries, "flow_facts", self._flow_facts)
        patch.setattr(import_module("insights.ledger.flow"), "read_until", lambda *_: self.read)
        patch.setattr(topics, "partitions", self._partitions)
        patch.setattr(topics, "last_messages", self._messages)
        patch.setattr(ledger, "flow", self._flow)
        patch.setattr(ledger, "check", self._check)

    def _cassandra(self) -> object:
        if "Cassandra" in self.down:
            raise UserError("No Cassandra node let us in.")
        return object()

    def _postgres(self, *_: object) -> "FakeConnection":
        if "PostgreSQL" in self.down:
            raise UserError("PostgreSQL did not let us in.")
        return FakeConnection()

    def _kafka(self) -> None:
        if "Kafka" in self.down:
            raise KafkaException("no broker")

    def _latest(self, _: object, limit: int) -> list[queries.Arrival]:
        if not self.counts:
            return []
        arrival = queries.Arrival(NOW, UUID(int=1), self.name, "female", 30, "FR", "France", self.name)
        return [arrival][:limit]

    def _registered(self, _: object, value: str, limit: int) -> list[queries.Registered]:
        return [queries.Registered(NOW, UUID(int=1), f"{self.name} of {value}", "female", 30, "FR")][:limit]

    def _places(self, *_: object) -> list[queries.Place]:
        return [queries.Place("FR", self.name, 48.0, 2.0, True), queries.Place("FR", None, -48.0, 2.0, False)]

    def _refused(self, _: object, reason: str, limit: int) -> list[queries.Refused]:
        return [queries.Refused(NOW, reason, "email", self.name, "users.raw/0/1", 0, 900)][:limit]

    def _flow_facts(self, *_: object) -> queries.FlowFacts:
        return queries.FlowFacts(1130, 5, 1125, 1100, 25, NOW, NOW)

    def _partitions(self, settings: KafkaSettings) -> list[topics.Partition]:
        self._kafka()
        return [topics.Partition(settings.raw_topic, 0, 2, 10), topics.Partition(settings.quarantine_topic, 0, 0, 4)]

    def _messages(self, *_: object) -> list[topics.Seen]:
        self._kafka()
        return self.messages

    def _flow(self, _: object) -> ledger.Flow:
        if self.down:
            raise UserError("a server is away")
        return ledger.Flow(unpublished=11, unread=22, unserved=1, overdue=0, last_batch=3)

    def _check(self, _: object) -> ledger.Ledger:
        if self.down:
            raise UserError("Kafka [is](http://example.org) away; start it.")
        hop = ledger.Hop("served", "a = b", 1, 1, 0, (), (), (), self.state, "It says so.")
        return ledger.Ledger((hop,), NOW, 0.5)


class FakeConnection:
    """Enough of psycopg2's connection for a query that ignores its cursor."""

    def set_session(self, **options: bool) -> None:
        assert options == {"readonly": True, "autocommit": True}

    def cursor(self) -> "FakeConnection":
        return self

    def execute(self, statement: str) -> None:
        assert statement.startswith("SET statement_timeout")

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> "FakeConnection":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""
