"""Each component does its whole job with its own role, which allows nothing else."""

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest
from cassandra import Unauthorized
from pydantic import SecretStr

from insights.clients import connections
from insights.clients.kafka_admin import get_admin, read_watermarks
from insights.errors import NotReadyError, RefusedError, UserError
from insights.ingest.pacer import Pacer
from insights.ledger.check import check_ledger, read_totals
from insights.ledger.history import read_last_check
from insights.ledger.stores import open_cursor
from insights.migrations.grant_cassandra import grant_cassandra
from insights.migrations.grant_postgres import grant_postgres
from insights.migrations.wait import require_cassandra, require_postgres
from insights.model.quarantine import QuarantineRecord, RejectedRecord
from insights.model.reasons import Reason
from insights.queries import pipeline as flow
from insights.queries import search
from insights.queries import users as user_queries
from insights.repair import retention
from insights.repair.recount import recount
from insights.repair.redrive import redrive
from insights.repair.redrive_selection import RedriveSelection
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, StoreSettings, StreamSettings
from insights.sinks import postgres as store
from insights.sinks.delivery import write_merged
from insights.staging.load import load_page
from insights.staging.retention import drop_expired
from tests.helpers import accepted_users
from tests.helpers.component_logins import Logins, drop_logins, execute_as_superuser, make_logins
from tests.helpers.publisher_process import read_cursor, run_publisher
from tests.helpers.staged_pages import MadePage, make_records, run_sql
from tests.helpers.store_delivery import RealStores
from tests.helpers.support import eventually


@pytest.fixture
def superuser(
    empty_postgres: PostgresSettings, kafka: KafkaSettings, empty_cassandra: CassandraSettings
) -> StoreSettings:
    return StoreSettings(empty_postgres, kafka, empty_cassandra)


@pytest.fixture
def fresh(superuser: StoreSettings, tmp_path: Path) -> Iterator[Logins]:
    """Logins to stores without tables."""
    logins = make_logins(superuser, tmp_path)
    yield logins
    drop_logins(superuser, logins)


@pytest.fixture
def logins(fresh: Logins) -> Logins:
    fresh.migrate()
    return fresh


def ingest(logins: Logins, count: int, page: int) -> None:
    """Stage a page of so many records and one row that is none."""
    rejected = [RejectedRecord(Reason.SCHEMA, "value", "", 4, "0" * 64, b"null")]
    with closing(connections.connect_postgres(logins.of("ingest").postgres, "ingest")) as connection:
        assert Pacer(connection, "http://source.example/").reserve(count + 1)[0] == 0
        load_page(connection, MadePage(make_records(count), page=page, rejected=rejected), "ingest_users", "run")


def publish(logins: Logins, total: int) -> None:
    stores = logins.of("publisher")
    with run_publisher(stores.postgres, stores.kafka):
        eventually(lambda: read_cursor(stores.postgres)["published"] == total, message="the publisher did not publish")


def stream(logins: Logins, number: int, version: int) -> None:
    """Write every staged user to the sinks but one, which is rejected."""
    stores = logins.of("stream")
    *staged, rejected = run_sql(logins.owner.postgres, "SELECT id::text, user_key::text FROM staging.users ORDER BY id")
    dice = random.Random(number)
    rows = [
        accepted_users.user(
            dice,
            UUID(key),
            version,
            event,
            country_code=("DE", "US")[number % 2],
            city="Köln",
            latitude=1.0,
            longitude=2.0,
            event_time=datetime.now(UTC).replace(microsecond=0),
        )
        for event, key in staged
    ]
    watermarks = read_watermarks(get_admin(stores.kafka), stores.kafka.raw_topic)
    spans = {str(part): list(span) for part, span in watermarks.items()}
    batch = store.MicroBatchId("query", number, {stores.kafka.raw_topic: spans}, datetime.now(UTC))
    accepted = accepted_users.encode(rows)
    with (
        closing(connections.connect_postgres(stores.postgres, "stream")) as connection,
        connections.open_cassandra(stores.cassandra) as session,
    ):
        merged = store.merge_batch(connection, batch, accepted, [[quarantine_record(*rejected)]])
        assert merged.accepted == len(rows)
        assert not write_merged(RealStores(connection, session), [merged.seq], len(rows), skip_refused=False)
        store.mark_delivered(connection, batch)


def quarantine_record(event: str, key: str) -> QuarantineRecord:
    return QuarantineRecord(
        origin=f"raw/0/{event}",
        event_id=event,
        reason=Reason.BAD_EMAIL,
        field="email",
        detail="no @",
        key=key,
        batch_id="seed/1",
        version=1,
        event_time=datetime.now(UTC),
        redrives=0,
        size=2,
        sha256="x",
        payload=b"{}",
    )


