"""Counts agree with their nouns."""

from insights.text import format_count


def test_a_count_agrees_with_its_noun():
    assert [format_count(count, "user") for count in (0, 1, 1234)] == ["0 users", "1 user", "1,234 users"]
    assert [format_count(count, "city", "cities") for count in (1, 2)] == ["1 city", "2 cities"]
