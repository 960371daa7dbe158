"""What every hop of a flow holds once it is at rest: the input of the checker."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tests.helpers.oracle import Message

Counts = dict[tuple[str, str], int]
"""Users by dimension and value."""
Rows = list[dict[str, Any]]


class ServedPage(NamedTuple):
    """A response of the source: its records as decoded JSON, and the digest of its bytes."""

    records: list[Any]
    sha256: str


class LedgerPage(NamedTuple):
    """A row of `staging.batches`; `name` is its batch id."""

    name: str
    fetched: int
    staged: int
    duplicates: int
    quarantined: int
    sha256: str


class StagedRow(NamedTuple):
    """A row of `staging.users`; `payload` is decoded JSON."""

    id: str
    user_key: str
    version: int
    event_time: datetime
    batch_id: str
    payload: Any


class QuarantineRow(NamedTuple):
    """A row of `quarantine.records`."""

    origin: str
    event_id: str
    reason: str
    payload: bytes | None
    sha256: str


@dataclass
class FlowState:
    """All hops of a flow without anything in flight.

    `awaited` names the pages, by batch id, whose fetch was reported as successful. `foreign` names the messages, as
    `topic/partition/offset`, that did not come from staging.
    """

    served: dict[str, ServedPage] = field(default_factory=dict)
    awaited: set[str] = field(default_factory=set)
    pages: list[LedgerPage] = field(default_factory=list)
    staged: list[StagedRow] = field(default_factory=list)
    topic: list[Message] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    users: Rows = field(default_factory=list)
    superseded: list[tuple[str, str]] = field(default_factory=list)
    """Event ids and user ids."""
    quarantine: list[QuarantineRow] = field(default_factory=list)
    quarantine_topic: list[str] = field(default_factory=list)
    """The origin of each copy."""
    cassandra: dict[str, Rows] = field(default_factory=dict)
    """The rows of each table of users."""
    postgres_counts: Counts = field(default_factory=dict)
    cassandra_counts: Counts = field(default_factory=dict)
