"""What a visitor asks of a topic's messages, and the pages that he has turned."""

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
"""In the session: the positions of the pages from the first that was shown to the one that is."""


class MessageQuery(NamedTuple):
    """`start` is an offset, `key` a text, each only where it is asked for."""

    topic: str
    partition: int | None
    limit: int
    start: int | None = None
    key: str | None = None

    @property
    def first(self) -> messages.Position:
        """The page with which to begin."""
        if self.partition is None or self.start is None:
            return ()
        return ((self.partition, self.start + self.limit),)

    @property
    def nothing(self) -> str:
        """In place of messages, when there are none."""
        if self.key is None:
            return "There is no message."
        return f"No message with this key is among the newest {messages.SEARCHED:,}."


def choose_query(partitions: Sequence[PartitionOffsets]) -> MessageQuery:
    """The controls, and what is chosen there. Another choice begins at its first page."""
    topic_place, partition_place, limit_place = st.columns([3, 2, 2])
    topic = topic_place.selectbox(
        "Topic", list(dict.fromkeys(part.topic for part in partitions)), key="topic", on_change=_begin
    )
    numbers = [part.partition for part in partitions if part.topic == topic]
    number: int | None = partition_place.selectbox(
        "Partition",
        [None, *numbers],
        format_func=lambda one: "all" if one is None else str(one),
        key="partition",
        on_change=_begin,
    )
    limit = limit_place.selectbox("Messages a page", LIMITS, key="limit", on_change=_begin)
    kind_place, value_place = st.columns([3, 4], vertical_alignment="bottom")
    kind = kind_place.segmented_control(
        "Show", [NEWEST, OFFSET, KEY], default=NEWEST, required=True, key="kind", on_change=_begin
    )
    if kind == OFFSET and number is None:
        value_place.info("Choose a partition first: an offset is one of a partition.")
    elif kind == OFFSET:
        begin = next(part.begin for part in partitions if (part.topic, part.partition) == (topic, number))
        start = value_place.number_input("Offset", 0, value=begin, step=1, key="start", on_change=_begin)
        return MessageQuery(topic, number, limit, start=int(start))
    elif kind == KEY:
        key = value_place.text_input("Key", key="key", max_chars=200, on_change=_begin).strip()
        return MessageQuery(topic, number, limit, key=key or None)
    return MessageQuery(topic, number, limit)


def fetch_messages(asked: MessageQuery) -> CachedAnswer[messages.MessagePage]:
    """The page at which the visitor is."""
    if asked.key is not None:
        return ask_kafka(messages.search_key, asked.topic, asked.partition, asked.key, asked.limit)
    return ask_kafka(messages.fetch_page, asked.topic, asked.partition, _trail(asked)[-1], asked.limit)


def draw_page_buttons(asked: MessageQuery, found: messages.MessagePage) -> None:
    """The buttons to the pages before and after."""
    with st.container(horizontal=True):
        st.button(
            "Older",
            icon=":material/arrow_back:",
            key="older",
            width="stretch",
            disabled=not found.older,
            on_click=_older,
            args=(asked, found.older),
        )
        st.button(
            "Newer",
            icon=":material/arrow_forward:",
            key="newer",
            width="stretch",
            disabled=not found.newer,
            on_click=_newer,
            args=(asked,),
        )
        st.button("Look again", icon=":material/refresh:", key="again", width="stretch")


def _trail(asked: MessageQuery) -> list[messages.Position]:
    if _TRAIL not in st.session_state:
        st.session_state[_TRAIL] = [asked.first]
    trail: list[messages.Position] = st.session_state[_TRAIL]
    return trail


def _begin() -> None:
    st.session_state.pop(_TRAIL, None)


def _older(asked: MessageQuery, position: messages.Position) -> None:
    _trail(asked).append(position)


def _newer(asked: MessageQuery) -> None:
    """Back to the page from which this one was reached; from the first, on along its partition."""
    trail = _trail(asked)
    if len(trail) > 1:
        trail.pop()
    elif trail[0]:
        trail[0] = tuple((number, end + asked.limit) for number, end in trail[0])
    else:
        _begin()
