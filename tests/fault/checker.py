"""Judge a flow at rest: compare every hop with what the source served and with what the oracle says of each message.

No code of the product is used, so that a fault of the product cannot hide itself. Anomalies have the names that Jepsen
gives them: `lost-write`, `duplicate`, `phantom`, `nonmonotonic`; `garbled` content, a `miscount` and a `leak` are ours.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any, NamedTuple

from insights.model.user import User
from tests.fault.flow_state import FlowState, QuarantineRow, ServedPage, StagedRow
from tests.fault.recording_source import encode, is_stageable
from tests.helpers import dimension_oracle
from tests.helpers.oracle import Message, parse, read_envelope
from tests.helpers.oracle.document import Rejection

PARSED_AT_ONCE = 1000
USER_TABLES = ("user_profiles_by_id", "user_summaries_by_country", "user_summaries_by_month")
DIGEST = re.compile(r"\b(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})\b")
"""A digest of a password, by which a leak is recognised: no two users have the same."""


class Anomaly(NamedTuple):
    """Something wrong at a hop, and the id of what is concerned."""

    kind: str
    hop: str
    id: str
    detail: str = ""


def check(state: FlowState) -> list[Anomaly]:
    """Return every anomaly of a flow at rest."""
    verdicts = Verdicts(state.topic)
    return [
        *check_pages(state),
        *check_staging(state),
        *check_topic(state),
        *check_users("postgres", state.users, verdicts),
        *check_superseded(state, verdicts),
        *check_quarantine(state, verdicts),
        *(anomaly for table in USER_TABLES for anomaly in check_users(table, state.cassandra.get(table, []), verdicts)),
        *check_arrivals(state.cassandra.get("latest_arrivals", []), verdicts),
        *check_counts("postgres counts", state.postgres_counts, state.users),
        *check_counts("cassandra counts", state.cassandra_counts, state.users),
        *check_secrets(state),
    ]


class Verdicts:
    """What the oracle says of every message: the users that must be stored, and the messages that must be rejected."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.rejected: dict[str, str] = {}
        self.accepted: dict[tuple[str, int], dict[str, Any]] = {}
        self.events: set[tuple[str, str]] = set()
        for message, verdict in zip(messages, parse_all(messages), strict=True):
            if isinstance(verdict, Rejection):
                self.rejected[name_origin(message)] = str(verdict.reason)
                continue
            user = asdict(verdict) | {"user_id": str(verdict.user_id)}
            self.accepted[user["user_id"], user["version"]] = user
            self.events.add((user["event_id"], user["user_id"]))
        newest: dict[str, int] = {}
        for user_id, version in self.accepted:
            newest[user_id] = max(version, newest.get(user_id, version))
        self.newest = {user_id: self.accepted[user_id, version] for user_id, version in newest.items()}


def parse_all(messages: Sequence[Message]) -> Iterable[User | Rejection]:
    """The verdict of each message, computed on all processors if there are many."""
    if len(messages) < PARSED_AT_ONCE:
        return map(parse, messages)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(parse, messages, chunksize=PARSED_AT_ONCE))


def check_pages(state: FlowState) -> Iterator[Anomaly]:
    """Each page that was reported as staged was served and is staged as a whole."""
    recorded = [page.name for page in state.pages]
    yield from compare_ids("page", state.awaited, recorded, also_allowed=set(state.served))
    for page in state.pages:
        served = state.served.get(page.name)
        if served is None:
            continue
        if page.sha256 != served.sha256:
            yield Anomaly("garbled", "page", page.name, "its digest is not that of what was served")
        if page.fetched != len(served.records) or page.fetched != page.staged + page.duplicates + page.quarantined:
            yield Anomaly("garbled", "page", page.name, f"{page} of {len(served.records)} served records")


def check_staging(state: FlowState) -> Iterator[Anomaly]:
    """Each record of a recorded page is staged once, unchanged but for credentials, or in quarantine once."""
    served: dict[str, list[Any]] = {}
    unstageable: set[str] = set()
    for page in state.pages:
        for record in state.served.get(page.name, ServedPage([], "")).records:
            if is_stageable(record):
                served.setdefault(read_key(record), []).append(remove_credentials(record))
            else:
                unstageable.add(hashlib.sha256(encode(record)).hexdigest())
    yield from compare_ids("staging", set(served), [row.user_key for row in state.staged])
    yield from find_duplicates("staging", [row.id for row in state.staged])
    for row in state.staged:
        if row.user_key in served and row.payload not in served[row.user_key]:
            yield Anomaly("garbled", "staging", row.id, "the payload differs from what was served")
    yield from compare_ids("quarantine", unstageable, [row.sha256 for row in list_unstaged(state)])


