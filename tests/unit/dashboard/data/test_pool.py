"""Pooled connections, and what happens to those that the server has closed."""

from contextlib import nullcontext

import pytest
from psycopg2 import OperationalError, ProgrammingError

from dashboard.data.pool import IDLE, ConnectionPool


class Connection:
    """A connection whose cursor is its number."""

    def __init__(self, number: int) -> None:
        self.number, self.closed, self.lost = number, 0, False

    def cursor(self):
        if self.lost:
            self.closed = 2
            raise OperationalError("terminating connection due to administrator command")
        return nullcontext(self.number)

    def close(self) -> None:
        self.closed = 1


class Server:
    def __init__(self) -> None:
        self.opened: list[Connection] = []

    def connect(self) -> Connection:
        self.opened.append(Connection(len(self.opened)))
        return self.opened[-1]

    def restart(self) -> None:
        for connection in self.opened:
            connection.lost = True


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pool(server) -> ConnectionPool:
    return ConnectionPool(server.connect)


def fail(_):
    raise ProgrammingError("no such column")


def test_a_connection_is_reused_for_the_next_query(pool, server):
    assert [pool.ask(lambda number: number) for _ in range(5)] == [0] * 5
    assert len(server.opened) == 1


def test_two_concurrent_queries_have_a_connection_each_and_both_are_kept(pool, server):
    assert pool.ask(lambda outer: (outer, pool.ask(lambda inner: inner))) == (0, 1)
    assert {pool.ask(lambda number: number) for _ in range(5)} <= {0, 1}
    assert len(server.opened) == 2


def test_only_a_few_idle_connections_are_kept(pool):
    def nested(depth: int):
        return pool.ask(lambda number: [number, *(nested(depth - 1) if depth else [])])

    assert len(set(nested(2 * IDLE))) == 2 * IDLE + 1
    assert len(pool._idle) == IDLE


def test_a_restarted_server_is_queried_on_a_new_connection(pool, server):
    pool.ask(lambda _: pool.ask(lambda inner: inner))
    server.restart()
    assert pool.ask(lambda number: number) == 2
    assert pool.ask(lambda number: number) == 2


def test_a_failed_query_is_not_retried_and_its_connection_is_not_kept(pool, server):
    pool.ask(lambda number: number)
    with pytest.raises(ProgrammingError):
        pool.ask(fail)
    assert server.opened[0].closed == 1
    assert pool.ask(lambda number: number) == 1


def test_a_server_that_stays_down_is_tried_once(server):
    def connect():
        connection = server.connect()
        connection.lost = bool(len(server.opened) > 1)
        return connection

    pool = ConnectionPool(connect)
    pool.ask(lambda number: number)
    server.restart()
    with pytest.raises(OperationalError):
        pool.ask(lambda number: number)
    assert len(server.opened) == 2
