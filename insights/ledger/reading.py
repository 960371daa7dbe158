"""The hop from the topic to the stream: which offsets it has read, which wait, and which are lost."""

from collections.abc import Mapping
from dataclasses import replace

from insights.clients.stream_position import SKIP_REMEDY, LostMessages, Watermarks
from insights.ledger.hops import Hop, LedgerState, evaluate_hop


def check_read(watermarks: Watermarks, stream_offsets: Mapping[int, int], lost: LostMessages, recorded: int) -> Hop:
    """Check that no message left the topic before the stream had read it, unless its loss is recorded.

    Args:
        watermarks: of the topic, read after the stream's offsets.
        stream_offsets: the end offset of the merged batches, by partition.
        lost: what was lost and is not recorded.
        recorded: the number of offsets that are recorded as lost.
    """
    ends = sum(high for _, high in watermarks.values())
    unread = sum(max(0, high - max(low, stream_offsets.get(part, 0))) for part, (low, high) in watermarks.items())
    hop = evaluate_hop(
        "read",
        "offsets = read + lost",
        ends,
        ends - unread - lost.count,
        pending=unread,
        missing=lost.list_ranges(),
        holds=f"{ends:,} offsets = {ends - recorded:,} read + {recorded:,} recorded as lost.",
    )
    if lost:
        return replace(hop, state=LedgerState.BROKEN, sentence=f"{lost.sentence()}; {SKIP_REMEDY}.")
    return hop
