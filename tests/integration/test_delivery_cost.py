"""What a batch costs in statements and requests, which unlike its duration is the same on every machine."""

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from cassandra.connection import Connection
from cassandra.protocol import BatchMessage, ExecuteMessage, QueryMessage
from psycopg2.extensions import connection as PgConnection
from psycopg2.extensions import cursor as PgCursor

from insights.clients import connections
from insights.settings import CassandraSettings
from tests.helpers.accepted_users import user
from tests.helpers.store_delivery import RealStores, deliver, place

FEW, MANY = 200, 2000
REQUESTS_PER_ROW = 0.25
"""Of all tables together, on a single node, where all rows of a batch share their replica."""


class CountingCursor(PgCursor):
    """Counts the statements of all cursors of its class."""

    statements = 0

    def execute(self, *arguments: Any) -> None:
        CountingCursor.statements += 1
        super().execute(*arguments)

    def copy_expert(self, *arguments: Any, **options: Any) -> None:
        CountingCursor.statements += 1
        super().copy_expert(*arguments, **options)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the requests with CQL that this process sends."""
    sent: list[str] = []
    send = Connection.send_msg

    def record(self: Any, message: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(message, (BatchMessage, ExecuteMessage, QueryMessage)):
            sent.append(message.name)
        return send(self, message, *arguments, **options)

    monkeypatch.setattr(Connection, "send_msg", record)
    return sent


@pytest.fixture
def real_stores(connection: PgConnection, cassandra: CassandraSettings) -> Iterator[RealStores]:
    connection.cursor_factory = CountingCursor
    with connections.open_cassandra(cassandra) as session:
        yield RealStores(connection, session)


def make_rows(count: int, seed: int) -> list[dict[str, Any]]:
    random_ = random.Random(seed)
    return [user(random_, UUID(int=random_.getrandbits(128)), 1000 + n, f"{seed}-{n}") for n in range(count)]


def test_the_statements_of_a_batch_do_not_grow_with_its_rows(real_stores: RealStores, requests: list[str]) -> None:
    statements, sent = {}, {}
    deliver(real_stores, 0, place(0, make_rows(FEW, 0)))
    for number, count in ((1, FEW), (2, MANY)):
        before, requests_before = CountingCursor.statements, len(requests)
        deliver(real_stores, number, place(number, make_rows(count, number)))
        statements[count], sent[count] = CountingCursor.statements - before, len(requests) - requests_before
    assert 0 < statements[MANY] == statements[FEW], statements
    assert 0 < (sent[MANY] - sent[FEW]) / (MANY - FEW) <= REQUESTS_PER_ROW, sent
