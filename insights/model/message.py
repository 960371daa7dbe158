"""The message on the raw topic: a staged payload as it is, with headers that say which row, page and version it is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

SCHEMA_VERSION = "1"
EVENT_ID = "event_id"
BATCH_ID = "batch_id"
VERSION = "version"
EVENT_TIME = "event_time"
REDRIVES = "redrives"

Headers = list[tuple[str, bytes]]
EVENT_ID_FORMAT = r"[0-9]{1,19}|[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}"
"""The whole of an event id, in the syntax that Python's `re` and Java's share. A header that says something else says
nothing: the message then goes by its coordinates."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message of the raw topic. `version` is in microseconds, `event_time` UTC to the millisecond."""

    event_id: str
    key: UUID
    value: bytes
    batch_id: str
    version: int
    event_time: datetime
    redrives: int = 0

    def headers(self) -> Headers:
        """The message's headers, as librdkafka takes them."""
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


def make_traceparent(batch_id: str, event_id: str) -> str:
    """W3C trace context: the page is the trace, the row the span, so every hop can name both without a lookup."""
    span = sha256(f"{batch_id}/{event_id}".encode()).hexdigest()[:16]
    return f"00-{_trace(batch_id)}-{span}-01"


@lru_cache(maxsize=64)
def _trace(batch_id: str) -> str:
    return sha256(batch_id.encode()).hexdigest()[:32]


def to_epoch_milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, exactly."""
    elapsed = instant - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
