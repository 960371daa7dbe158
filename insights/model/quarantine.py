"""Rejected records: one row each in PostgreSQL, which is authoritative, and a copy on the quarantine topic."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from insights.model.digest import digest_cells
from insights.model.message import BATCH_ID, EVENT_ID, EVENT_TIME, REDRIVES, VERSION, Headers, to_epoch_milliseconds
from insights.model.reasons import Reason
from insights.model.redaction import redact, redact_text


class Refusal(NamedTuple):
    """A sink's refusal of an accepted record: the store, its words, and the version that the record had there."""

    store: str
    detail: str
    version: int


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A row of the source that cannot be staged as JSON. `field` is a path in the record, or `value` for all of it."""

    reason: Reason
    field: str
    detail: str
    size: int
    """Bytes of the row."""
    sha256: str
    """Digest of the row, in hexadecimal."""
    payload: bytes | None
    """The row without credentials; None if it is too large to keep."""


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A rejected record. `origin` is `topic/partition/offset`, or `staging/<id>` of a record that was not published.

    Credentials and the national id are removed from `payload`, `key` and `batch_id` on construction.
    """

    origin: str
    event_id: str
    reason: Reason
    field: str
    detail: str
    key: str | None
    batch_id: str | None
    version: int
    event_time: datetime
    redrives: int
    size: int
    """Bytes of the original value."""
    sha256: str
    """Digest of the original value, in hexadecimal."""
    payload: bytes | None
    """The value without credentials; None if it is too large to keep."""

    def __post_init__(self) -> None:
        # The digest is to the millisecond, as are the headers.
        microsecond = self.event_time.microsecond // 1000 * 1000
        object.__setattr__(self, "event_time", self.event_time.replace(microsecond=microsecond))
        if self.payload is not None:
            object.__setattr__(self, "payload", redact(bytes(self.payload)))
        for name in ("key", "batch_id"):
            if (text := getattr(self, name)) is not None:
                object.__setattr__(self, name, redact_text(text))

    def digest(self) -> int:
        """The digest of every field, which `quarantine.records` keeps beside them."""
        milliseconds = to_epoch_milliseconds(self.event_time)
        texts = (
            *(self.origin, self.event_id, self.reason, self.field, self.detail, self.key, self.batch_id),
            *(self.version, milliseconds, self.redrives, self.size, self.sha256),
        )
        return digest_cells((*(None if text is None else str(text).encode() for text in texts), self.payload))

    def headers(self) -> Headers:
        """Return the headers of the copy on the quarantine topic."""
        texts = {
            "origin": self.origin,
            "reason": self.reason,
            "field": self.field,
            "detail": self.detail,
            EVENT_ID: self.event_id,
            BATCH_ID: self.batch_id or "",
            VERSION: str(self.version),
            EVENT_TIME: str(to_epoch_milliseconds(self.event_time)),
            REDRIVES: str(self.redrives),
            "size": str(self.size),
            "sha256": self.sha256,
        }
        return [(name, text.encode()) for name, text in texts.items()]
