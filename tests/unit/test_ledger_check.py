"""What the ledger makes of a store that goes away, and of a batch on its way."""

from importlib import import_module

import psycopg2
import pytest
from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable

from insights.errors import UserError
from insights.ledger import Flow

module = import_module("insights.ledger.check")
AT_REST = Flow(unpublished=0, unread=0, unserved=0, overdue=0, last_batch=3)


@pytest.mark.parametrize(
    ("error", "store"),
    [
        (OperationTimedOut(), "Cassandra"),
        (NoHostAvailable("away", {}), "Cassandra"),
        (psycopg2.OperationalError("server closed the connection"), "PostgreSQL"),
    ],
)
def test_a_store_that_goes_away_meanwhile_is_one_sentence(error: Exception, store: str) -> None:
    with pytest.raises(UserError, match=f"^{store} cannot be counted"), module._readable():
        raise error


@pytest.mark.parametrize(
    ("snapshot", "now", "late"),
    [
        (AT_REST, AT_REST, False),
        (Flow(0, 0, 1, 0, 3), AT_REST, True),
        (Flow(0, 0, 1, 1, 3), AT_REST, False),
        (Flow(0, 0, 2, 1, 3), AT_REST, True),
        (AT_REST, Flow(0, 0, 0, 0, 4), True),
    ],
)
def test_cassandra_may_lag_behind_a_batch_on_its_way_but_not_behind_an_overdue_one(
    snapshot: Flow, now: Flow, late: bool
) -> None:
    assert module._late(snapshot, lambda: now) is late
