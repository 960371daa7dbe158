"""Cassandra's record of whether it was filled from PostgreSQL, or is being filled, in the table `refills`."""

from cassandra.cluster import Session

PROGRESS_SECONDS = 600
"""How long a refill counts as running after it last reported progress, which it does about every minute."""


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
