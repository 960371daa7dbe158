"""Fake stores that answer from memory and can be taken down."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaException
from psycopg2 import OperationalError

from dashboard.data import messages, stores, topic_offsets
from insights.clients import airflow, connections
from insights.errors import UserError
from insights.ledger import check as ledger_check
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import Hop, Ledger, LedgerState
from insights.queries import pipeline, search
from insights.queries import users as user_queries
from insights.settings import KafkaSettings

NOW = datetime.now(UTC)
TOPIC = KafkaSettings().raw_topic
COUNTS = {
    "country_code": {"FR": 30, "DE": 70},
    "gender": {"female": 60, "male": 40},
    "registered_year": {"2020": 100},
    "registered_month": {"2020-01": 40, "2020-03": 60},
    "age_band": {"18-24": 100},
    "generation": {"Gen Z": 100},
    "registered_weekday": {"1": 90, "7": 10},
    "email_domain": {"example.com": 100},
}

CROSS_COUNTS: dict[str, dict[tuple[str | None, ...], int]] = {
    "gender_age_band": {("female", "18-24"): 60, ("male", "18-24"): 40},
    "country_city": {("FR", "Nantes"): 20, ("FR", None): 10, ("DE", "Ulm"): 70},
    "month_country": {("2020-01", "FR"): 10, ("2020-01", "DE"): 30, ("2020-03", "FR"): 20, ("2020-03", "DE"): 40},
    "year_generation": {("2020", "Gen Z"): 100},
}


class FakeStores:
    """Stores that hold 100 users, whose names contain `name`; `down` names the stores that do not answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.down: set[str] = set()
        self.counts: dict[str, dict[str, int]] = COUNTS
        self.cross_counts: dict[str, dict[tuple[str | None, ...], int]] = CROSS_COUNTS
        self.users = [
            search.UserSummary(
                NOW - timedelta(hours=number),
                UUID(int=number),
                f"{name} No. {number}",
                "female" if number % 2 else "male",
                30,
                "FR" if number % 10 < 3 else "DE",
                "example.com",
            )
            for number in range(100)
        ]
        self.minutes = [pipeline.MinuteTotals(NOW - timedelta(minutes=minute), 60, 5, 1) for minute in (1, 0)]
        self.latency: pipeline.LatencyPercentiles | None = pipeline.LatencyPercentiles(1.5, 2.5, 4.25, 100)
        self.rejections = [pipeline.HourlyRejections(NOW.replace(minute=0, second=0, microsecond=0), "BAD_EMAIL", 25)]
        self.runs = [pipeline.IngestRun("ingest_users", name, 2, 105, 100, 5, NOW - timedelta(seconds=9), NOW)]
        self.quarantine = {"BAD_EMAIL": 25}
        self.batches = [
            pipeline.BatchSummary(3, NOW, NOW + timedelta(seconds=2), None, 9, 8, 1, 8, 0, None, None, None)
        ]
        self.stream_offsets = {0: 7}
        self.messages = [messages.MessageSummary(TOPIC, 0, 9, NOW, name, 3, f"event_id={name}", name)]
        self.full_message: messages.FullMessage | None = messages.FullMessage(
            NOW, name, 3, [("event_id", name)], name, False
        )
        self.reads: list[tuple[object, ...]] = []
        self.complete = True
        self.state = LedgerState.CLOSED
        self.flow = FlowState(unpublished=11, unread=22, undelivered=1, overdue=0, last_batch=3)
        self.airflow_runs = [airflow.DagRun(name, "success", "manual", NOW, NOW, {})]

    def install(self, patch: Any) -> None:
        patch.setattr(stores, "_get_session", self._open_cassandra)
        patch.setattr(connections, "connect_postgres", self._connect_postgres)
        patch.setattr(user_queries, "read_counts", lambda _, dimension: self.counts.get(dimension, {}))
        patch.setattr(user_queries, "list_latest_arrivals", self._list_arrivals)
        patch.setattr(user_queries, "fetch_user", self._fetch_user)
        patch.setattr(search, "fetch_page", self._fetch_page)
        patch.setattr(search, "iterate_users", lambda _, user_filter, __: iter(self._filter_users(user_filter)))
        patch.setattr(search, "count_users", self._count_users)
        patch.setattr(user_queries, "sample_places", self._sample_places)
        patch.setattr(user_queries, "read_cross_counts", self._read_cross_counts)
        patch.setattr(user_queries, "read_cross_counts_since", self._read_cross_counts_since)
        patch.setattr(pipeline, "count_open_quarantine", lambda _: self.quarantine)
        patch.setattr(pipeline, "list_quarantine_samples", self._list_samples)
        patch.setattr(pipeline, "count_rejections_per_hour", lambda *_: self.rejections)
        patch.setattr(pipeline, "list_last_batches", lambda *_: self.batches)
        patch.setattr(pipeline, "read_hop_totals", self._read_hop_totals)
        patch.setattr(pipeline, "count_arrivals_per_minute", lambda *_: self.minutes)
        patch.setattr(pipeline, "measure_latency", lambda *_: self.latency)
        patch.setattr(pipeline, "list_ingest_runs", lambda *_: self.runs)
        patch.setattr(
            import_module("insights.ledger.flow_state"), "read_stream_offsets", lambda *_: self.stream_offsets
        )
        patch.setattr(topic_offsets, "list_partition_offsets", self._list_partitions)
        patch.setattr(messages, "fetch_page", self._fetch_messages)
        patch.setattr(messages, "search_key", self._search_key)
        patch.setattr(messages, "fetch_message", self._fetch_message)
        patch.setattr(stores, "_measure_in_flight", self._measure_flow)
        patch.setattr(ledger_check, "check_ledger", self._check_ledger)
        patch.setattr(pipeline, "count_superseded", lambda *_: 7)
        patch.setattr(airflow, "list_last_runs", self._list_last_runs)

    def _open_cassandra(self) -> object:
        if "Cassandra" in self.down:
            raise UserError("No Cassandra node accepted a connection.")
        return object()

    def _connect_postgres(self, *_: object) -> "FakeConnection":
        if "PostgreSQL" in self.down:
            raise UserError("PostgreSQL did not accept a connection.")
        return FakeConnection(self)

    def _require_kafka(self) -> None:
        if "Kafka" in self.down:
            raise KafkaException("no broker")

    def _read_cross_counts(
        self, _: object, dimension: str, first: str | None = None
    ) -> dict[tuple[str | None, ...], int]:
        cross_counts = self.cross_counts if self.counts else {}
        return {
            values: count
            for values, count in cross_counts.get(dimension, {}).items()
            if first is None or values[0] == first
        }

    def _read_cross_counts_since(self, _: object, dimension: str, first: str) -> dict[tuple[str | None, ...], int]:
        cross_counts = self.cross_counts if self.counts else {}
        return {
            values: count for values, count in cross_counts.get(dimension, {}).items() if (values[0] or "") >= first
        }

    def _list_arrivals(self, _: object, limit: int) -> list[user_queries.Arrival]:
        if not self.counts:
            return []
        arrival = user_queries.Arrival(NOW, UUID(int=1), self.name, "female", 30, "FR", "France", self.name)
        return [arrival][:limit]

    def _filter_users(self, user_filter: search.UserFilter) -> list[search.UserSummary]:
        self._open_cassandra()
        return [
            user
            for user in self.users
            if user_filter.country_code in (None, user.country_code)
            and user_filter.gender in (None, user.gender)
            and (user_filter.since or "") <= f"{user.registered_at:%Y-%m}" <= (user_filter.until or "9")
        ]

    def _fetch_page(
        self, _: object, user_filter: search.UserFilter, cursor: search.KeysetCursor | None, limit: int
    ) -> search.UserPage:
        users = self._filter_users(user_filter)
        begin = (
            1 + [search.KeysetCursor(user.registered_at, user.user_id) for user in users].index(cursor) if cursor else 0
        )
        last = users[begin : begin + limit][-1:]
        more = begin + limit < len(users)
        following = search.KeysetCursor(last[0].registered_at, last[0].user_id) if last and more else None
        return search.UserPage(tuple(users[begin : begin + limit]), following, None)

    def _count_users(self, _: object, user_filter: search.UserFilter) -> int | None:
        return None if user_filter.country_code and user_filter.gender else len(self._filter_users(user_filter))

    def _fetch_user(self, _: object, user_id: UUID) -> dict[str, Any] | None:
        return next(
            ({"full_name": user.full_name, "user_id": user_id} for user in self.users if user.user_id == user_id), None
        )

    def _sample_places(self, *_: object) -> list[user_queries.SampledPlace]:
        return [
            user_queries.SampledPlace("FR", self.name, 48.0, 2.0, True),
            user_queries.SampledPlace("FR", None, -48.0, 2.0, False),
        ]

    def _list_samples(self, _: object, reason: str, limit: int) -> list[pipeline.QuarantineSample]:
        return [
            pipeline.QuarantineSample(
                NOW, reason, "email", self.name, "users.raw/0/1", 0, 900, b'{"email": "at.example"}'
            )
        ][:limit]

    def _read_hop_totals(self, *_: object) -> pipeline.HopTotals:
        return pipeline.HopTotals(1130, 1125, 5, 1125, 1100, 25, NOW, NOW)

    def _list_partitions(self, settings: KafkaSettings) -> list[topic_offsets.PartitionOffsets]:
        self._require_kafka()
        return [
            topic_offsets.PartitionOffsets(settings.raw_topic, 0, 2, 10, NOW),
            topic_offsets.PartitionOffsets(settings.quarantine_topic, 0, 0, 4),
        ]

    def _fetch_messages(self, _: KafkaSettings, *query: object) -> messages.MessagePage:
        """There are two pages: the newest, and an older one."""
        self._require_kafka()
        self.reads.append(query)
        newest = query[2] == ()
        return messages.MessagePage(self.messages, ((0, 5),) if newest else (), not newest, self.complete)

    def _search_key(self, _: KafkaSettings, *query: object) -> messages.MessagePage:
        self._require_kafka()
        self.reads.append(query)
        return messages.MessagePage(self.messages, (), False, True)

    def _fetch_message(self, *_: object) -> messages.FullMessage | None:
        self._require_kafka()
        return self.full_message

    def _measure_flow(self) -> FlowState:
        if self.down:
            raise UserError("a server is away")
        return self.flow

    def _list_last_runs(self, *_: object) -> list[airflow.DagRun]:
        if "Airflow" in self.down:
            raise UserError("Airflow does not answer.")
        return self.airflow_runs

    def _check_ledger(self, _: object) -> Ledger:
        if self.down:
            raise UserError("Kafka [is](http://example.org) away; start it.")
        hop = Hop("served", "a = b", 1, 1, 0, (), (), (), self.state, "It says so.")
        return Ledger((hop,), NOW, 0.5)


class FakeConnection:
    """A psycopg2 connection for queries that ignore their cursor; it fails once PostgreSQL is down."""

    closed = 0

    def __init__(self, stores: FakeStores) -> None:
        self._stores = stores

    def set_session(self, **options: bool) -> None:
        assert options == {"readonly": True, "autocommit": True}

    def cursor(self) -> "FakeConnection":
        if "PostgreSQL" in self._stores.down:
            self.closed = 2
            raise OperationalError("server closed the connection unexpectedly")
        return self

    def execute(self, statement: str) -> None:
        assert statement.startswith("SET statement_timeout")

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> "FakeConnection":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""
