"""The hop from the topic to the stream."""

from insights.clients.stream_position import LostMessages
from insights.ledger.hops import LedgerState
from insights.ledger.reading import check_read

WATERMARKS = {0: (20, 100), 1: (0, 50)}


def test_a_topic_that_is_read_to_its_end_is_closed_and_recorded_losses_are_counted() -> None:
    hop = check_read(WATERMARKS, {0: 100, 1: 50}, LostMessages("t"), recorded=7)
    assert (hop.state, hop.sentence) == (LedgerState.CLOSED, "150 offsets = 143 read + 7 recorded as lost.")


def test_unread_messages_are_in_flight() -> None:
    hop = check_read(WATERMARKS, {0: 90}, LostMessages("t"), recorded=0)
    assert (hop.state, hop.pending) == (LedgerState.IN_FLIGHT, 60)


def test_a_loss_breaks_the_hop_and_the_sentence_names_it_and_the_remedy() -> None:
    hop = check_read(WATERMARKS, {0: 5, 1: 50}, LostMessages("t", ranges={0: (5, 20)}), recorded=0)
    assert (hop.state, hop.left - hop.right - hop.pending) == (LedgerState.BROKEN, 15)
    assert hop.missing == ("t/0 offsets 5 to 19",)
    assert hop.sentence.startswith("15 messages of Kafka topic t were deleted before the stream read them")
    assert "`insights skip-lost`" in hop.sentence


def test_a_new_topic_breaks_the_hop_and_its_messages_wait() -> None:
    hop = check_read(WATERMARKS, {}, LostMessages("t", recreated=True), recorded=0)
    assert (hop.state, hop.pending, hop.missing) == (LedgerState.BROKEN, 130, ())
    assert hop.sentence.startswith("Kafka topic t was deleted and created again")
