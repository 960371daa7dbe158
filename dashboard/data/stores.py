"""Query the stores. Connections and cached answers are shared by all visitors."""

import atexit
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg2
import streamlit as st
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, Session
from cassandra.connection import ConnectionException
from confluent_kafka import KafkaException
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from dashboard.data.answers import AnswerCache, CachedAnswer
from dashboard.data.pool import ConnectionPool
from dashboard.metrics import count_query
from insights.clients import connections, kafka_admin
from insights.errors import UserError
from insights.ledger.flow_state import FlowState, measure_flow_state
from insights.settings import (
    AirflowSettings,
    CassandraSettings,
    DashboardSettings,
    KafkaSettings,
    PostgresSettings,
    StoreSettings,
    load,
)

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
"""Maximum time that a visitor waits for one answer."""
AIRFLOW_CACHE_FACTOR = 5
"""Airflow's answers are cached this many times longer: a run lasts minutes, and its API is slower than the stores."""
CASSANDRA = "Cassandra"
CASSANDRA_ERRORS = (DriverException, NoHostAvailable, ConnectionException, OSError, UserError)
STATEMENT_TIMEOUT = f"SET statement_timeout = {int(REQUEST_SECONDS * 1000)}"


@st.cache_resource(show_spinner=False)
def get_refresh_seconds() -> float:
    """Return the interval at which a live page refreshes."""
    return max(1.0, load(DashboardSettings).cache_seconds)


@st.cache_resource(show_spinner=False)
def get_store_settings() -> StoreSettings:
    """Return the settings of PostgreSQL, Kafka and Cassandra.

    Raises:
        UserError: a setting has an invalid value.
    """
    return StoreSettings(load(PostgresSettings), load(KafkaSettings), load(CassandraSettings))


@st.cache_resource(show_spinner=False)
def get_airflow_settings() -> AirflowSettings:
    """Return the settings of Airflow's API.

    Raises:
        UserError: a setting has an invalid value.
    """
    return load(AirflowSettings)


def ask_cassandra(
    query: Callable[Concatenate[Session, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """Return the cached answer of `query(session, ...)`; the arguments must be hashable."""
    return _get_cassandra_cache().get(
        _make_key(query, arguments, named), lambda: query(_get_session(), *arguments, **named)
    )


def read_cassandra(query: Callable[[Session], T]) -> T:
    """Return `query(session)`, bypassing the cache.

    Raises:
        UserError: Cassandra does not answer.
    """
    try:
        with count_query(CASSANDRA, CASSANDRA_ERRORS):
            return query(_get_session())
    except UserError:
        raise
    except CASSANDRA_ERRORS as error:
        log.warning("Cassandra did not answer: %s", error)
        raise UserError("Cassandra does not answer; try again once it does.") from error


def ask_postgres(
    query: Callable[Concatenate[PgCursor, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """Return the cached answer of `query(cursor, ...)`, which may only read; the arguments must be hashable."""

    def ask() -> T:
        return _get_pool().ask(lambda cursor: query(cursor, *arguments, **named))

    return _get_postgres_cache().get(_make_key(query, arguments, named), ask)


def ask_kafka(
    query: Callable[Concatenate[KafkaSettings, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """Return the cached answer of `query(settings, ...)`; the arguments must be hashable."""
    return _get_kafka_cache().get(
        _make_key(query, arguments, named), lambda: query(get_store_settings().kafka, *arguments, **named)
    )


def ask_in_flight() -> CachedAnswer[FlowState]:
    """Return what is in flight, cached, as measured from Kafka and PostgreSQL."""
    return _get_in_flight_cache().get("in flight", _measure_in_flight)


def ask_airflow(
    query: Callable[Concatenate[AirflowSettings, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """Return the cached answer of `query(settings, ...)`; the arguments must be hashable."""
    settings = get_airflow_settings()
    bounded = settings.model_copy(update={"timeout_seconds": min(settings.timeout_seconds, REQUEST_SECONDS)})
    return _get_airflow_cache().get(_make_key(query, arguments, named), lambda: query(bounded, *arguments, **named))


@st.cache_resource(show_spinner=False)
def _get_session() -> Session:
    """Open a session whose requests take at most `REQUEST_SECONDS`."""
    stack = ExitStack()
    session = stack.enter_context(connections.open_cassandra(get_store_settings().cassandra))
    atexit.register(stack.close)
    session.cluster.profile_manager.default.request_timeout = REQUEST_SECONDS
    return session


def _connect_postgres() -> PgConnection:
    """Open a read-only connection with a statement timeout."""
    connection = connections.connect_postgres(get_store_settings().postgres, "dashboard")
    connection.set_session(readonly=True, autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT_TIMEOUT)
    return connection


def _measure_in_flight() -> FlowState:
    kafka = get_store_settings().kafka
    watermarks = kafka_admin.read_watermarks(kafka_admin.get_admin(kafka), kafka.raw_topic, REQUEST_SECONDS)
    return _get_pool().ask(lambda cursor: measure_flow_state(cursor, kafka.raw_topic, watermarks))


@st.cache_resource(show_spinner=False)
def _get_pool() -> ConnectionPool:
    return ConnectionPool(_connect_postgres)


@st.cache_resource(show_spinner=False)
def _get_cassandra_cache() -> AnswerCache:
    return AnswerCache(CASSANDRA, load(DashboardSettings).cache_seconds, CASSANDRA_ERRORS)


@st.cache_resource(show_spinner=False)
def _get_postgres_cache() -> AnswerCache:
    return AnswerCache("PostgreSQL", load(DashboardSettings).cache_seconds, (psycopg2.Error, UserError))


@st.cache_resource(show_spinner=False)
def _get_kafka_cache() -> AnswerCache:
    return AnswerCache("Kafka", load(DashboardSettings).cache_seconds, (KafkaException, UserError))


@st.cache_resource(show_spinner=False)
def _get_in_flight_cache() -> AnswerCache:
    errors = (KafkaException, psycopg2.Error, UserError)
    return AnswerCache("Kafka or PostgreSQL", load(DashboardSettings).cache_seconds, errors)


@st.cache_resource(show_spinner=False)
def _get_airflow_cache() -> AnswerCache:
    return AnswerCache("Airflow", AIRFLOW_CACHE_FACTOR * load(DashboardSettings).cache_seconds, (UserError,))


def _make_key(query: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    return (query.__module__, query.__qualname__, arguments, *sorted(named.items()))
