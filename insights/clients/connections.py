"""Connections to the three servers, opened the same way by every module."""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from cassandra import ConsistencyLevel, DriverException, InvalidRequest, ProtocolVersion, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage
from confluent_kafka import KafkaException, Producer
from psycopg2.extensions import connection as PgConnection

from insights.errors import NotReadyError, RefusedError, UserError
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings

CASSANDRA_ERRORS: tuple[type[Exception], ...] = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage)
"""What a statement raises when Cassandra refuses it or goes away: the driver has no class above all of them."""
_SILENT_SERVER_MILLISECONDS = 30_000
"""A server that went away without a word is noticed after this long; TCP's own default is a quarter of an hour."""
_LOGIN_REFUSED = re.compile(
    r"authentication failed|role .* does not exist|not permitted to log in|pg_hba\.conf|permission denied|no password"
    r"|certificate|does not support SSL|password are incorrect|requires authentication",
    re.IGNORECASE,
)
"""libpq tells the reason as text only; Cassandra's code for bad credentials also means that it could not look yet."""


def connect_postgres(settings: PostgresSettings, application: str) -> PgConnection:
    """A new psycopg2 connection; `application` names it in `pg_stat_activity`.

    Raises:
        NotReadyError: no server answers, or it has no such database.
        RefusedError: it refuses the login.
    """
    try:
        connection: PgConnection = psycopg2.connect(
            **settings.connection(application),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=_SILENT_SERVER_MILLISECONDS,
        )
        return connection
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise _refusal(reason)(
            f"PostgreSQL at {settings.host}:{settings.port} did not let {settings.user!r} into database"
            f" {settings.dbname!r} ({reason}); check that it runs and the INSIGHTS_POSTGRES_* variables."
        ) from error


def make_cassandra_cluster(settings: CassandraSettings) -> Cluster:
    """An unconnected driver `Cluster`: authentication, TLS, token-aware routing and the settings' consistency.

    Raises:
        NotReadyError: none of the servers' names resolves.
        UserError: the consistency is not a level of Cassandra.
    """
    consistency = ConsistencyLevel.name_to_value.get(settings.consistency.upper())
    if consistency is None:
        raise UserError(
            f"INSIGHTS_CASSANDRA_CONSISTENCY is {settings.consistency!r}; set it to one of"
            f" {', '.join(ConsistencyLevel.name_to_value)}."
        )
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.local_dc)),
        consistency_level=consistency,
        request_timeout=20,
    )
    try:
        return Cluster(
            settings.contact_points,
            port=settings.port,
            protocol_version=ProtocolVersion.V5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            auth_provider=_cassandra_login(settings),
            ssl_context=_cassandra_tls(settings),
            connect_timeout=10,
            control_connection_timeout=10,
        )
    except UnresolvableContactPoints as error:
        raise NotReadyError(
            f"No name of Cassandra's nodes {settings.hosts} resolves; check that it runs and INSIGHTS_CASSANDRA_HOSTS."
        ) from error


@contextmanager
def open_cassandra(settings: CassandraSettings, *, use_keyspace: bool = True) -> Iterator[Session]:
    """A driver `Session` for the length of a `with`, in the settings' keyspace unless `use_keyspace` is false.

    Raises:
        NotReadyError: no server answers.
        RefusedError: it refuses the login.
        UserError: the keyspace is absent.
    """
    cluster = make_cassandra_cluster(settings)
    try:
        yield _cassandra_session(cluster, settings, settings.keyspace if use_keyspace else None)
    finally:
        cluster.shutdown()


def make_kafka_producer(settings: KafkaSettings, application: str, config: dict[str, Any] | None = None) -> Producer:
    """A librdkafka `Producer` that loses nothing: idempotent, acknowledged by all replicas, lz4.

    A key's partition is the one that Java clients choose. `config` adds properties, or overrides them.

    Raises:
        UserError: the settings do not make a configuration.
    """
    properties = settings.client() | {
        "client.id": application,
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "message.max.bytes": max(1000, settings.max_message_bytes),
    }
    try:
        return Producer(properties | (config or {}))
    except KafkaException as error:
        raise UserError(
            f"Kafka's client refuses its configuration ({error.args[0].str()}); check the INSIGHTS_KAFKA_* variables."
        ) from None


def _refusal(reason: str) -> type[UserError]:
    return RefusedError if _LOGIN_REFUSED.search(reason) else NotReadyError


def _cassandra_session(cluster: Cluster, settings: CassandraSettings, keyspace: str | None) -> Session:
    try:
        session = cluster.connect()
        if keyspace:
            session.set_keyspace(keyspace)
        return session
    except NoHostAvailable as error:
        reason = _first_cause(error)
        raise _refusal(reason)(
            f"No Cassandra node of {settings.hosts} port {settings.port} in data centre {settings.local_dc!r} let us in"
            f" ({reason}); check that it runs and the INSIGHTS_CASSANDRA_* variables."
        ) from error
    except InvalidRequest as error:
        raise UserError(
            f"Cassandra has no keyspace {settings.keyspace!r}; run the migrations (jobs/migrate.py)."
        ) from error


def _cassandra_login(settings: CassandraSettings) -> PlainTextAuthProvider | None:
    if settings.username is None:
        return None
    return PlainTextAuthProvider(settings.username, settings.password.get_secret_value())


def _cassandra_tls(settings: CassandraSettings) -> ssl.SSLContext | None:
    if settings.ca_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file))
    except OSError as error:
        raise UserError(
            f"INSIGHTS_CASSANDRA_CA_FILE is {str(settings.ca_file)!r}: {error.strerror or error};"
            " set it to a file of PEM certificates."
        ) from None
    # The driver reaches nodes by the addresses they announce, which certificates do not name: the authority decides.
    context.check_hostname = False
    return context


def _first_cause(error: NoHostAvailable) -> str:
    causes = error.errors.values() if isinstance(error.errors, dict) else error.errors
    return str(next(iter(causes), error))
