"""The merge patch, by the examples in appendix A of RFC 7396."""

from typing import Any

import pytest

from insights.model.raw_json import RepeatedKeys, make_object
from insights.repair.merge_patch import apply_merge_patch, names_user


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_merges_as_in_the_rfc(target: Any, patch: Any, merged: Any) -> None:
    assert apply_merge_patch(target, patch) == merged


def test_the_target_is_not_changed() -> None:
    target = {"a": {"b": 1}}
    apply_merge_patch(target, {"a": {"b": 2}})
    assert target == {"a": {"b": 1}}


def test_a_patch_replaces_every_member_that_repeats_its_key_and_leaves_other_repetitions() -> None:
    target = make_object([("a", 1), ("b", 2), ("a", 3), ("b", 4)])
    half = apply_merge_patch(target, {"a": 5})
    assert list(half.items()) == [("b", 2), ("b", 4), ("a", 5)]
    whole = apply_merge_patch(half, {"b": None})
    assert whole == {"a": 5}
    assert not isinstance(whole, RepeatedKeys)


@pytest.mark.parametrize(
    ("patch", "named"),
    [
        ({"nat": "DE"}, False),
        ({"login": {"username": "a"}}, False),
        ({"login": {"uuid": "a"}}, True),
        ({"login": {"uuid": None}}, True),
        ({"login": None}, True),
        ({"login": "a"}, True),
        ([], False),
    ],
)
def test_a_patch_that_makes_a_record_another_users_is_recognised(patch: Any, named: bool) -> None:
    assert names_user(patch) is named
