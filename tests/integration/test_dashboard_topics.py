"""What the dashboard reads from a real broker: partitions, and messages by page, bounded and without credentials."""

from typing import Any

import pytest
from confluent_kafka import Producer

from dashboard.data import messages, topic_offsets
from insights.clients import kafka_admin
from tests.helpers.staged_pages import delete_messages


@pytest.fixture
def thirty_messages(kafka) -> Any:
    """30 messages, one per second, alternating between two partitions; credentials are in each value and header."""
    producer = Producer(kafka.client())
    login = '"login": {"password": "hunter2", "md5": "5eb63"}'
    for number in range(30):
        producer.produce(
            kafka.raw_topic,
            partition=number % 2,
            key=f"key {number}",
            timestamp=1_000 * (number + 1),
            value=f'{{"n": {number}, {login}}}',
            headers=[("event_id", str(number)), ("note", f"\x1b{{{login}}}")],
        )
    producer.flush(30)
    return kafka


def list_numbers(found: messages.MessagePage) -> list[int]:
    return [int(message.key.removeprefix("key ")) for message in found.messages]


def test_partitions_have_their_offsets_and_the_time_of_their_newest_message(thirty_messages):
    parts = topic_offsets.list_partition_offsets(thirty_messages)
    assert [part[:4] for part in parts] == [
        (thirty_messages.raw_topic, 0, 0, 15),
        (thirty_messages.raw_topic, 1, 0, 15),
        (thirty_messages.quarantine_topic, 0, 0, 0),
        (thirty_messages.quarantine_topic, 1, 0, 0),
    ]
    newest = [part.newest.timestamp() if part.newest else None for part in parts]
    assert newest == [29, 30, None, None]
    assert kafka_admin.read_watermarks(kafka_admin.get_admin(thirty_messages), thirty_messages.raw_topic) == {
        0: (0, 15),
        1: (0, 15),
    }


def test_messages_are_paged_over_all_partitions_each_once(thirty_messages):
    found = messages.fetch_page(thirty_messages, thirty_messages.raw_topic, None, (), 8)
    assert not found.newer
    pages = [list_numbers(found)]
    while found.older:
        found = messages.fetch_page(thirty_messages, thirty_messages.raw_topic, None, found.older, 8)
        assert found.newer
        assert found.complete
        pages.append(list_numbers(found))
    assert [len(page) for page in pages] == [8, 8, 8, 6]
    assert [number for page in pages for number in page] == list(range(29, -1, -1))


def test_messages_of_a_partition_are_shown_up_to_an_offset(thirty_messages):
    found = messages.fetch_page(thirty_messages, thirty_messages.raw_topic, 1, ((1, 7),), 3)
    assert [(message.partition, message.offset) for message in found.messages] == [(1, 6), (1, 5), (1, 4)]
    assert (found.older, found.newer) == (((1, 4),), True)
    assert list_numbers(messages.fetch_page(thirty_messages, thirty_messages.raw_topic, 1, ((1, 99),), 1)) == [29]


def test_messages_that_retention_deleted_are_skipped(thirty_messages):
    delete_messages(thirty_messages, {0: 13})
    found = messages.fetch_page(thirty_messages, thirty_messages.raw_topic, 0, (), 10)
    assert ([message.offset for message in found.messages], found.older) == ([14, 13], ())
    assert messages.fetch_page(thirty_messages, thirty_messages.raw_topic, 0, ((0, 5),), 10).messages == []
    assert messages.fetch_message(thirty_messages, thirty_messages.raw_topic, 0, 5) is None


def test_a_key_is_searched_in_every_partition(thirty_messages):
    found = messages.search_key(thirty_messages, thirty_messages.raw_topic, None, "key 7", 10)
    assert [(message.partition, message.offset) for message in found.messages] == [(1, 3)]
    assert messages.search_key(thirty_messages, thirty_messages.raw_topic, 0, "key 7", 10).messages == []


def test_messages_have_no_credentials_and_no_control_characters(thirty_messages):
    listed = messages.fetch_page(thirty_messages, thirty_messages.raw_topic, None, (), 30).messages
    whole = messages.fetch_message(thirty_messages, thirty_messages.raw_topic, 1, 14)
    assert whole is not None
    assert whole.value == '{\n  "n": 29,\n  "login": {\n    "password": null,\n    "md5": null\n  }\n}'
    assert [name for name, _ in whole.headers] == ["event_id", "note"]
    assert whole.headers[1][1].startswith("\\x1b{")
    assert (whole.key, whole.truncated) == ("key 29", False)
    for secret in ("hunter2", "5eb63", "\x1b"):
        assert secret not in str((listed, whole))
        assert secret not in "".join(message.value + message.headers for message in listed)


def test_a_large_or_empty_message_is_truncated_and_shown(kafka):
    producer = Producer(kafka.client())
    producer.produce(kafka.raw_topic, partition=0, value=b"\xff" + b"x" * 900_000)
    producer.produce(kafka.raw_topic, partition=0, value=None)
    producer.flush(30)
    empty, large = messages.fetch_page(kafka, kafka.raw_topic, 0, (), 10).messages
    assert (empty.key, empty.value, empty.size) == ("", "", 0)
    assert (len(large.value), large.size) == (messages.LISTED_CHARACTERS, 900_001)
    assert large.value.startswith("\\xffxxx")
    whole = messages.fetch_message(kafka, kafka.raw_topic, 0, 0)
    assert whole is not None
    assert (len(whole.value), whole.truncated) == (messages.WHOLE_CHARACTERS, True)


def test_reading_messages_leaves_no_consumer_group(thirty_messages):
    messages.fetch_page(thirty_messages, thirty_messages.raw_topic, None, (), 10)
    found = kafka_admin.get_admin(thirty_messages).list_consumer_groups(request_timeout=10).result()
    assert not [group.group_id for group in found.valid if group.group_id.startswith("insights-dashboard")]
