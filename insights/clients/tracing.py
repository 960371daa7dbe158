"""The spans of a component, which leave by OTLP if an endpoint is set: of pages and batches, never of records.

The trace of a page is that of the `traceparent` of its records. The span of a batch belongs to the trace of its first
page, and has links to the spans of its first `otlp.MAX_LINKS` pages.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Protocol

from insights.settings import TelemetrySettings, load

Attributes = dict[str, str | int]


class Spans(Protocol):
    """The spans of one component. What is written into the yielded attributes becomes part of the span."""

    def page(self, batch_id: str, /) -> AbstractContextManager[Attributes]:
        """The span of the ingest of a page, to which batches with its records have links."""

    def batch(
        self, name: str, pages: Iterable[str | None], started_at: datetime | None = None, /
    ) -> AbstractContextManager[Attributes]:
        """The span of a batch, which began at `started_at` or begins now. `pages`: the batch ids of its records."""

    def step(self, name: str, seconds: float, /) -> None:
        """A span, within that of the running batch, of a step that took so many seconds and has just ended."""


class NoSpans:
    """Makes no spans, and does not read what they would be of."""

    def page(self, _batch_id: str, /) -> AbstractContextManager[Attributes]:
        return nullcontext({})

    def batch(
        self, _name: str, _pages: Iterable[str | None], _started_at: datetime | None = None, /
    ) -> AbstractContextManager[Attributes]:
        return nullcontext({})

    def step(self, _name: str, _seconds: float, /) -> None:
        pass


@contextmanager
def open_spans(component: str) -> Iterator[Spans]:
    """The spans of a component, which is their `service.name` unless OpenTelemetry's own variables name another.

    Raises:
        UserError: the endpoint is not a URL.
    """
    settings = load(TelemetrySettings)
    if not settings.endpoint:
        yield NoSpans()
        return
    from insights.clients import otlp  # Its import takes a third of a second.

    spans = otlp.ExportedSpans(component, settings.endpoint)
    try:
        yield spans
    finally:
        spans.close()
