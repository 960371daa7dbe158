"""The digest of a user that the merge records."""

import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from insights.model.digest import digest_bytes
from insights.model.user import User, read_field_types
from insights.sinks.row_digests import digest_users
from tests.helpers import accepted_users

USER = accepted_users.user(random.Random(3), UUID(int=1), 5, "17", phone_valid=True, cell_valid=True)
OTHER = {
    UUID: str(UUID(int=2)),
    str: "Other",
    int: 3,
    float: 1.25,
    bool: False,
    datetime: datetime(1999, 1, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(("name", "kind", "optional"), [(name, *kind) for name, kind in read_field_types(User).items()])
def test_every_field_changes_the_digest(name: str, kind: type, optional: bool) -> None:
    users = [USER, USER | {name: OTHER[kind]}, *([USER | {name: None}, USER | {name: ""}] if kind is str else [])]
    digests = digest_users(accepted_users.table([user for user in users if optional or user[name] is not None]))
    distinct = {repr(user[name]) for user in users if optional or user[name] is not None}
    assert len(set(digests.to_pylist())) == len(distinct) > 1


def test_a_batch_without_users_has_no_digests() -> None:
    assert digest_users(accepted_users.table([])).to_pylist() == []


def test_a_digest_is_64_signed_bits() -> None:
    assert digest_bytes(b"") == int.from_bytes(bytes.fromhex("e3b0c44298fc1c14"), "big", signed=True)
