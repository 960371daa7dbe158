"""The replay: publishes staged records again, after a store was lost or a rule changed.

Each message has the same event id and a newer version, so that it replaces the stored user and adds none.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime

from insights.clients import connections
from insights.clients.kafka_produce import republish
from insights.errors import UserError
from insights.settings import KafkaSettings, PostgresSettings
from insights.staging.read_again import read_period


@dataclass(frozen=True, slots=True)
class ReplayPeriod:
    """The half-open period from `since` to `until`, by the time of fetching."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise UserError(
                f"--from {self.since} is not before --to {self.until}; give an earlier --from or a later --to."
            )


def count_by_day(postgres: PostgresSettings, period: ReplayPeriod) -> dict[date, int]:
    """Count the records that a replay would publish, by UTC day of fetching."""
    with closing(connections.connect_postgres(postgres, "replay")) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT (event_time AT TIME ZONE 'UTC')::date, count(*) FROM staging.users"
            " WHERE event_time >= %s AND event_time < %s GROUP BY 1 ORDER BY 1",
            (period.since, period.until),
        )
        return dict(cursor.fetchall())


def replay(
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    period: ReplayPeriod,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Publish the staged records of the period again and wait for every acknowledgement. Returns their number.

    `progress` is called with the number of messages enqueued so far.

    Raises:
        UserError: a store cannot be reached, or the broker did not acknowledge every record.
    """
    with closing(connections.connect_postgres(postgres, "replay")) as connection:
        messages = read_period(connection, period.since, period.until)
        return republish(connections.make_kafka_producer(kafka, "replay"), kafka.raw_topic, messages, progress)
