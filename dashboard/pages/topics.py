"""What the topics hold: partitions, offsets, lag, messages."""

from typing import Any

import streamlit as st

from dashboard import page, topics
from dashboard.stores import ask_kafka, ask_postgres, refresh_seconds, settings
from insights.ledger.flow import read_until
from insights.settings import KafkaSettings

page.begin("Topics")


@st.fragment(run_every=refresh_seconds())
def offsets(kafka: KafkaSettings) -> None:
    partitions = ask_kafka(topics.partitions)
    if not page.answered("Kafka", [partitions]):
        return
    read = ask_postgres(read_until, kafka.raw_topic).value
    page.table(
        [_offsets(part, read if part.topic == kafka.raw_topic else None) for part in partitions.value or []],
        {
            "topic": "Topic", "partition": page.number("Partition"), "begin": page.number("Begin"),
            "end": page.number("End"), "messages": page.number("Messages"),
            "read": page.number("Stream's offset"), "lag": page.number("Lag"),
        },
        "Table of topics, partitions, offsets and lag",
    )  # fmt: skip


def _offsets(part: topics.Partition, read: dict[int, int] | None) -> dict[str, Any]:
    """`read`: up to where the stream has merged, by partition; none where it does not read or that is not known."""
    at = None if read is None else max(part.begin, read.get(part.partition, 0))
    lag = None if at is None else max(0, part.end - at)
    return {**part._asdict(), "messages": part.end - part.begin, "read": at, "lag": lag}


@st.fragment
def messages(kafka: KafkaSettings) -> None:
    st.subheader("Last messages")
    topic_place, limit_place, button_place = st.columns([3, 1, 1], vertical_alignment="bottom")
    topic = topic_place.selectbox("Topic", [kafka.raw_topic, kafka.quarantine_topic], key="topic")
    limit = limit_place.selectbox("Messages", [5, 10, 20], key="messages")
    button_place.button("Look again", icon=":material/refresh:", width="stretch")
    seen = ask_kafka(topics.last_messages, topic, limit)
    if not page.answered("Kafka", [seen]):
        return
    if not seen.value:
        st.info("The topic holds no message.", icon=":material/inbox:")
        return
    page.table(
        [message._asdict() for message in seen.value],
        {
            "partition": page.number("Partition"), "offset": page.number("Offset"), "time": page.instant("Time (UTC)"),
            "key": "Key", "size": page.number("Bytes"), "value": st.column_config.TextColumn("Value", width="large"),
            "headers": st.column_config.TextColumn("Headers", width="medium"),
        },
        "Table of the last messages, without credentials",
    )  # fmt: skip
    st.caption(f"Credentials are removed; values are cut to {topics.SHOWN_CHARACTERS:,} characters.")


kafka_settings = settings().kafka
offsets(kafka_settings)
messages(kafka_settings)
