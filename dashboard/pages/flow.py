"""Where the records are between the source and the page, and whether any is missing."""

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_ledger, ask_postgres, refresh_seconds, settings
from insights import ledger
from insights.errors import UserError
from insights.serve import progress
from insights.settings import KafkaSettings

BATCHES = 50
STATES = {
    ledger.State.CLOSED: ("closed", st.success, ":material/check_circle:"),
    ledger.State.IN_FLIGHT: ("in flight", st.info, ":material/pending:"),
    ledger.State.BROKEN: ("broken", st.error, ":material/error:"),
}

page.begin("Flow")


@st.fragment(run_every=refresh_seconds())
def in_flight(kafka: KafkaSettings) -> None:
    facts = ask_postgres(progress.flow_facts, kafka.raw_topic)
    if not page.answered("PostgreSQL", [facts]) or facts.value is None:
        return
    now = datetime.now(UTC)
    flow = ask_ledger(ledger.flow)
    hops = st.columns(5)
    hops[0].metric("Fetched", f"{facts.value.fetched:,}", border=True, help="Records that the source answered.")
    hops[1].metric("Duplicates", f"{facts.value.duplicates:,}", border=True, help="Fetched, and staged before.")
    hops[2].metric("Published", f"{facts.value.published:,}", border=True, help="Staged rows sent to Kafka.")
    hops[3].metric("Served", f"{facts.value.served:,}", border=True, help="Users in the query tables.")
    hops[4].metric("In quarantine", f"{facts.value.quarantined:,}", border=True, help="Refused by a rule, and open.")
    moved, served = page.ago(facts.value.publisher_moved_at, now), page.ago(facts.value.served_at, now)
    st.caption(f"The publisher last moved {moved}; the stream last served a batch {served}.")
    if flow.value is None or flow.stale:
        st.warning("What is in flight is not known: PostgreSQL or Kafka does not answer.", icon=":material/cloud_off:")
        return
    waits = st.columns(3)
    waits[0].metric("Wait for the publisher", f"{flow.value.unpublished:,}", border=True, help="Staged rows.")
    waits[1].metric("Wait for the stream", f"{flow.value.unread:,}", border=True, help="Messages: the stream's lag.")
    waits[2].metric("Batches wait for Cassandra", f"{flow.value.unserved:,}", border=True)


def full_check() -> None:
    st.subheader("Ledger")
    st.caption(
        "Compares every store with the one before it, record by record. It reads everything, so it takes a while."
    )
    if st.button("Check now", icon=":material/fact_check:", key="check"):
        with st.spinner("Comparing the stores ..."):
            try:
                st.session_state["ledger"] = ledger.check(settings())
            except UserError as error:
                st.session_state.pop("ledger", None)
                st.error(page.plain(str(error)))
    found = st.session_state.get("ledger")
    if found is None:
        return
    word, box, icon = STATES[found.state]
    box(f"The ledger is {word}, as of {page.clock(found.checked_at)}; checked in {found.seconds:.1f} s.", icon=icon)
    page.table(
        [
            {
                "name": hop.name, "equation": hop.equation, "left": hop.left, "right": hop.right,
                "pending": hop.pending, "state": STATES[hop.state][0], "sentence": hop.sentence,
            }
            for hop in found.hops
        ],
        {
            "name": "Hop", "equation": "Equation", "left": page.number("Left"), "right": page.number("Right"),
            "pending": page.number("Pending"), "state": "State", "sentence": "What it means",
        },
        "Table of the ledger's hops",
    )  # fmt: skip


@st.fragment(run_every=refresh_seconds())
def batches() -> None:
    st.subheader("Stream")
    last = ask_postgres(progress.last_batches, BATCHES)
    if not page.answered("PostgreSQL", [last]):
        return
    if not last.value:
        st.info("The stream has not merged a batch yet.", icon=":material/hourglass_empty:")
        return
    page.draw(charts.batch_durations([_batch(row) for row in last.value]), "Bars of the duration of micro-batches")
    columns: dict[str, Any] = {"batch_id": page.number("Batch"), "started_at": page.instant("Started (UTC)")}
    columns |= {
        name: page.number(name.capitalize()) for name in ("read", "accepted", "rejected", "inserted", "updated")
    }
    columns |= {"served_at": page.instant("In Cassandra (UTC)")}
    page.table([row._asdict() for row in last.value], columns, "Table of the last micro-batches")


def _batch(row: progress.Batch) -> charts.Batch:
    serve = (row.served_at - row.merged_at).total_seconds() if row.served_at else None
    return charts.Batch(row.batch_id, row.started_at, row.read, (row.merged_at - row.started_at).total_seconds(), serve)


in_flight(settings().kafka)
full_check()
batches()
