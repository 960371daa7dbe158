"""Spans that OpenTelemetry's SDK exports by OTLP over HTTP, in the background.

The SDK reads the other standard variables itself, such as `OTEL_EXPORTER_OTLP_HEADERS`. A collector that does not
answer costs nothing but the spans: they wait in a bounded queue, and the oldest are dropped.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from itertools import islice

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from insights.model.message import make_page_trace
from insights.text import mask_url

MAX_LINKS = 32
CLOSE_SECONDS = 3.0
"""How long the end of a process, as of a task, waits for its last spans to be sent."""
_log = logging.getLogger(__name__)
_chosen_ids: ContextVar[SpanContext | None] = ContextVar("chosen_ids", default=None)


class ExportedSpans:
    """The spans of one component on their way to a collector; close them."""

    def __init__(self, component: str, endpoint: str) -> None:
        # What the SDK logs at every attempt to export, `_ReportedExporter` logs once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        resource = Resource.create({SERVICE_NAME: component, **OTELResourceDetector().detect().attributes})
        self._provider = TracerProvider(resource=resource, id_generator=_ChosenIds(), shutdown_on_exit=False)
        self._exporter = _ReportedExporter(endpoint)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("insights")

    @contextmanager
    def page(self, batch_id: str) -> Iterator[dict[str, str | int]]:
        """See `Spans.page`. An attempt that fails is a child of the span that the page has once it is ingested."""
        started, page = time.time_ns(), _make_page_context(batch_id)
        attributes: dict[str, str | int] = {"insights.batch_id": batch_id}
        try:
            yield attributes
        except Exception:
            with self._tracer.start_as_current_span(
                "ingest page", set_span_in_context(NonRecordingSpan(page)), start_time=started, attributes=attributes
            ):
                raise
        token = _chosen_ids.set(page)
        try:
            span = self._tracer.start_span("ingest page", Context(), start_time=started, attributes=attributes)
        finally:
            _chosen_ids.reset(token)
        span.end()

    @contextmanager
    def batch(
        self, name: str, pages: Iterable[str | None], started_at: datetime | None = None
    ) -> Iterator[dict[str, str | int]]:
        """See `Spans.batch`."""
        distinct = dict.fromkeys(batch_id for batch_id in pages if batch_id)
        contexts = [_make_page_context(batch_id) for batch_id in islice(distinct, MAX_LINKS)]
        parent = set_span_in_context(NonRecordingSpan(contexts[0]), Context()) if contexts else Context()
        attributes: dict[str, str | int] = {"insights.pages": len(distinct)}
        with self._tracer.start_as_current_span(
            name,
            parent,
            links=[Link(context) for context in contexts],
            start_time=int(started_at.timestamp() * 1e9) if started_at else None,
        ) as span:
            try:
                yield attributes
            finally:
                span.set_attributes(attributes)

    def step(self, name: str, seconds: float) -> None:
        """See `Spans.step`."""
        ended = time.time_ns()
        self._tracer.start_span(name, start_time=ended - int(seconds * 1e9)).end(ended)

    def close(self) -> None:
        """Send what is left, for `CLOSE_SECONDS` at most."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            self._exporter.report(failing=True)


def _make_page_context(batch_id: str) -> SpanContext:
    trace_id, span_id = make_page_trace(batch_id)
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class _ChosenIds(RandomIdGenerator):
    """Random ids, except for the span of a page."""

    def generate_trace_id(self) -> int:
        chosen = _chosen_ids.get()
        return chosen.trace_id if chosen else super().generate_trace_id()

    def generate_span_id(self) -> int:
        chosen = _chosen_ids.get()
        return chosen.span_id if chosen else super().generate_span_id()


class _ReportedExporter(SpanExporter):
    """Logs a line when spans can no longer be sent, and when they can be again."""

    def __init__(self, endpoint: str) -> None:
        self._exporter, self._endpoint = OTLPSpanExporter(), mask_url(endpoint)
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self.report(failing=result is not SpanExportResult.SUCCESS)
        return result

    def report(self, *, failing: bool) -> None:
        """Log whether spans can be sent, if that is news."""
        if failing and not self._failing:
            _log.warning("%s accepts no spans; they are dropped until it does", self._endpoint)
        elif self._failing and not failing:
            _log.info("%s accepts spans again", self._endpoint)
        self._failing = failing

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]
