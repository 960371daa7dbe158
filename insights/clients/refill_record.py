"""Cassandra's record of what it has, the table `refills`: whether it was filled from PostgreSQL, and the last batch.

In it each stream also marks what it begins to write, so that it notices if Cassandra is restored meanwhile.
"""

from cassandra.cluster import Session

from insights import failpoints

PROGRESS_SECONDS = 600
"""How long a refill counts as running after it last reported progress, which it does about every minute."""

_MARK_SECONDS = 7 * 24 * 3600
"""How long a stream's mark is kept, which is longer than a stream writes one batch or fills a keyspace."""


def is_filled(session: Session) -> bool:
    """Whether the keyspace was filled."""
    row = session.execute("SELECT finished_at FROM refills WHERE name = 'all'").one()
    return row is not None and row.finished_at is not None


def is_being_filled(session: Session) -> bool:
    """Whether a stream is filling the keyspace: it lacks rows that are not lost."""
    row = session.execute("SELECT finished_at, progress_at FROM refills WHERE name = 'all'").one()
    return row is not None and row.finished_at is None and row.progress_at is not None


def mark_progress(session: Session) -> None:
    """Record that the keyspace is being filled."""
    session.execute(
        f"INSERT INTO refills (name, progress_at) VALUES ('all', toTimestamp(now())) USING TTL {PROGRESS_SECONDS}"
    )


def mark_filled(session: Session) -> None:
    """Record that the keyspace was filled."""
    session.execute("INSERT INTO refills (name, finished_at) VALUES ('all', toTimestamp(now()))")


def read_delivered_seq(session: Session) -> int | None:
    """The sequence number of the last batch that the keyspace has; None if none was recorded."""
    row = session.execute("SELECT delivered_seq FROM refills WHERE name = 'all'").one()
    return None if row is None else row.delivered_seq


def record_delivered_seq(session: Session, seq: int) -> None:
    """Record the last batch that the keyspace has."""
    session.execute("INSERT INTO refills (name, delivered_seq) VALUES ('all', %s)", (seq,))
    failpoints.reach("cassandra.batch_recorded")


def mark_writing(session: Session, writer: str, mark: int) -> None:
    """Mark what a stream, which has the unique name `writer`, begins to write."""
    session.execute(
        f"INSERT INTO refills (name, delivered_seq) VALUES (%s, %s) USING TTL {_MARK_SECONDS}", (writer, mark)
    )


def read_mark(session: Session, writer: str) -> int | None:
    """The last mark of a stream; None if there is none."""
    row = session.execute("SELECT delivered_seq FROM refills WHERE name = %s", (writer,)).one()
    return None if row is None else row.delivered_seq
