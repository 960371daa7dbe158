"""Tests that use a keyspace one after the other do not see each other's rows or changes of the schema."""

from insights.clients import connections
from insights.clients.refill_record import is_filled, mark_filled
from tests.helpers.fresh_stores import Keyspaces


def test_the_next_test_has_an_empty_keyspace(keyspaces: Keyspaces) -> None:
    with keyspaces.borrow() as first, connections.open_cassandra(first) as session:
        mark_filled(session)
    with keyspaces.borrow() as second, connections.open_cassandra(second) as session:
        assert second == first
        assert not is_filled(session)


def test_two_tests_do_not_share_a_keyspace(keyspaces: Keyspaces) -> None:
    with keyspaces.borrow() as one, keyspaces.borrow() as other:
        assert one.keyspace != other.keyspace


def test_a_keyspace_whose_schema_has_changed_is_not_used_again(keyspaces: Keyspaces) -> None:
    with keyspaces.borrow() as changed, connections.open_cassandra(changed) as session:
        session.execute("ALTER TABLE user_counts WITH comment = 'of another test'")
    with keyspaces.borrow() as next_one:
        assert next_one.keyspace != changed.keyspace