def check_topic(state: FlowState) -> Iterator[Anomaly]:
    """Each staged row is on the topic at least once, unchanged, or in quarantine because it is too large."""
    staged = {row.id: row for row in state.staged}
    unsent = {row.event_id for row in state.quarantine if row.origin.startswith("staging/")}
    unsent -= {row.event_id for row in list_unstaged(state)}
    sent: dict[str, list[Message]] = {}
    for message in state.topic:
        if name_origin(message) not in state.foreign:
            sent.setdefault(read_envelope(message).event_id, []).append(message)
    for id_ in staged.keys() - sent.keys() - unsent:
        yield Anomaly("lost-write", "topic", id_)
    for id_ in (sent.keys() | unsent) - staged.keys():
        yield Anomaly("phantom", "topic", id_)
    for id_ in sent.keys() & staged.keys():
        yield from check_messages(staged[id_], sent[id_])


def list_unstaged(state: FlowState) -> list[QuarantineRow]:
    """The quarantined rows of pages, which staging does not have."""
    staged = {row.id for row in state.staged}
    return [row for row in state.quarantine if row.origin.startswith("staging/") and row.event_id not in staged]


def check_messages(row: StagedRow, messages: list[Message]) -> Iterator[Anomaly]:
    """The first message of a row is the row itself; later ones repeat it or, after a replay or re-drive, are newer."""
    envelopes = [read_envelope(message) for message in messages]
    original = [m for m, envelope in zip(messages, envelopes, strict=True) if envelope.version == row.version]
    if any((message.key or b"").decode() != row.user_key for message in messages):
        yield Anomaly("garbled", "topic", row.id, "the key is not that of the row")
    if any(json.loads(message.value or b"null") != row.payload for message in original):
        yield Anomaly("garbled", "topic", row.id, "the value differs from the staged payload")
    if not original or min(envelope.version for envelope in envelopes) < row.version:
        yield Anomaly("garbled", "topic", row.id, "the version is not that of the row")
    if any(e.batch_id != row.batch_id or e.event_time != row.event_time for e in envelopes):
        yield Anomaly("garbled", "topic", row.id, "the headers are not those of the row")
    firsts = list(dict.fromkeys(envelope.version for envelope in envelopes))
    if firsts != sorted(firsts):
        yield Anomaly("nonmonotonic", "topic", row.id, f"versions were sent in the order {firsts}")


def check_users(hop: str, rows: list[dict[str, Any]], verdicts: Verdicts) -> Iterator[Anomaly]:
    """A table holds each accepted user once, in its newest version, with the content that the oracle computes."""
    yield from compare_ids(hop, set(verdicts.newest), [row["user_id"] for row in rows])
    for row in rows:
        newest = verdicts.newest.get(row["user_id"])
        if newest is None:
            continue
        if row["version"] != newest["version"]:
            known = (row["user_id"], row["version"]) in verdicts.accepted
            kind = "nonmonotonic" if known else "phantom"
            yield Anomaly(kind, hop, row["user_id"], f"version {row['version']} instead of {newest['version']}")
        else:
            yield from compare_content(hop, row, newest)


def check_arrivals(rows: list[dict[str, Any]], verdicts: Verdicts) -> Iterator[Anomaly]:
    """Each row of the latest arrivals is a version of a user that was accepted. The table keeps only some."""
    for row in rows:
        accepted = verdicts.accepted.get((row["user_id"], row["version"]))
        if accepted is None:
            yield Anomaly("phantom", "latest_arrivals", row["user_id"])
        else:
            yield from compare_content("latest_arrivals", row, accepted)


def check_superseded(state: FlowState, verdicts: Verdicts) -> Iterator[Anomaly]:
    """Each event of an accepted message is stored or superseded."""
    stored = {(user["event_id"], user["user_id"]) for user in verdicts.newest.values()}
    expected = {f"{event}/{user}" for event, user in verdicts.events - stored}
    yield from compare_ids("superseded", expected, [f"{event}/{user}" for event, user in state.superseded])


