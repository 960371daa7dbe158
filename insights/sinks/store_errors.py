"""Tell errors about the rows from outages, by PostgreSQL's SQLSTATE and by the Cassandra driver's classes.

An outage is retried and never bisected; a refusal of rows is bisected and never retried. Anything else, such as a
missing table or privilege, is a fault of the installation that ends the stream.
"""

import psycopg2
from cassandra import InvalidRequest
from cassandra.protocol import InvalidRequestException

_DATA_CLASSES = frozenset({"22", "23", "44", "54", "P0"})
"""SQLSTATE classes of a data exception, a violated constraint or check option, a program limit exceeded (such as the
size of an index row), and an error raised by a trigger's function."""
_OUTAGE_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
"""SQLSTATE classes of a lost connection, a transaction rolled back, insufficient resources, an object in use, an
operator's intervention (such as a shutdown), and an error of the operating system."""
_READ_ONLY = "25006"
"""The server has become a standby: the next connection reaches the new primary."""
CASSANDRA_REFUSALS = (InvalidRequest, InvalidRequestException)
"""Cassandra refuses the request for what is in it. It answers timeouts, overload, lost replicas and failures inside a
node by other classes."""
_WORDS_LENGTH = 200


def is_postgres_refusal(error: psycopg2.Error) -> bool:
    """Whether PostgreSQL refuses the rows themselves."""
    return (error.pgcode or "")[:2] in _DATA_CLASSES


def is_postgres_outage(error: psycopg2.Error) -> bool:
    """Whether PostgreSQL, or the connection to it, is at fault, so that the same work may succeed later."""
    if error.pgcode is None:
        return isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
    return error.pgcode[:2] in _OUTAGE_CLASSES or error.pgcode == _READ_ONLY


def quote_store(error: Exception) -> str:
    """The store's own words in one line of at most 200 characters, without the row that PostgreSQL quotes."""
    diagnostics = getattr(error, "diag", None)
    words = (diagnostics.message_primary if diagnostics else None) or str(error)
    line = " ".join(words.split())
    return line if len(line) <= _WORDS_LENGTH else f"{line[: _WORDS_LENGTH - 1]}…"
