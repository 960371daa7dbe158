"""The message on the raw topic: a staged payload, unchanged, with headers that identify its row, page and version."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

from insights.model.digest import digest_cells

SCHEMA_VERSION = "1"
EVENT_ID = "event_id"
BATCH_ID = "batch_id"
VERSION = "version"
EVENT_TIME = "event_time"
REDRIVES = "redrives"

Headers = list[tuple[str, bytes]]
EVENT_ID_FORMAT = r"[0-9]{1,19}|[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}"
"""Matches a whole event id, in the syntax common to Python and Java. A header that does not match is ignored, and the
message is identified by its coordinates."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message of the raw topic. `version` is in microseconds, `event_time` is UTC to the millisecond."""

    event_id: str
    key: UUID
    value: bytes
    batch_id: str
    version: int
    event_time: datetime
    redrives: int = 0

    def headers(self) -> Headers:
        """Return the message's headers in the form that librdkafka takes."""
        headers = [
            (EVENT_ID, self.event_id.encode()),
            (BATCH_ID, self.batch_id.encode()),
            ("schema_version", SCHEMA_VERSION.encode()),
            (VERSION, b"%d" % self.version),
            (EVENT_TIME, b"%d" % to_epoch_milliseconds(self.event_time)),
            ("traceparent", make_traceparent(self.batch_id, self.event_id).encode()),
        ]
        if self.redrives:
            headers.append((REDRIVES, b"%d" % self.redrives))
        return headers


def digest_record(event_id: str, key: str, batch_id: str, milliseconds: str, value: bytes) -> int:
    """The digest of what a staged row and each of its messages have in common: everything but the version.

    `milliseconds`: the event time since 1970, in decimal.
    """
    texts = (event_id, key, batch_id, milliseconds)
    return digest_cells((*(text.encode() for text in texts), value))


def make_traceparent(batch_id: str, event_id: str) -> str:
    """Return a W3C trace context with the page as the trace and the row as the span, so that no hop needs a lookup."""
    span = sha256(f"{batch_id}/{event_id}".encode()).hexdigest()[:16]
    return f"00-{make_page_trace(batch_id)[0]}-{span}-01"


@lru_cache(maxsize=64)
def make_page_trace(batch_id: str) -> tuple[str, str]:
    """Return the trace id of a page and the id of its span, in hexadecimal."""
    digest = sha256(batch_id.encode()).hexdigest()
    return digest[:32], digest[32:48]


def to_epoch_milliseconds(instant: datetime) -> int:
    """Return whole milliseconds since 1970, without rounding errors."""
    elapsed = instant - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
