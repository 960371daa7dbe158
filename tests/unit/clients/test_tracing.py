"""Spans of pages and batches: none without an endpoint, and without a collector nothing but a line in the log."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from insights.clients import otlp
from insights.clients.otlp import MAX_LINKS
from insights.clients.tracing import Spans, open_spans
from insights.model.message import make_page_trace, make_traceparent
from tests.helpers.otlp_collector import Collector, ReceivedSpan, collecting
from tests.helpers.support import REPOSITORY, eventually, free_port


@pytest.fixture(autouse=True)
def few_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "HEADERS", "TRACES_ENDPOINT"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    level = logging.getLogger("opentelemetry").level
    monkeypatch.setattr(logging.getLogger("opentelemetry"), "level", level)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        yield collector


def only(spans: list[ReceivedSpan], name: str) -> ReceivedSpan:
    [span] = [span for span in spans if span.name == name]
    return span


def fail_page(spans: Spans, batch_id: str) -> None:
    with pytest.raises(RuntimeError), spans.page(batch_id):
        raise RuntimeError("the source is away")


def test_without_an_endpoint_nothing_is_imported_or_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    program = """
import sys
from insights.clients.tracing import open_spans
def pages():
    raise RuntimeError("read")
    yield
with open_spans("test") as spans, spans.page("seed/1") as page, spans.batch("publish batch", pages()) as batch:
    page["a"] = batch["a"] = 1
    spans.step("mark", 0.1)
sys.exit("opentelemetry" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True)


def test_the_trace_of_a_page_is_that_of_its_records(collector: Collector) -> None:
    with open_spans("insights-ingest") as spans, spans.page("seed/1") as attributes:
        attributes["insights.staged"] = 7
    [span] = collector.wait(1)
    assert (span.trace_id, span.span_id) == make_page_trace("seed/1")
    assert make_traceparent("seed/1", "12").split("-")[1] == span.trace_id
    assert (span.service, span.name, span.parent_id, span.failed) == ("insights-ingest", "ingest page", "", False)
    assert span.attributes == {"insights.batch_id": "seed/1", "insights.staged": 7}
    assert collector.requests[0][0] == "/v1/traces"


def test_a_failed_attempt_is_a_child_of_the_span_of_its_page(collector: Collector) -> None:
    with open_spans("test") as spans:
        fail_page(spans, "seed/1")
        with spans.page("seed/1"):
            pass
    [failed, done] = collector.wait(2)
    assert (failed.failed, done.failed) == (True, False)
    assert (failed.trace_id, failed.parent_id) == (done.trace_id, done.span_id)
    assert failed.span_id != done.span_id


def test_a_batch_belongs_to_its_first_page_and_has_links_to_some(collector: Collector) -> None:
    pages = [f"seed/{number // 3}" for number in range(3 * MAX_LINKS + 30)]
    started_at = datetime.now(UTC) - timedelta(seconds=50)
    with open_spans("test") as spans:
        with spans.batch("micro-batch", [None, *pages], started_at) as attributes:
            attributes["insights.accepted"] = 5
            spans.step("postgres", 20)
        with spans.batch("publish batch", []):
            pass
    received = collector.wait(3)
    batch, step, alone = (only(received, name) for name in ("micro-batch", "postgres", "publish batch"))
    assert batch.links == [make_page_trace(f"seed/{number}") for number in range(MAX_LINKS)]
    assert (batch.trace_id, batch.parent_id) == make_page_trace("seed/0")
    assert batch.attributes == {"insights.pages": MAX_LINKS + 10, "insights.accepted": 5}
    assert batch.nanoseconds[0] == int(started_at.timestamp() * 1e9)
    assert (step.trace_id, step.parent_id) == (batch.trace_id, batch.span_id)
    assert step.nanoseconds[1] - step.nanoseconds[0] == 20_000_000_000
    assert batch.nanoseconds[0] < step.nanoseconds[0] < step.nanoseconds[1] <= batch.nanoseconds[1]
    assert (alone.parent_id, alone.links) == ("", [])
    assert alone.trace_id != batch.trace_id


def test_a_failed_batch_says_so(collector: Collector) -> None:
    with open_spans("test") as spans, pytest.raises(RuntimeError), spans.batch("micro-batch", ["seed/1"]):
        raise RuntimeError("no space left")
    assert only(collector.wait(1), "micro-batch").failed


def test_standard_variables_name_the_service_and_the_headers(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-token=abc")
    with open_spans("test") as spans, spans.page("seed/1"):
        pass
    assert collector.wait(1)[0].service == "other"
    assert collector.requests[0][1]["x-token"] == "abc"


def test_a_collector_that_refuses_is_logged_once_until_it_accepts(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address.replace("//", "//someone:c4nary@"))
    collector.status = 400
    with open_spans("test") as spans:
        for number in range(1, 4):
            with spans.page(f"seed/{number}"):
                pass
            eventually(lambda number=number: len(collector.requests) >= number)  # type: ignore[misc]
        collector.status = 200
        with spans.page("seed/4"):
            pass
        collector.wait(1)
    assert caplog.messages == [
        f"{collector.address} accepts no spans; they are dropped until it does",
        f"{collector.address} accepts spans again",
    ]


def test_no_collector_costs_a_line_of_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with open_spans("test") as spans:
        for number in range(5000):
            with spans.page(f"seed/{number}"):
                pass
    assert caplog.messages == [f"{address} accepts no spans; they are dropped until it does"]


def test_a_collector_that_does_not_answer_keeps_no_process(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(otlp, "CLOSE_SECONDS", 0.1)
    collector.answering.clear()
    with open_spans("test") as spans, spans.page("seed/1"):
        pass
    assert "OtelBatchSpanRecordProcessor" in {thread.name for thread in threading.enumerate()}
    assert caplog.messages == [f"{collector.address} accepts no spans; they are dropped until it does"]
