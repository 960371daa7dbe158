"""Errors about rows, outages, and faults of the installation."""

from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from cassandra import AuthenticationFailed, InvalidRequest, OperationTimedOut, Unauthorized, Unavailable, WriteFailure
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import (
    ConfigurationException,
    InvalidRequestException,
    OverloadedErrorMessage,
    ServerError,
    SyntaxException,
)

from insights.sinks.store_errors import CASSANDRA_REFUSALS, is_postgres_outage, is_postgres_refusal, quote_store


def make_error(sqlstate: str | None) -> psycopg2.Error:
    """An error as psycopg2 raises it for this SQLSTATE; many data errors are `OperationalError`s to it."""
    kind = psycopg2.OperationalError if sqlstate is None else psycopg2.errors.lookup(sqlstate)
    error = kind("words of the server")
    error.__setstate__({"pgcode": sqlstate})
    assert error.pgcode == sqlstate
    return error


@pytest.mark.parametrize("sqlstate", ["54000", "22001", "22P02", "22021", "23502", "23505", "23514", "44000", "P0001"])
def test_an_error_about_rows_is_a_refusal(sqlstate: str) -> None:
    error = make_error(sqlstate)
    assert (is_postgres_refusal(error), is_postgres_outage(error)) == (True, False)


@pytest.mark.parametrize(
    "sqlstate",
    [None, "08006", "40001", "40P01", "25006", "53100", "53300", "55P03", "57014", "57P01", "57P03", "58030"],
)
def test_an_outage_is_no_refusal(sqlstate: str | None) -> None:
    error = make_error(sqlstate)
    assert (is_postgres_refusal(error), is_postgres_outage(error)) == (False, True)


@pytest.mark.parametrize("sqlstate", ["42P01", "42703", "42501", "42601", "0A000", "XX001", "28P01", "3D000"])
def test_a_fault_of_the_installation_is_neither(sqlstate: str) -> None:
    error = make_error(sqlstate)
    assert (is_postgres_refusal(error), is_postgres_outage(error)) == (False, False)


@pytest.mark.parametrize("error", [InvalidRequest("no"), InvalidRequestException(0x2200, "no", None)])
def test_an_invalid_request_is_cassandras_refusal(error: Exception) -> None:
    assert isinstance(error, CASSANDRA_REFUSALS)


@pytest.mark.parametrize(
    "error",
    [
        OperationTimedOut(),
        NoHostAvailable("away", {}),
        Unavailable("away"),
        WriteFailure("failed"),
        ServerError(0, "failed", None),
        OverloadedErrorMessage(0x1001, "busy", None),
        Unauthorized("no"),
        AuthenticationFailed("no"),
        SyntaxException(0x2000, "no", None),
        ConfigurationException(0x2300, "no", None),
    ],
)
def test_any_other_error_of_cassandra_is_none(error: Exception) -> None:
    assert not isinstance(error, CASSANDRA_REFUSALS)


def test_a_store_is_quoted_in_one_short_line_without_the_row() -> None:
    error: Any = SimpleNamespace(diag=SimpleNamespace(message_primary='violates check constraint "c"'))
    assert quote_store(error) == 'violates check constraint "c"'
    assert quote_store(ValueError("two\n lines")) == "two lines"
    assert quote_store(ValueError("x" * 500)) == "x" * 199 + "…"
