"""The spans of a page on its way through real servers, to a collector or to none."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.clients.tracing import open_spans
from insights.ingest.pages import PageIngest, RunOfPages
from insights.settings import StoreSettings
from insights.simulator import create_app
from insights.source import SourceClient
from tests.helpers.otlp_collector import ReceivedSpan, collecting
from tests.helpers.publisher_process import run_publisher
from tests.helpers.simulator_server import serving, settings
from tests.helpers.staged_pages import decode_headers, read_topic
from tests.helpers.stream_process import Stream, read_postgres_users
from tests.helpers.support import free_port
from tests.helpers.warm_spark import WarmSpark

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
STEPS = ["transform", "postgres", "cassandra", "quarantine", "mark"]


@pytest.fixture
def move_a_page(
    tmp_path: Path,
    jars: Path,
    stores: StoreSettings,
    warm_spark: WarmSpark,
    connection: PgConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], str]:
    """Moves a page of 50 records through every component, with a collector's address. Returns the stream's log."""

    def move(endpoint: str) -> str:
        monkeypatch.setenv(VARIABLE, endpoint)
        stream = Stream(
            tmp_path, jars, stores.postgres, stores.kafka, stores.cassandra, warm_spark, **{VARIABLE: endpoint}
        )
        with (
            serving(create_app()) as address,
            SourceClient(settings(address)) as client,
            open_spans("insights-ingest") as spans,
            closing(connections.connect_postgres(stores.postgres, "ingest_users")) as staging,
        ):
            PageIngest(client, staging, RunOfPages("dag", "run", "5eed", [1], 50), spans).run()
        with (
            open_spans("insights-publisher") as spans,
            run_publisher(stores.postgres, stores.kafka, spans),
            stream.running() as running,
        ):
            running.wait(lambda: running.metric("last_served_timestamp_seconds") > 0)
            running.wait(lambda: len(read_postgres_users(connection)) == 50)
        return stream.log.read_text()

    return move


def only(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    [span] = [span for span in spans if span.name == name]
    return span


def test_one_trace_has_the_page_its_publication_and_its_delivery(
    move_a_page: Callable[[str], str], stores: StoreSettings
) -> None:
    with collecting() as collector:
        move_a_page(collector.address)
        spans = collector.wait(3 + len(STEPS))
    [trace_id] = {decode_headers(message)["traceparent"].split("-")[1] for message in read_topic(stores.kafka)}
    assert {span.trace_id for span in spans} == {trace_id}
    page, publish, batch = (only(spans, name) for name in ("ingest page", "publish batch", "micro-batch"))
    assert [span.service for span in (page, publish, batch)] == [
        "insights-ingest",
        "insights-publisher",
        "insights-stream",
    ]
    assert [publish.parent_id, batch.parent_id] == [page.span_id, page.span_id]
    assert [publish.links, batch.links] == [[(trace_id, page.span_id)]] * 2
    assert (page.attributes["insights.staged"], publish.attributes["insights.rows"]) == (50, 50)
    assert (batch.attributes["insights.accepted"], batch.attributes["insights.rejected"]) == (50, 0)
    assert [span.name for span in spans if span.parent_id == batch.span_id] == STEPS


def test_without_its_collector_the_flow_is_the_same(move_a_page: Callable[[str], str]) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    log = move_a_page(endpoint)
    assert log.count(f"{endpoint} accepts no spans") == 1
    assert "opentelemetry" not in log
