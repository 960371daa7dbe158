"""Records that a rule refused: one row each in PostgreSQL, the exact truth, and a copy on the quarantine topic."""

from dataclasses import dataclass
from datetime import datetime

from insights.model.message import BATCH_ID, EVENT_ID, EVENT_TIME, REDRIVES, VERSION, Headers, to_epoch_milliseconds
from insights.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A refused record. `origin` is `topic/partition/offset`, or `staging/<id>` for one that could not be published."""

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
    """Bytes of the value as it came."""
    sha256: str
    """Of the value as it came, in hexadecimal."""
    payload: bytes | None
    """The value without credentials; none where it is too large to keep."""

    def headers(self) -> Headers:
        """Headers of the copy on the quarantine topic."""
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
