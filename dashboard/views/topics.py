"""What the topics hold: partitions, offsets, lag, messages."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, message_browser, page
from dashboard.data import messages, topic_offsets
from dashboard.data.stores import ask_kafka, ask_postgres, settings
from insights.ledger.flow_state import read_until
from insights.settings import KafkaSettings

page.begin("Topics")


@st.fragment(run_every=page.live())
def offsets(kafka: KafkaSettings) -> None:
    found = ask_kafka(topic_offsets.partitions)
    read = ask_postgres(read_until, kafka.raw_topic)
    with st.container(horizontal=True):
        known = page.answered("Kafka", [found])
        page.answered("PostgreSQL", [read])
    if not known:
        return
    rows = [_row(part, read.value if part.topic == kafka.raw_topic else None) for part in found.value or []]
    for topic in (kafka.raw_topic, kafka.quarantine_topic):
        _cards(topic, [row for row in rows if row["topic"] == topic], read_by_stream=topic == kafka.raw_topic)
    load = [
        charts.PartitionLoad(row["partition"], row["messages"] - row["lag"], row["lag"])
        for row in rows
        if row["lag"] is not None
    ]
    if load:
        page.draw(charts.partition_load(kafka.raw_topic, load), "Bars of the messages of each partition")
    page.table(
        rows,
        {
            "topic": "Topic", "partition": page.number("Partition"), "messages": page.number("Messages"),
            "lag": page.number("Lag"), "begin": page.number("Begin"), "end": page.number("End"),
            "read": page.number("Stream's offset"), "newest": page.instant("Newest message (UTC)"),
        },
        "Table of topics, partitions, offsets and lag",
    )  # fmt: skip
    st.caption("Lag: messages that no merged batch of the stream has read. The quarantine topic is for other readers.")


def _row(part: topic_offsets.Partition, read: dict[int, int] | None) -> dict[str, Any]:
    """`read`: up to where the stream has merged, by partition; none where it does not read or that is not known."""
    at = None if read is None else max(part.begin, read.get(part.partition, 0))
    lag = None if at is None else max(0, part.end - at)
    return {**part._asdict(), "messages": part.end - part.begin, "read": at, "lag": lag}


def _cards(topic: str, rows: list[dict[str, Any]], read_by_stream: bool) -> None:
    st.markdown(f"**{formatting.plain(topic)}**")
    now = datetime.now(UTC)
    newest = max((row["newest"] for row in rows if row["newest"]), default=None)
    lags = [row["lag"] for row in rows]
    held = sum(row["messages"] for row in rows)
    with st.container(horizontal=True):
        st.metric("Partitions", f"{len(rows):,}", border=True)
        st.metric("Messages", f"{held:,}", border=True, help="Held now; retention takes old ones.")
        st.metric("Newest message", formatting.ago(newest, now), border=True)
        if read_by_stream:
            lag = "unknown" if None in lags else f"{sum(lags):,}"
            st.metric("Lag", lag, border=True, help="Messages that wait for the stream.")


@st.fragment
def browser() -> None:
    st.subheader("Messages")
    found = ask_kafka(topic_offsets.partitions)
    if found.value is None:
        st.info("They are here once Kafka answers.", icon=":material/hourglass_empty:")
        return
    asked = message_browser.asked(found.value)
    answer = message_browser.answer(asked)
    if not page.answered("Kafka", [answer]) or answer.value is None:
        return
    message_browser.turn(asked, answer.value)
    if not answer.value.complete:
        st.warning(
            f"Kafka was too slow: not every message came within {messages.SECONDS:g} s.", icon=":material/timer:"
        )
    if not answer.value.messages:
        st.info(asked.nothing, icon=":material/inbox:")
        return
    page.table(
        [message._asdict() for message in answer.value.messages],
        {
            "partition": page.number("Partition"), "offset": page.number("Offset"), "time": page.instant("Time (UTC)"),
            "key": "Key", "size": page.number("Bytes"), "value": st.column_config.TextColumn("Value", width="large"),
            "headers": st.column_config.TextColumn("Headers", width="medium"),
        },
        "Table of messages, without credentials",
    )  # fmt: skip
    st.caption(
        "Newest first. Credentials are removed, control characters are shown as escapes, and values are cut to "
        f"{messages.LISTED_CHARACTERS:,} characters; below is one in full. Reading here moves no consumer."
    )
    whole(asked.topic, answer.value.messages)


def whole(topic: str, listed: list[messages.Seen]) -> None:
    places = {f"partition {message.partition}, offset {message.offset}": message for message in listed}
    chosen = st.selectbox("Message in full", list(places), index=None, placeholder="Choose a message", key="whole")
    if chosen is None:
        return
    answer = ask_kafka(messages.one, topic, places[chosen].partition, places[chosen].offset)
    if not page.answered("Kafka", [answer]):
        return
    message = answer.value
    if message is None:
        st.info("Retention has taken this message.", icon=":material/inbox:")
        return
    st.text(f"Key {message.key or '(none)'}, {message.size:,} bytes, {formatting.clock(message.time)}")
    page.table(
        [{"name": name, "content": content} for name, content in message.headers],
        {"name": "Header", "content": st.column_config.TextColumn("Content", width="large")},
        "Table of the message's headers",
    )
    st.code(message.value, language=None, wrap_lines=True)
    if message.cut:
        st.caption(f"Cut to {messages.WHOLE_CHARACTERS:,} characters.")


offsets(settings().kafka)
browser()
