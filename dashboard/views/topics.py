"""Kafka's topics: partitions, offsets, lag and messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, message_browser, page
from dashboard.data import messages, topic_offsets
from dashboard.data.stores import ask_kafka, ask_postgres, get_store_settings
from insights.ledger.flow_state import read_stream_offsets
from insights.settings import KafkaSettings
from insights.text import format_count

page.begin_page("Topics")


@st.fragment(run_every=page.draw_live_switch())
def draw_offsets(kafka: KafkaSettings) -> None:
    partitions = ask_kafka(topic_offsets.list_partition_offsets)
    stream_offsets = ask_postgres(read_stream_offsets, kafka.raw_topic)
    with st.container(horizontal=True):
        has_partitions = page.show_freshness("Kafka", [partitions])
        page.show_freshness("PostgreSQL", [stream_offsets])
    if not has_partitions:
        return
    rows = [
        _make_row(part, stream_offsets.value if part.topic == kafka.raw_topic else None)
        for part in partitions.value or []
    ]
    for topic in (kafka.raw_topic, kafka.quarantine_topic):
        draw_topic_cards(topic, [row for row in rows if row["topic"] == topic], read_by_stream=topic == kafka.raw_topic)
    load = [
        charts.PartitionLoad(row["partition"], row["messages"] - row["lag"], row["lag"])
        for row in rows
        if row["lag"] is not None
    ]
    if load:
        page.draw_figure(
            charts.plot_partition_load(kafka.raw_topic, load), "Bar chart of the messages in each partition"
        )
    page.draw_table(
        rows,
        {
            "topic": "Topic",
            "partition": page.make_number_column("Partition"),
            "messages": page.make_number_column("Messages"),
            "lag": page.make_number_column("Lag"),
            "begin": page.make_number_column("Start offset"),
            "end": page.make_number_column("End offset"),
            "read": page.make_number_column("Stream offset"),
            "newest": page.make_instant_column("Newest message (UTC)"),
        },
        "Table of topics, partitions, offsets and lag",
    )
    st.caption(
        "Lag: messages that no merged batch of the stream has read yet. "
        "The stream does not consume the quarantine topic."
    )


def _make_row(part: topic_offsets.PartitionOffsets, stream_offsets: Mapping[int, int] | None) -> dict[str, Any]:
    """`stream_offsets`: by partition, the offset up to which the stream has merged; None if unknown or not read."""
    read = None if stream_offsets is None else max(part.begin, stream_offsets.get(part.partition, 0))
    lag = None if read is None else max(0, part.end - read)
    return {**part._asdict(), "messages": part.end - part.begin, "read": read, "lag": lag}


def draw_topic_cards(topic: str, rows: list[dict[str, Any]], read_by_stream: bool) -> None:
    st.markdown(f"**{formatting.escape_markdown(topic)}**")
    now = datetime.now(UTC)
    newest = max((row["newest"] for row in rows if row["newest"]), default=None)
    lags = [row["lag"] for row in rows]
    message_count = sum(row["messages"] for row in rows)
    with st.container(horizontal=True):
        st.metric("Partitions", f"{len(rows):,}", border=True)
        st.metric(
            "Messages", f"{message_count:,}", border=True, help="Messages in the topic now; retention deletes old ones."
        )
        st.metric("Newest message", formatting.format_age(newest, now), border=True)
        if read_by_stream:
            lag = "unknown" if None in lags else f"{sum(lags):,}"
            st.metric("Lag", lag, border=True, help="Messages waiting for the stream.")


@st.fragment
def draw_browser() -> None:
    st.subheader("Messages")
    partitions = ask_kafka(topic_offsets.list_partition_offsets)
    if partitions.value is None:
        st.info("Messages appear here once Kafka answers.", icon=":material/hourglass_empty:")
        return
    query = message_browser.choose_query(partitions.value)
    answer = message_browser.fetch_messages(query)
    if not page.show_freshness("Kafka", [answer]) or answer.value is None:
        return
    message_browser.draw_page_buttons(query, answer.value)
    if not answer.value.complete:
        st.warning(
            f"Kafka was too slow: some messages did not arrive within {messages.READ_SECONDS:g} s.",
            icon=":material/timer:",
        )
    if not answer.value.messages:
        st.info(query.no_results, icon=":material/inbox:")
        return
    page.draw_table(
        [message._asdict() for message in answer.value.messages],
        {
            "partition": page.make_number_column("Partition"),
            "offset": page.make_number_column("Offset"),
            "time": page.make_instant_column("Time (UTC)"),
            "key": "Key",
            "size": page.make_number_column("Bytes"),
            "value": st.column_config.TextColumn("Value", width="large"),
            "headers": st.column_config.TextColumn("Headers", width="medium"),
        },
        "Table of messages, without credentials",
    )
    st.caption(
        "Newest first. Credentials are removed, control characters are shown as escapes, and values are truncated to "
        f"{messages.LISTED_CHARACTERS:,} characters; choose a message below to see it in full. "
        "Reading here moves no consumer's offsets."
    )
    draw_full_message(query.topic, answer.value.messages)


def draw_full_message(topic: str, listed: list[messages.MessageSummary]) -> None:
    by_place = {f"partition {message.partition}, offset {message.offset}": message for message in listed}
    place = st.selectbox("Message in full", list(by_place), index=None, placeholder="Choose a message", key="whole")
    if place is None:
        return
    answer = ask_kafka(messages.fetch_message, topic, by_place[place].partition, by_place[place].offset)
    if not page.show_freshness("Kafka", [answer]):
        return
    message = answer.value
    if message is None:
        st.info("Retention has deleted this message.", icon=":material/inbox:")
        return
    size = format_count(message.size, "byte")
    st.text(f"Key {message.key or '(none)'}, {size}, {formatting.format_instant(message.time)}")
    page.draw_table(
        [{"name": name, "content": content} for name, content in message.headers],
        {"name": "Header", "content": st.column_config.TextColumn("Content", width="large")},
        "Table of the message's headers",
    )
    st.code(message.value, language=None, wrap_lines=True)
    if message.truncated:
        st.caption(f"Truncated to {messages.WHOLE_CHARACTERS:,} characters.")


draw_offsets(get_store_settings().kafka)
draw_browser()