def query(logins: Logins) -> None:
    """Run the queries of the dashboard and of the release's test."""
    stores = logins.of("dashboard")
    ledger = check_ledger(stores)
    assert ledger.closed, [hop.sentence for hop in ledger.open_hops()]
    assert read_totals(stores).served == 9
    with connections.open_cassandra(stores.cassandra) as session:
        [country] = user_queries.read_counts(session, "country_code")
        [first, *_] = search.fetch_page(session, search.UserFilter(country), None, 5).users
        assert user_queries.fetch_user(session, first.user_id) is not None
        assert search.fetch_page(session, search.UserFilter(since=f"{first.registered_at:%Y-%m}"), None, 5).users
        assert len(user_queries.sample_places(session, [country], 50)) == 9
        assert user_queries.list_latest_arrivals(session, 5)
    with (
        closing(connections.connect_postgres(stores.postgres, "dashboard")) as connection,
        connection.cursor() as cursor,
    ):
        connection.set_session(readonly=True, autocommit=True)
        assert len(flow.list_last_batches(cursor, 5)) == 2
        assert flow.count_open_quarantine(cursor) == {"BAD_EMAIL": 1, "SCHEMA": 1}
        assert len(flow.list_quarantine_samples(cursor, "BAD_EMAIL", 5)) == 1
        assert flow.read_hop_totals(cursor, stores.kafka.raw_topic).published == 10


def read(logins: Logins) -> None:
    """Read the users and their counts as a person does."""
    stores = logins.of("reader")
    assert run_sql(stores.postgres, "SELECT count(*) FROM analytics.users") == [(9,)]
    assert run_sql(stores.postgres, "SELECT sum(count) FROM analytics.user_counts WHERE dimension = 'gender'") == [(9,)]
    with connections.open_cassandra(stores.cassandra) as session:
        assert sum(user_queries.read_counts(session, "country_code").values()) == 9
        assert session.execute("SELECT count(*) FROM user_profiles_by_id").one()[0] == 9


def maintain(logins: Logins) -> None:
    """Do the work of the other DAGs: re-drive, check, record the check, and both retentions."""
    stores = logins.of("ingest")
    selection = RedriveSelection(Reason.BAD_EMAIL)
    assert redrive(stores.postgres, selection, publish=lambda messages: len(list(messages))).published == 1
    ledger = check_ledger(stores)
    assert ledger.closed
    with open_cursor(logins.of("dashboard")) as cursor:
        check = read_last_check(cursor)
    assert check is not None
    assert check.checked_at == ledger.checked_at
    now = datetime.now(UTC) + timedelta(days=30)
    with closing(connections.connect_postgres(stores.postgres, "prune")) as connection:
        assert len(drop_expired(connection, now, 14, stores.kafka.raw_topic)) == 1
        assert retention.prune_batches(connection, now, 14).batches == 1
    assert check_ledger(stores).closed