def check_quarantine(state: FlowState, verdicts: Verdicts) -> Iterator[Anomaly]:
    """Exactly the rejected messages are in quarantine, once, for the right reason, and copied at least once."""
    rows = [row for row in state.quarantine if not row.origin.startswith("staging/")]
    yield from compare_ids("quarantine", set(verdicts.rejected), [row.origin for row in rows])
    for row in rows:
        if row.reason != verdicts.rejected.get(row.origin, row.reason):
            detail = f"{row.reason} instead of {verdicts.rejected[row.origin]}"
            yield Anomaly("garbled", "quarantine", row.origin, detail)
    yield from compare_ids("quarantine topic", {row.origin for row in rows}, sorted(set(state.quarantine_topic)))


def check_counts(hop: str, counts: Mapping[tuple[str, str], int], rows: list[dict[str, Any]]) -> Iterator[Anomaly]:
    """The counts are those of the rows of PostgreSQL, grouped by each dimension; a zero is as good as none."""
    exact: Counter[tuple[str, str]] = Counter()
    for dimension in (*dimension_oracle.SINGLE, *dimension_oracle.CROSSED):
        for row in rows:
            value = dimension_oracle.value(row, dimension)
            if value != "None":
                exact[dimension, value] += 1
    for key in sorted(exact.keys() | counts.keys()):
        if counts.get(key, 0) != exact[key]:
            yield Anomaly("miscount", hop, "=".join(key), f"{counts.get(key, 0)} instead of {exact[key]}")


def check_secrets(state: FlowState) -> Iterator[Anomaly]:
    """No digest of a password that was served is at any hop."""
    secrets = {
        digest
        for page in state.served.values()
        for record in page.records
        for digest in ((record.get("login") or {}).get(name) for name in ("md5", "sha1", "sha256"))
        if digest
    }
    texts = [
        *(("staging", row.id, json.dumps(row.payload)) for row in state.staged),
        *(("topic", name_origin(m), (m.value or b"").decode("utf-8", "replace")) for m in state.topic),
        *(("quarantine", row.origin, (row.payload or b"").decode("utf-8", "replace")) for row in state.quarantine),
    ]
    for hop, id_, text in texts:
        if secrets & set(DIGEST.findall(text)):
            yield Anomaly("leak", hop, id_, "it contains a digest of a password")


def compare_ids(
    hop: str, expected: set[str], actual: list[str], also_allowed: set[str] | None = None
) -> Iterator[Anomaly]:
    """Yield the ids that are missing, superfluous or repeated."""
    for id_ in sorted(expected - set(actual)):
        yield Anomaly("lost-write", hop, id_)
    for id_ in sorted(set(actual) - expected - (also_allowed or set())):
        yield Anomaly("phantom", hop, id_)
    yield from find_duplicates(hop, actual)


def find_duplicates(hop: str, ids: Iterable[Hashable]) -> Iterator[Anomaly]:
    for id_, times in Counter(ids).items():
        if times > 1:
            yield Anomaly("duplicate", hop, str(id_), f"{times} times")


def compare_content(hop: str, row: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[Anomaly]:
    differing = [name for name in row if name in expected and row[name] != expected[name]]
    if differing:
        detail = ", ".join(f"{name}: {row[name]!r} instead of {expected[name]!r}" for name in differing)
        yield Anomaly("garbled", hop, row["user_id"], detail)


def remove_credentials(record: dict[str, Any]) -> dict[str, Any]:
    """The record as it may be staged: without credentials and the value of the national id."""
    login = {
        name: value
        for name, value in (record.get("login") or {}).items()
        if name not in ("password", "salt", "md5", "sha1", "sha256")
    }
    identity = {name: value for name, value in (record.get("id") or {}).items() if name != "value"}
    return record | ({"login": login} if "login" in record else {}) | ({"id": identity} if "id" in record else {})


def read_key(record: dict[str, Any]) -> str:
    return str(record["login"]["uuid"])


def name_origin(message: Message) -> str:
    return f"{message.topic}/{message.partition}/{message.offset}"


def describe(anomalies: list[Anomaly], limit: int = 20) -> str:
    """The anomalies for a test's message: how many of each kind and hop, then the first."""
    counted = Counter((anomaly.kind, anomaly.hop) for anomaly in anomalies)
    summary = [f"{number} x {kind} at {hop}" for (kind, hop), number in counted.items()]
    return "\n".join(["", *summary, *(str(anomaly) for anomaly in anomalies[:limit])])
