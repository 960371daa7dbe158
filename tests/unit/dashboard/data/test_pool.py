"""Connections that are kept between questions, and what becomes of those that the server closed."""

from contextlib import nullcontext

import pytest
from psycopg2 import OperationalError, ProgrammingError

from dashboard.data.pool import IDLE, ConnectionPool


class Connection:
    """Its cursor is its number."""

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


def refused(_):
    raise ProgrammingError("no such column")


def test_a_connection_serves_one_question_after_the_other(pool, server):
    assert [pool.ask(lambda number: number) for _ in range(5)] == [0] * 5
    assert len(server.opened) == 1


def test_two_questions_at_once_have_a_connection_each_and_both_are_kept(pool, server):
    assert pool.ask(lambda outer: (outer, pool.ask(lambda inner: inner))) == (0, 1)
    assert {pool.ask(lambda number: number) for _ in range(5)} <= {0, 1}
    assert len(server.opened) == 2


def test_no_more_are_kept_than_a_few(pool):
    def nested(depth: int):
        return pool.ask(lambda number: [number, *(nested(depth - 1) if depth else [])])

    assert len(set(nested(2 * IDLE))) == 2 * IDLE + 1
    assert len(pool._idle) == IDLE


def test_a_server_that_was_started_again_is_asked_on_a_new_connection(pool, server):
    pool.ask(lambda _: pool.ask(lambda inner: inner))
    server.restart()
    assert pool.ask(lambda number: number) == 2
    assert pool.ask(lambda number: number) == 2


def test_a_question_that_is_refused_is_asked_once_and_its_connection_is_not_kept(pool, server):
    pool.ask(lambda number: number)
    with pytest.raises(ProgrammingError):
        pool.ask(refused)
    assert server.opened[0].closed == 1
    assert pool.ask(lambda number: number) == 1


def test_a_server_that_stays_away_is_asked_once(server):
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
