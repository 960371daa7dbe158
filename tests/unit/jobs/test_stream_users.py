"""How the stream's entry point wires its parts."""

from types import SimpleNamespace

import pytest

from insights.sinks.executor_writes import SparkStores
from insights.stream import query
from insights.stream.start import StreamStart
from jobs import stream_users


def test_the_stream_rejects_messages_larger_than_the_topic_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int] = []

    class Transformation:
        encode_outcomes = transform = None

        def __init__(self, _messages: object, max_value_bytes: int, *_: object) -> None:
            limits.append(max_value_bytes)

        def warm_up(self) -> None:
            pass

    spark = SimpleNamespace(streams=SimpleNamespace(addListener=lambda _: None), stop=lambda: None)
    monkeypatch.setenv("INSIGHTS_KAFKA_MAX_MESSAGE_BYTES", "2000000")
    monkeypatch.setenv("INSIGHTS_STREAM_HTTP_PORT", "0")
    monkeypatch.setattr(query, "make_spark_session", lambda _: spark)
    monkeypatch.setattr(stream_users, "count_new_dimensions", lambda *_: [])
    monkeypatch.setattr(stream_users, "refill_cassandra", lambda *_: 0)
    monkeypatch.setattr(stream_users, "resolve_start", lambda *_: StreamStart("checkpoint", "earliest", "id", 0))
    monkeypatch.setattr(stream_users, "deliver_orphans", lambda *_: 0)
    monkeypatch.setattr(query, "read_topic", lambda *_: None)
    monkeypatch.setattr(stream_users, "Transformation", Transformation)
    monkeypatch.setattr(SparkStores, "warm_up", lambda _: None)
    monkeypatch.setattr(query, "start_query", lambda *_: None)
    monkeypatch.setattr(query, "run_query", lambda *_: None)
    assert stream_users.main() == 0
    assert limits == [2_000_000]
