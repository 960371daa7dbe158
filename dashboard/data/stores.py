"""The stores that the pages ask, each with its connection and answers shared by every visitor."""

import atexit
import logging
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg2
import streamlit as st
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.policies import ConstantReconnectionPolicy
from confluent_kafka import KafkaException

from dashboard.data.answers import AnswerCache, CachedAnswer
from dashboard.data.pool import ConnectionPool
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

RECONNECT_SECONDS = 2.0
REQUEST_SECONDS = 5.0
"""A visitor waits no longer for one answer of Cassandra or PostgreSQL."""
AIRFLOW_PATIENCE = 5
"""Its API is asked that many times less often than the stores: a run lasts minutes, and an answer costs it more."""
CASSANDRA_ERRORS = (DriverException, NoHostAvailable, ConnectionException, OSError, UserError)
STATEMENT_TIMEOUT = f"SET statement_timeout = {int(REQUEST_SECONDS * 1000)}"


@st.cache_resource(show_spinner=False)
def get_refresh_seconds() -> float:
    """How often a page looks again."""
    return max(1.0, load(DashboardSettings).cache_seconds)


@st.cache_resource(show_spinner=False)
def get_store_settings() -> StoreSettings:
    """The settings of the three servers.

    Raises:
        UserError: one of the variables has an impossible value.
    """
    return StoreSettings(load(PostgresSettings), load(KafkaSettings), load(CassandraSettings))


@st.cache_resource(show_spinner=False)
def get_airflow_settings() -> AirflowSettings:
    """The settings of Airflow's API.

    Raises:
        UserError: one of the variables has an impossible value.
    """
    return load(AirflowSettings)


def ask_cassandra(query: Callable[Concatenate[Any, P], T], *arguments: P.args, **named: P.kwargs) -> CachedAnswer[T]:
    """The answer of `query(session, ...)`; hashable arguments."""
    return _cassandra().get(_key(query, arguments, named), lambda: query(_session(), *arguments, **named))


def read_cassandra(query: Callable[[Any], T]) -> T:
    """What `query(session)` returns, read now and not kept.

    Raises:
        UserError: Cassandra does not answer.
    """
    try:
        return query(_session())
    except UserError:
        raise
    except CASSANDRA_ERRORS as error:
        log.warning("Cassandra did not answer: %s", error)
        raise UserError("Cassandra does not answer; try again once it does.") from error


def ask_postgres(query: Callable[Concatenate[Any, P], T], *arguments: P.args, **named: P.kwargs) -> CachedAnswer[T]:
    """The answer of `query(cursor, ...)`, read only; hashable arguments."""

    def ask() -> T:
        return _pool().ask(lambda cursor: query(cursor, *arguments, **named))

    return _postgres().get(_key(query, arguments, named), ask)


def ask_kafka(
    query: Callable[Concatenate[KafkaSettings, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """The answer of `query(settings, ...)`; hashable arguments."""
    return _kafka().get(_key(query, arguments, named), lambda: query(get_store_settings().kafka, *arguments, **named))


def ask_in_flight() -> CachedAnswer[FlowState]:
    """What is in flight now, as Kafka and PostgreSQL tell together."""
    return _flow().get("flow", _in_flight)


def ask_airflow(
    query: Callable[Concatenate[AirflowSettings, P], T], *arguments: P.args, **named: P.kwargs
) -> CachedAnswer[T]:
    """The answer of `query(settings, ...)`; hashable arguments."""
    known = get_airflow_settings()
    quick = known.model_copy(update={"timeout_seconds": min(known.timeout_seconds, REQUEST_SECONDS)})
    return _airflow().get(_key(query, arguments, named), lambda: query(quick, *arguments, **named))


@st.cache_resource(show_spinner=False)
def _session() -> Any:
    """A session that finds back by itself, soon, to a node that was away."""
    stack = ExitStack()
    session = stack.enter_context(connections.open_cassandra(get_store_settings().cassandra))
    atexit.register(stack.close)
    session.cluster.reconnection_policy = ConstantReconnectionPolicy(RECONNECT_SECONDS, None)
    session.cluster.profile_manager.default.request_timeout = REQUEST_SECONDS
    return session


def _connection() -> Any:
    """A connection that reads only, and not for long."""
    connection = connections.connect_postgres(get_store_settings().postgres, "dashboard")
    connection.set_session(readonly=True, autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(STATEMENT_TIMEOUT)
    return connection


def _in_flight() -> FlowState:
    kafka = get_store_settings().kafka
    watermarks = kafka_admin.read_watermarks(kafka_admin.get_admin(kafka), kafka.raw_topic, REQUEST_SECONDS)
    return _pool().ask(lambda cursor: measure_flow_state(cursor, kafka.raw_topic, watermarks))


@st.cache_resource(show_spinner=False)
def _pool() -> ConnectionPool:
    return ConnectionPool(_connection)


@st.cache_resource(show_spinner=False)
def _cassandra() -> AnswerCache:
    return AnswerCache("Cassandra", load(DashboardSettings).cache_seconds, CASSANDRA_ERRORS)


@st.cache_resource(show_spinner=False)
def _postgres() -> AnswerCache:
    return AnswerCache("PostgreSQL", load(DashboardSettings).cache_seconds, (psycopg2.Error, UserError))


@st.cache_resource(show_spinner=False)
def _kafka() -> AnswerCache:
    return AnswerCache("Kafka", load(DashboardSettings).cache_seconds, (KafkaException, UserError))


@st.cache_resource(show_spinner=False)
def _flow() -> AnswerCache:
    errors = (KafkaException, psycopg2.Error, UserError)
    return AnswerCache("Kafka or PostgreSQL", load(DashboardSettings).cache_seconds, errors)


@st.cache_resource(show_spinner=False)
def _airflow() -> AnswerCache:
    return AnswerCache("Airflow", AIRFLOW_PATIENCE * load(DashboardSettings).cache_seconds, (UserError,))


def _key(query: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    return (query.__module__, query.__qualname__, arguments, *sorted(named.items()))
