"""How the stream's entry point wires its parts."""

from types import SimpleNamespace

import pytest
from pyspark.errors import PySparkException

from insights.sinks.delivery_record import DeliveryRecord
from insights.sinks.executor_writes import SparkStores
from insights.stream import query
from insights.stream.start import StreamStart
from jobs import stream_users


class FakeTransformation:
    """A transformation without Spark, which records the limit of values."""

    limits: list[int]
    encode_outcomes = transform = None

    def __init__(self, _messages: object, max_value_bytes: int, *_: object) -> None:
        self.limits.append(max_value_bytes)

    def warm_up(self) -> None:
        pass


@pytest.fixture(autouse=True)
def without_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    spark = SimpleNamespace(streams=SimpleNamespace(addListener=lambda _: None), stop=lambda: None)
    monkeypatch.setenv("INSIGHTS_STREAM_HTTP_PORT", "0")
    monkeypatch.setattr(query, "make_spark_session", lambda _: spark)
    monkeypatch.setattr(stream_users, "count_new_dimensions", lambda *_: [])
    monkeypatch.setattr(DeliveryRecord, "find_restore", lambda _: None)
    monkeypatch.setattr(stream_users, "refill_cassandra", lambda *_: 0)
    monkeypatch.setattr(stream_users, "resolve_start", lambda *_: StreamStart("checkpoint", "earliest", "id", 0, 1000))
    monkeypatch.setattr(stream_users, "deliver_orphans", lambda *_: 0)
    monkeypatch.setattr(DeliveryRecord, "begin", lambda _: None)
    monkeypatch.setattr(query, "read_topic", lambda *_: None)
    monkeypatch.setattr(query, "warm_up_source", lambda *_: None)
    monkeypatch.setattr(FakeTransformation, "limits", [], raising=False)
    monkeypatch.setattr(stream_users, "Transformation", FakeTransformation)
    monkeypatch.setattr(SparkStores, "warm_up", lambda _: None)
    monkeypatch.setattr(query, "start_query", lambda *_: None)
    monkeypatch.setattr(query, "run_query", lambda *_: None)


def test_the_stream_rejects_messages_larger_than_the_topic_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSIGHTS_KAFKA_MAX_MESSAGE_BYTES", "2000000")
    assert stream_users.main() == 0
    assert FakeTransformation.limits == [2_000_000]


@pytest.mark.parametrize("step", ["refill_cassandra", "warm_up"])
def test_a_failed_job_before_the_query_ends_the_stream_with_a_sentence(
    step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise PySparkException("no executor reaches Cassandra")

    monkeypatch.setattr(SparkStores if step == "warm_up" else stream_users, step, fail)
    assert stream_users.main() == 1
    assert capsys.readouterr().err.splitlines()[-1] == "error: The stream failed: no executor reaches Cassandra"
