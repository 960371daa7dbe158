"""Connections to PostgreSQL, Cassandra and Kafka, opened in the same way by every module."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from cassandra import (
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    ProtocolVersion,
    RequestValidationException,
    UnresolvableContactPoints,
    protocol,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionException
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage
from confluent_kafka import KafkaException, Producer
from psycopg2.extensions import connection as PgConnection

from insights.clients.cassandra_tls import NamedEndPoints, make_tls_context
from insights.errors import NotReadyError, RefusedError, UserError
from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings

CASSANDRA_ERRORS: tuple[type[Exception], ...] = (DriverException, NoHostAvailable, ConnectionException, ErrorMessage)
"""Raised by a statement that Cassandra rejects or does not answer; the driver's exceptions have no common base."""
CASSANDRA_REJECTIONS = (RequestValidationException, protocol.RequestValidationException)
"""Those of them that a repetition of the statement raises again."""
_RECONNECT_SECONDS = 2.0
"""Interval at which a node that is down is tried again; the driver's default grows to ten minutes."""
_NO_DELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
"""Sends a request at once. Otherwise the second of two waits for the acknowledgement of the first, which the server
delays by 40 ms."""
_TCP_USER_TIMEOUT_MILLISECONDS = 30_000
"""How long sent data may stay unacknowledged; with TCP's defaults a lost server goes unnoticed for 15 minutes."""
_LOGIN_REFUSED = re.compile(
    r"authentication failed|role .* does not exist|not permitted to log in|pg_hba\.conf|permission denied|no password"
    r"|certificate|does not support SSL|password are incorrect|requires authentication",
    re.IGNORECASE,
)
"""Matches the reason of a refused login. libpq reports it as text only, and Cassandra's error code for bad credentials
also means that the node could not check them yet."""


def connect_postgres(settings: PostgresSettings, application: str) -> PgConnection:
    """Open a psycopg2 connection; `application` is its name in `pg_stat_activity`.

    Raises:
        NotReadyError: the server does not answer, or has no such database yet.
        RefusedError: the server refuses the login.
    """
    try:
        connection: PgConnection = psycopg2.connect(
            **settings.connection(application),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=4,
            tcp_user_timeout=_TCP_USER_TIMEOUT_MILLISECONDS,
        )
        return connection
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        server = f"PostgreSQL at {settings.host}:{settings.port}"
        if _is_login_refusal(reason):
            raise RefusedError(
                f"{server} refused the login of {settings.user!r} to database {settings.dbname!r} ({reason});"
                " check the INSIGHTS_POSTGRES_* variables."
            ) from error
        raise NotReadyError(
            f"{server} did not accept a connection to database {settings.dbname!r} ({reason});"
            " check that it is running, and the INSIGHTS_POSTGRES_* variables."
        ) from error


def make_cassandra_cluster(settings: CassandraSettings) -> Cluster:
    """A `Cluster` of the driver, not connected yet, with login, TLS, token-aware routing and the settings' consistency.

    Raises:
        NotReadyError: none of the host names resolves.
        UserError: the file of certificates cannot be read.
    """
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(settings.local_dc)),
        consistency_level=ConsistencyLevel.name_to_value[settings.consistency],
        request_timeout=20,
    )
    tls: dict[str, Any] = {}
    try:
        contact_points: list[Any] = settings.contact_points
        if settings.ca_file:
            endpoints = NamedEndPoints(settings)
            contact_points = endpoints.contact_points()
            tls = {"endpoint_factory": endpoints, "ssl_context": make_tls_context(settings)}
        return Cluster(
            contact_points,
            port=settings.port,
            protocol_version=ProtocolVersion.V5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            auth_provider=_make_cassandra_auth(settings),
            connect_timeout=10,
            control_connection_timeout=10,
            reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_SECONDS, None),
            sockopts=[_NO_DELAY],
            **tls,
        )
    except UnresolvableContactPoints as error:
        raise NotReadyError(
            f"None of Cassandra's host names {settings.hosts} resolves;"
            " check that it is running, and INSIGHTS_CASSANDRA_HOSTS."
        ) from error


@contextmanager
def open_cassandra(settings: CassandraSettings, *, use_keyspace: bool = True) -> Iterator[Session]:
    """Open a driver `Session` until the block ends, in the settings' keyspace if `use_keyspace` is true.

    Raises:
        NotReadyError: no node answers.
        RefusedError: the cluster refuses the login.
        UserError: the keyspace does not exist.
    """
    cluster = make_cassandra_cluster(settings)
    try:
        yield _connect_session(cluster, settings, settings.keyspace if use_keyspace else None)
    finally:
        cluster.shutdown()


def make_kafka_producer(settings: KafkaSettings, application: str, config: dict[str, Any] | None = None) -> Producer:
    """A librdkafka `Producer` that is idempotent, waits for all in-sync replicas and compresses with lz4.

    Keys are partitioned as by Java clients. `config` adds or overrides properties.

    Raises:
        UserError: the settings are not a valid configuration.
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
            f"The Kafka client rejects its configuration ({error.args[0].str()}); check the INSIGHTS_KAFKA_* variables."
        ) from None


def _is_login_refusal(reason: str) -> bool:
    return _LOGIN_REFUSED.search(reason) is not None


def _connect_session(cluster: Cluster, settings: CassandraSettings, keyspace: str | None) -> Session:
    try:
        session = cluster.connect()
        if keyspace:
            session.set_keyspace(keyspace)
        return session
    except NoHostAvailable as error:
        reason = _find_first_cause(error)
        nodes = f"{settings.hosts} port {settings.port} in data centre {settings.local_dc!r}"
        if "certificate is not valid for" in reason:
            raise RefusedError(
                f"Cassandra at {nodes} has a certificate for another host ({reason}); set"
                " INSIGHTS_CASSANDRA_SERVER_NAME to a name that every node's certificate contains, or correct"
                " INSIGHTS_CASSANDRA_HOSTS."
            ) from error
        if _is_login_refusal(reason):
            user = repr(settings.username) if settings.username else "an anonymous client"
            raise RefusedError(
                f"Cassandra at {nodes} refused the login of {user} ({reason});"
                " check the INSIGHTS_CASSANDRA_* variables."
            ) from error
        raise NotReadyError(
            f"No Cassandra node of {nodes} accepted a connection ({reason});"
            " check that it is running, and the INSIGHTS_CASSANDRA_* variables."
        ) from error
    except InvalidRequest as error:
        raise UserError(
            f"Cassandra has no keyspace {settings.keyspace!r}; run the migrations (jobs/migrate.py)."
        ) from error


def _make_cassandra_auth(settings: CassandraSettings) -> PlainTextAuthProvider | None:
    if settings.username is None:
        return None
    return PlainTextAuthProvider(settings.username, settings.password.get_secret_value())


def _find_first_cause(error: NoHostAvailable) -> str:
    causes = error.errors.values() if isinstance(error.errors, dict) else error.errors
    return str(next(iter(causes), error))
