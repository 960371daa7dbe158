"""What the topics hold: partitions, offsets, lag, messages."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, message_browser, page
from dashboard.data import messages, topic_offsets
from dashboard.data.stores import ask_kafka, ask_postgres, get_store_settings
from insights.ledger.flow_state import read_stream_offsets
from insights.settings import KafkaSettings

page.begin_page("Topics")


@st.fragment(run_every=page.draw_live_switch())
def offsets(kafka: KafkaSettings) -> None:
    found = ask_kafka(topic_offsets.list_partition_offsets)
    read = ask_postgres(read_stream_offsets, kafka.raw_topic)
    with st.container(horizontal=True):
        known = page.show_freshness("Kafka", [found])
        page.show_freshness("PostgreSQL", [read])
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
        page.draw_figure(charts.plot_partition_load(kafka.raw_topic, load), "Bars of the messages of each partition")
    page.draw_table(
        rows,
        {
            "topic": "Topic",
            "partition": page.make_number_column("Partition"),
            "messages": page.make_number_column("Messages"),
            "lag": page.make_number_column("Lag"),
            "begin": page.make_number_column("Begin"),
            "end": page.make_number_column("End"),
            "read": page.make_number_column("Stream's offset"),
            "newest": page.make_instant_column("Newest message (UTC)"),
        },
        "Table of topics, partitions, offsets and lag",
    )
    st.caption("Lag: messages that no merged batch of the stream has read. The quarantine topic is for other readers.")


def _row(part: topic_offsets.PartitionOffsets, read: dict[int, int] | None) -> dict[str, Any]:
    """`read`: up to where the stream has merged, by partition; none where it does not read or that is not known."""
    at = None if read is None else max(part.begin, read.get(part.partition, 0))
    lag = None if at is None else max(0, part.end - at)
    return {**part._asdict(), "messages": part.end - part.begin, "read": at, "lag": lag}


def _cards(topic: str, rows: list[dict[str, Any]], read_by_stream: bool) -> None:
    st.markdown(f"**{formatting.escape_markdown(topic)}**")
    now = datetime.now(UTC)
    newest = max((row["newest"] for row in rows if row["newest"]), default=None)
    lags = [row["lag"] for row in rows]
    held = sum(row["messages"] for row in rows)
    with st.container(horizontal=True):
        st.metric("Partitions", f"{len(rows):,}", border=True)
        st.metric("Messages", f"{held:,}", border=True, help="Held now; retention takes old ones.")
        st.metric("Newest message", formatting.format_age(newest, now), border=True)
        if read_by_stream:
            lag = "unknown" if None in lags else f"{sum(lags):,}"
            st.metric("Lag", lag, border=True, help="Messages that wait for the stream.")


@st.fragment
def browser() -> None:
    st.subheader("Messages")
    found = ask_kafka(topic_offsets.list_partition_offsets)
    if found.value is None:
        st.info("They are here once Kafka answers.", icon=":material/hourglass_empty:")
        return
    asked = message_browser.choose_query(found.value)
    answer = message_browser.fetch_messages(asked)
    if not page.show_freshness("Kafka", [answer]) or answer.value is None:
        return
    message_browser.draw_page_buttons(asked, answer.value)
    if not answer.value.complete:
        st.warning(
            f"Kafka was too slow: not every message came within {messages.SECONDS:g} s.", icon=":material/timer:"
        )
    if not answer.value.messages:
        st.info(asked.nothing, icon=":material/inbox:")
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
        "Newest first. Credentials are removed, control characters are shown as escapes, and values are cut to "
        f"{messages.LISTED_CHARACTERS:,} characters; below is one in full. Reading here moves no consumer."
    )
    whole(asked.topic, answer.value.messages)


def whole(topic: str, listed: list[messages.MessageSummary]) -> None:
    places = {f"partition {message.partition}, offset {message.offset}": message for message in listed}
    chosen = st.selectbox("Message in full", list(places), index=None, placeholder="Choose a message", key="whole")
    if chosen is None:
        return
    answer = ask_kafka(messages.fetch_message, topic, places[chosen].partition, places[chosen].offset)
    if not page.show_freshness("Kafka", [answer]):
        return
    message = answer.value
    if message is None:
        st.info("Retention has taken this message.", icon=":material/inbox:")
        return
    st.text(f"Key {message.key or '(none)'}, {message.size:,} bytes, {formatting.format_instant(message.time)}")
    page.draw_table(
        [{"name": name, "content": content} for name, content in message.headers],
        {"name": "Header", "content": st.column_config.TextColumn("Content", width="large")},
        "Table of the message's headers",
    )
    st.code(message.value, language=None, wrap_lines=True)
    if message.cut:
        st.caption(f"Cut to {messages.WHOLE_CHARACTERS:,} characters.")


offsets(get_store_settings().kafka)
browser()
