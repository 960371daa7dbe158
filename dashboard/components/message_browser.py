"""The message browser: the controls that select a topic's messages, and paging through them."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from dashboard.data import messages
from dashboard.data.answers import CachedAnswer
from dashboard.data.stores import ask_kafka
from dashboard.data.topic_offsets import PartitionOffsets

NEWEST, OFFSET, KEY = "the newest", "from an offset", "with a key"
LIMITS = (10, 25, 50)
_TRAIL = "trail"
"""Session state: the positions of the pages from the first one shown to the current one."""


class MessageQuery(NamedTuple):
    """What to show. `start` is an offset, set only for `OFFSET`; `key` only for `KEY`. `partition` is None for all."""

    topic: str
    partition: int | None
    limit: int
    start: int | None = None
    key: str | None = None

    @property
    def first_position(self) -> messages.Position:
        if self.partition is None or self.start is None:
            return ()
        return ((self.partition, self.start + self.limit),)

    @property
    def no_results(self) -> str:
        """The sentence shown when no message matches."""
        if self.key is None:
            return "There are no messages here."
        return f"None of the newest {messages.SEARCHED_MESSAGES:,} messages has this key."


def choose_query(partitions: Sequence[PartitionOffsets]) -> MessageQuery:
    """Draw the controls and return the query they select. Changing any of them returns to the first page."""
    topic_column, partition_column, limit_column = st.columns([3, 2, 2])
    topic = topic_column.selectbox(
        "Topic", list(dict.fromkeys(part.topic for part in partitions)), key="topic", on_change=_reset_trail
    )
    partition: int | None = partition_column.selectbox(
        "Partition",
        [None, *(part.partition for part in partitions if part.topic == topic)],
        format_func=lambda number: "all" if number is None else str(number),
        key="partition",
        on_change=_reset_trail,
    )
    limit = limit_column.selectbox("Messages per page", LIMITS, key="limit", on_change=_reset_trail)
    kind_column, value_column = st.columns([3, 4], vertical_alignment="bottom")
    kind = kind_column.segmented_control(
        "Show", [NEWEST, OFFSET, KEY], default=NEWEST, required=True, key="kind", on_change=_reset_trail
    )
    if kind == OFFSET and partition is None:
        value_column.info("Choose a partition first: each partition has offsets of its own.")
    elif kind == OFFSET:
        begin = next(part.begin for part in partitions if (part.topic, part.partition) == (topic, partition))
        start = value_column.number_input("Offset", 0, value=begin, step=1, key="start", on_change=_reset_trail)
        return MessageQuery(topic, partition, limit, start=int(start))
    elif kind == KEY:
        key = value_column.text_input("Key", key="key", max_chars=200, on_change=_reset_trail).strip()
        return MessageQuery(topic, partition, limit, key=key or None)
    return MessageQuery(topic, partition, limit)


def fetch_messages(query: MessageQuery) -> CachedAnswer[messages.MessagePage]:
    """Return the current page of the query's messages."""
    if query.key is not None:
        return ask_kafka(messages.search_key, query.topic, query.partition, query.key, query.limit)
    return ask_kafka(messages.fetch_page, query.topic, query.partition, _get_trail(query)[-1], query.limit)


def draw_page_buttons(query: MessageQuery, current: messages.MessagePage) -> None:
    with st.container(horizontal=True):
        st.button(
            "Older",
            icon=":material/arrow_back:",
            key="older",
            width="stretch",
            disabled=not current.older,
            on_click=_turn_to_older,
            args=(query, current.older),
        )
        st.button(
            "Newer",
            icon=":material/arrow_forward:",
            key="newer",
            width="stretch",
            disabled=not current.newer,
            on_click=_turn_to_newer,
            args=(query,),
        )
        st.button("Refresh", icon=":material/refresh:", key="again", width="stretch")


def _get_trail(query: MessageQuery) -> list[messages.Position]:
    if _TRAIL not in st.session_state:
        st.session_state[_TRAIL] = [query.first_position]
    trail: list[messages.Position] = st.session_state[_TRAIL]
    return trail


def _reset_trail() -> None:
    st.session_state.pop(_TRAIL, None)


def _turn_to_older(query: MessageQuery, position: messages.Position) -> None:
    _get_trail(query).append(position)


def _turn_to_newer(query: MessageQuery) -> None:
    """Return to the page from which this one was reached; from the first page, advance along its partition."""
    trail = _get_trail(query)
    if len(trail) > 1:
        trail.pop()
    elif trail[0]:
        trail[0] = tuple((number, end + query.limit) for number, end in trail[0])
    else:
        _reset_trail()
