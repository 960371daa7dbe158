"""Which messages were lost before the stream read them, by its position and the topic's watermarks."""

from collections.abc import Mapping

import pytest

from insights.clients.stream_position import LostMessages, StartingOffsets, StreamPosition, find_lost

START = StartingOffsets(seq=1, topic_id="first", offsets={0: 0}, first=True)


def find(
    offsets: Mapping[int, int],
    watermarks: Mapping[int, tuple[int, int]],
    start: StartingOffsets | None = START,
    topic_id: str = "first",
) -> LostMessages:
    return find_lost("users.raw", StreamPosition(start, offsets), topic_id, watermarks)


@pytest.mark.parametrize(
    ("offsets", "watermarks"),
    [
        ({0: 5}, {0: (0, 9)}),
        ({0: 5}, {0: (5, 9)}),
        ({0: 9}, {0: (3, 9)}),
        ({0: 5}, {0: (0, 9), 1: (0, 3)}),
    ],
)
def test_messages_that_were_read_or_can_be_read_are_not_lost(
    offsets: Mapping[int, int], watermarks: Mapping[int, tuple[int, int]]
) -> None:
    assert not find(offsets, watermarks)
    assert not find(offsets, watermarks, start=None)


def test_a_topic_that_was_never_read_begins_wherever_it_does() -> None:
    assert not find({}, {0: (70, 90)}, start=None)


def test_what_left_the_topic_unread_is_lost_by_partition_also_of_a_new_one() -> None:
    lost = find({0: 5, 1: 8}, {0: (6, 9), 1: (8, 8), 2: (1000, 1200)})
    assert lost.ranges == {0: (5, 6), 2: (0, 1000)}
    assert lost.list_ranges() == ("users.raw/0 offsets 5 to 5", "users.raw/2 offsets 0 to 999")
    assert lost.sentence() == (
        "1,001 messages of Kafka topic users.raw were deleted before the stream read them"
        " (users.raw/0 offsets 5 to 5, users.raw/2 offsets 0 to 999)"
    )


def test_one_lost_message_is_in_the_singular() -> None:
    assert "1 message of Kafka topic users.raw was deleted" in find({0: 5}, {0: (6, 9)}).sentence()


@pytest.mark.parametrize(
    ("watermarks", "topic_id"),
    [({0: (0, 50)}, "second"), ({0: (0, 2)}, "first"), ({1: (0, 50)}, "first")],
    ids=["another id", "an offset beyond the end", "a missing partition"],
)
def test_another_topic_under_the_same_name_is_told_from_a_deletion(
    watermarks: Mapping[int, tuple[int, int]], topic_id: str
) -> None:
    lost = find({0: 5}, watermarks, topic_id=topic_id)
    assert (lost.recreated, lost.count) == (True, 0)
    assert "was deleted and created again" in lost.sentence()
