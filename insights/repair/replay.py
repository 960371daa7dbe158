"""The replay: publishes staged records again, after a store was lost or a rule changed.

Each message has the same event id and a newer version, so that it replaces the stored user and adds none.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from psycopg2.extensions import connection as PgConnection

from insights.clients import connections
from insights.clients.kafka_produce import republish
from insights.clients.sql import fetch_row
from insights.errors import UserError
from insights.settings import KafkaSettings, PostgresSettings
from insights.staging.read_again import COUNT_PERIOD, make_parameters, read_period
from insights.text import format_count

_APPLICATION = "replay"


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
        if self.since > datetime.now(UTC):
            raise UserError(f"--from {self.since} is in the future; give the time at which the records were fetched.")


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay publishes, by UTC day of fetching, and how many records of the period it leaves out.

    It leaves out records whose user is served from a newer record, and those that a re-drive has corrected.
    """

    days: Mapping[date, int]
    left_out: int


def plan_replay(postgres: PostgresSettings, period: ReplayPeriod) -> ReplayPlan:
    """Decide what a replay of the period would publish.

    Raises:
        UserError: PostgreSQL cannot be reached, retention has dropped records of the period, or there is nothing to
            publish.
    """
    with closing(connections.connect_postgres(postgres, _APPLICATION)) as connection:
        return _plan(connection, period)


def replay(
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    period: ReplayPeriod,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Publish the staged records of the period again and wait for every acknowledgement. Returns their number.

    `progress` is called with the number of messages enqueued so far.

    Raises:
        UserError: as for `plan_replay`, and nothing was published; or the broker did not acknowledge every record.
    """
    with closing(connections.connect_postgres(postgres, _APPLICATION)) as connection:
        _plan(connection, period)
        messages = read_period(connection, period.since, period.until)
        return republish(connections.make_kafka_producer(kafka, "replay"), kafka.raw_topic, messages, progress)


def _plan(connection: PgConnection, period: ReplayPeriod) -> ReplayPlan:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(staged_on), max(staged_on), coalesce(sum(row_count), 0)::bigint FROM staging.pruned"
            " WHERE staged_on < %s AND staged_on + 1 > %s AND row_count > 0",
            (period.until.astimezone(UTC), period.since.astimezone(UTC)),
        )
        first, last, rows = fetch_row(cursor)
        if rows:
            raise UserError(
                f"Retention has dropped {format_count(rows, 'record')} staged from {first} to {last}, which the period"
                f" includes; give --from {last + timedelta(days=1)} or later, and fetch those days again. Nothing was"
                " published."
            )
        cursor.execute(COUNT_PERIOD, make_parameters(period.since, period.until))
        counts = cursor.fetchall()
        plan = ReplayPlan({day: count for day, count, _ in counts if count}, sum(count for *_, count in counts))
        if plan.days:
            return plan
        if plan.left_out:
            raise UserError(
                f"None of the {format_count(plan.left_out, 'record')} of the period can be published again: newer"
                " records of their users, or corrected ones, are served. Nothing was published."
            )
        cursor.execute("SELECT min(event_time), max(event_time) FROM staging.users")
        oldest, newest = fetch_row(cursor)
        kept = f"those in staging were fetched from {oldest} to {newest}" if oldest else "staging is empty"
        raise UserError(
            f"No staged record was fetched from {period.since} to {period.until}; {kept}. Nothing was published."
        )