def test_each_component_does_its_whole_job_with_its_own_role(logins: Logins) -> None:
    ingest(logins, 10, page=1)
    owners = run_sql(logins.owner.postgres, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'staging'")
    assert owners == [(logins.owner.postgres.user,)], "a migration could not alter a partition of another owner"
    publish(logins, 10)
    stream(logins, 0, version=1000)
    stream(logins, 1, version=2000)
    query(logins)
    read(logins)
    run_sql(logins.owner.postgres, "UPDATE analytics.user_counts SET count = 77 WHERE dimension = 'gender'")
    as_stream = logins.of("stream")
    assert recount(as_stream.postgres, as_stream.cassandra, StreamSettings())
    maintain(logins)


def test_each_component_can_read_the_applied_migrations(logins: Logins) -> None:
    for user in logins.postgres_roles:
        require_postgres(logins.of(user).postgres)
    for user in logins.cassandra_roles:
        require_cassandra(logins.of(user).cassandra)


FORBIDDEN_SQL = [
    ("dashboard", "INSERT INTO staging.epochs (system_identifier) VALUES (1)"),
    ("dashboard", "DELETE FROM analytics.users"),
    ("dashboard", "UPDATE quarantine.records SET resolved_at = now()"),
    ("dashboard", "SELECT nextval('staging.user_ids')"),
    ("dashboard", 'SET ROLE "{owner}"'),
    ("reader", "SELECT FROM staging.users"),
    ("reader", "SELECT FROM quarantine.records"),
    ("reader", "DELETE FROM analytics.users"),
    ("reader", "CREATE TABLE analytics.mine (id int)"),
    ("publisher", "SELECT FROM analytics.users"),
    ("publisher", "INSERT INTO analytics.user_counts VALUES ('a', 'b', 1, 1)"),
    ("publisher", "DELETE FROM staging.users"),
    ("publisher", "UPDATE quarantine.records SET resolved_at = now()"),
    ("stream", "SELECT FROM staging.users"),
    ("stream", "DELETE FROM analytics.user_counts"),
    ("stream", "DELETE FROM quarantine.records"),
    ("stream", "CREATE TABLE analytics.mine (id int)"),
    ("stream", "INSERT INTO public._yoyo_migration (migration_hash) VALUES ('x')"),
]
FORBIDDEN_CQL = [
    ("dashboard", "INSERT INTO user_counts (dimension, value) VALUES ('a', 'b')"),
    ("dashboard", "TRUNCATE user_profiles_by_id"),
    ("reader", "INSERT INTO user_counts (dimension, value) VALUES ('a', 'b')"),
    ("reader", "SELECT salted_hash FROM system_auth.roles"),
    ("ingest", "INSERT INTO user_counts (dimension, value) VALUES ('a', 'b')"),
    ("stream", "INSERT INTO schema_migrations (name) VALUES ('9999')"),
    ("stream", "DROP TABLE user_profiles_by_id"),
    ("stream", "SELECT * FROM schema_lock"),
    ("stream", "CREATE ROLE other"),
    ("stream", "SELECT salted_hash FROM system_auth.roles"),
]


def test_each_component_is_denied_what_its_job_does_not_need(logins: Logins) -> None:
    for user, statement in FORBIDDEN_SQL:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run_sql(logins.of(user).postgres, statement.format(owner=logins.owner.postgres.user))
    for user, statement in FORBIDDEN_CQL:
        with connections.open_cassandra(logins.of(user).cassandra) as session, pytest.raises(Unauthorized):
            session.execute(statement)
    with (
        pytest.raises(RefusedError, match="are incorrect"),
        connections.open_cassandra(logins.of("publisher").cassandra),
    ):
        pass


def test_a_second_run_changes_nothing_and_revokes_what_is_not_declared(
    logins: Logins, superuser: StoreSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="insights")
    logins.grant()
    assert caplog.messages == []
    role = logins.postgres_roles["dashboard"]
    execute_as_superuser(
        superuser,
        f'GRANT DELETE ON analytics.users TO "{role}"',
        f'GRANT CREATE ON SCHEMA public TO "{role}"',
        f'GRANT CREATE ON DATABASE "{superuser.postgres.dbname}" TO "{role}"',
        f'REVOKE SELECT ON analytics.users FROM "{role}"',
    )
    with connections.open_cassandra(superuser.cassandra) as session:
        name = logins.cassandra_roles["dashboard"]
        session.execute(f"GRANT MODIFY ON KEYSPACE {superuser.cassandra.keyspace} TO {name}")
        session.execute(f"REVOKE SELECT ON user_profiles_by_id FROM {name}")
    logins.grant()
    assert caplog.messages == [
        f"role {role}: privileges updated, 1 granted, 3 revoked",
        f"role {name}: permissions updated, 1 granted, 1 revoked",
    ]
    for statement in ("DELETE FROM analytics.users", "CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run_sql(logins.of("dashboard").postgres, statement)


def test_a_changed_password_is_set(logins: Logins) -> None:
    (logins.passwords / "stream" / "password").write_text("another one")
    changed = logins.of("stream").cassandra.model_copy(update={"password": SecretStr("another one")})

    def succeeds(work: Callable[[], object]) -> bool:
        """Cassandra accepts a second password after five seconds, and every cache has it after two more."""
        try:
            work()
        except UserError as error:
            raise AssertionError(error) from error
        return True

    eventually(lambda: succeeds(logins.grant))
    eventually(lambda: succeeds(lambda: require_cassandra(changed)))


def test_several_users_may_share_a_role_and_a_role_may_be_the_owner(logins: Logins) -> None:
    shared = logins.postgres_roles["stream"]
    grant_postgres(logins.owner.postgres, {"stream": shared, "publisher": shared, "ingest": logins.owner.postgres.user})
    for statement in ("SELECT FROM staging.users", "SELECT FROM analytics.users"):
        assert run_sql(logins.of("stream").postgres, statement) == []
    ingest_as_owner = logins.owner.postgres
    with closing(connections.connect_postgres(ingest_as_owner, "ingest")) as connection:
        assert load_page(connection, MadePage(make_records(1)), "dag", "run").staged == 1


def test_what_an_administrator_has_to_grant_is_reported_in_a_sentence(logins: Logins, superuser: StoreSettings) -> None:
    owner = logins.owner.postgres
    with pytest.raises(NotReadyError, match="no role 'nobody', which INSIGHTS_ACCESS_POSTGRES names for 'stream'"):
        grant_postgres(owner, {"stream": "nobody"})
    member = logins.postgres_roles["ingest"]
    execute_as_superuser(superuser, f'REVOKE "{owner.user}" FROM "{member}"')
    with pytest.raises(NotReadyError, match=f'not a member of .*: GRANT "{owner.user}" TO "{member}"'):
        grant_postgres(owner, logins.postgres_roles)
    with pytest.raises(
        UserError, match="names the unknown user 'streem'; name only ingest, publisher, stream, dashboard, reader"
    ):
        grant_postgres(owner, {"streem": "x"})
    with pytest.raises(UserError, match="run the migrations as the"):
        grant_postgres(logins.of("stream").postgres, {"publisher": logins.postgres_roles["dashboard"]})
    with pytest.raises(UserError, match="run the migrations as a superuser"):
        grant_cassandra(logins.of("stream").cassandra, {"dashboard": "other"}, logins.passwords)
