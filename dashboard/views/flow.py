"""Where the records are between the source and the page, how long they take, and whether any is missing."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import flow_diagram, formatting, hops, page
from dashboard.data import checks, runs, stalls
from dashboard.data.answers import CachedAnswer
from dashboard.data.stores import (
    ask_airflow,
    ask_cassandra,
    ask_in_flight,
    ask_postgres,
    get_refresh_seconds,
    get_store_settings,
)
from insights.clients import airflow
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import pipeline
from insights.queries import users as user_queries

BATCHES = 50
RUNS = 10
MINUTES = 60
"""Whose latency the cards tell."""
MOST_SUPERSEDED = 100_000
DAG = "ingest_users"
STATES = {
    LedgerState.CLOSED: ("closed", st.success, ":material/check_circle:"),
    LedgerState.IN_FLIGHT: ("in flight", st.info, ":material/pending:"),
    LedgerState.BROKEN: ("broken", st.error, ":material/error:"),
}

page.begin_page("Flow")
EVERY = page.draw_live_switch()


@st.fragment(run_every=EVERY)
def now() -> None:
    facts = ask_postgres(pipeline.read_hop_totals, get_store_settings().kafka.raw_topic)
    flow = ask_in_flight()
    served = ask_cassandra(user_queries.read_counts, "gender")
    with st.container(horizontal=True):
        known = page.show_freshness("PostgreSQL", [facts])
        if not facts.stale:
            page.show_freshness("Kafka", [flow])
        page.show_freshness("Cassandra", [served])
    if not known or facts.value is None:
        return
    superseded = ask_postgres(pipeline.count_superseded, MOST_SUPERSEDED)
    landed = ask_postgres(pipeline.list_ingest_runs, RUNS)
    found = hops.build_hop_cards(
        hops.FlowSnapshot(
            facts.value,
            _superseded(superseded.value),
            flow.value,
            flow.stale,
            _total(served),
            hops.find_stalls(stalls.get_shared_tracker(), facts, flow),
            checks.get_last_ledger(),
            landed.value[0].last_at if landed.value else None,
            datetime.now(UTC),
        )
    )
    _sentence(found, flow.value)
    st.html(flow_diagram.render_flow(found))


def _sentence(found: list[hops.HopCard], flow: FlowState | None) -> None:
    worst = hops.find_worst_health(found)
    waits = flow.sentence() if flow else ""
    say, words = {
        hops.Health.FINE: (st.success, "Nothing is on its way: what was fetched has arrived."),
        hops.Health.WAITS: (st.info, f"On its way: {waits}."),
        hops.Health.UNKNOWN: (st.warning, "What is on its way is not known now: a store does not answer."),
        hops.Health.STALLED: (st.error, f"Stalled: {waits}, and it does not move. See the marked hop's log."),
        hops.Health.BROKEN: (st.error, "The last full check found records lost, invented or changed; it names them."),
    }[worst]
    say(words, icon=worst.value)


def _superseded(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count:,} or more" if count == MOST_SUPERSEDED else f"{count:,}"


def _total(genders: CachedAnswer[dict[str, int]]) -> int | None:
    return None if genders.value is None else sum(genders.value.values())


@st.fragment(run_every=get_refresh_seconds())
def full_check() -> None:
    """Looks again even while the page stands still: who asks for a check waits for its result."""
    st.subheader("Ledger")
    st.caption(
        "Compares every store with the one before it, record by record. It reads everything, so it takes a while; "
        "one check runs at a time, and every visitor sees its result."
    )
    st.button(
        "Check now",
        icon=":material/fact_check:",
        key="check",
        on_click=checks.start_check,
        disabled=checks.is_running(),
    )
    started = checks.get_started_at()
    if started:
        st.info(f"A check runs since {formatting.format_instant(started)}.", icon=":material/pending:")
    if reason := checks.get_last_failure():
        st.error(formatting.escape_markdown(reason), icon=":material/error:")
    found = checks.get_last_ledger()
    if found is None:
        return
    word, box, icon = STATES[found.state]
    box(
        f"The ledger is {word}, as of {formatting.format_instant(found.checked_at)}; checked in {found.seconds:.1f} s.",
        icon=icon,
    )
    page.draw_table(
        [
            {
                "name": hop.name,
                "equation": hop.equation,
                "left": hop.left,
                "right": hop.right,
                "pending": hop.pending,
                "state": STATES[hop.state][0],
                "sentence": hop.sentence,
            }
            for hop in found.hops
        ],
        {
            "name": "Hop",
            "state": "State",
            "sentence": st.column_config.TextColumn("What it means", width="large"),
            "left": page.make_number_column("Left"),
            "right": page.make_number_column("Right"),
            "pending": page.make_number_column("On the way"),
            "equation": "Equation",
        },
        "Table of the ledger's hops",
    )


@st.fragment(run_every=EVERY)
def times() -> None:
    st.subheader("From the fetch to the page")
    hour = ask_postgres(pipeline.measure_latency, MINUTES)
    last = ask_postgres(pipeline.list_last_batches, BATCHES)
    if not page.show_freshness("PostgreSQL", [hour, last]):
        return
    if not last.value:
        st.info("The stream has not merged a batch yet.", icon=":material/hourglass_empty:")
        return
    if hour.value is None:
        st.info(f"No new user was served in the last {MINUTES} minutes.", icon=":material/hourglass_empty:")
    else:
        with st.container(horizontal=True):
            for name, seconds in zip(("p50", "p95", "p99"), hour.value[:3], strict=True):
                st.metric(f"Latency {name}", runs.format_seconds(seconds), border=True)
        st.caption(
            f"Seconds from the answer of the source until Cassandra had the user: {hour.value.records:,} new users "
            f"of the last {MINUTES} minutes."
        )
    figures(last.value)
    batches_table(last.value)


def figures(last: list[pipeline.BatchSummary]) -> None:
    left, right = st.columns(2)
    with left:
        page.draw_figure(
            charts.plot_batch_latencies(runs.to_batch_latencies(last), st.session_state.get("logarithmic", False)),
            "Lines of the latency of the last micro-batches at three percentiles",
        )
        st.toggle("Logarithmic seconds", key="logarithmic")
    with right:
        page.draw_figure(
            charts.plot_batch_durations(runs.to_batch_durations(last)), "Bars of the duration of the last micro-batches"
        )


def batches_table(last: list[pipeline.BatchSummary]) -> None:
    columns = {"batch_id": page.make_number_column("Batch"), "started_at": page.make_instant_column("Started (UTC)")}
    columns |= {
        name: page.make_number_column(name.capitalize())
        for name in ("read", "accepted", "rejected", "inserted", "updated")
    }
    columns |= {"served_at": page.make_instant_column("In Cassandra (UTC)")}
    with st.expander(f"The last {len(last)} micro-batches", icon=":material/table:"):
        page.draw_table([row._asdict() for row in last], columns, "Table of the last micro-batches")


@st.fragment(run_every=EVERY)
def ingest() -> None:
    st.subheader("Runs of the ingest")
    landed = ask_postgres(pipeline.list_ingest_runs, RUNS)
    if not page.show_freshness("PostgreSQL", [landed]):
        return
    columns = {
        "run_id": "Run",
        "pages": page.make_number_column("Pages"),
        "fetched": page.make_number_column("Fetched"),
        "staged": page.make_number_column("Staged"),
        "duplicates": page.make_number_column("Duplicates"),
        "first_at": page.make_instant_column("First page (UTC)"),
        "last_at": page.make_instant_column("Last page (UTC)"),
    }
    rows = [run._asdict() for run in landed.value or []]
    if page.is_airflow_configured():
        told = ask_airflow(airflow.list_last_runs, DAG, RUNS)
        if page.show_freshness("Airflow", [told]):
            rows = runs.join_runs(told.value or [], landed.value or [])
            columns = {
                "run_id": "Run",
                "state": "State",
                "started_at": page.make_instant_column("Started (UTC)"),
            } | columns
    if not rows:
        st.info(f"The DAG {DAG} has not run yet.", icon=":material/hourglass_empty:")
        return
    page.draw_table(rows, columns, "Table of the last runs of the ingest")


now()
full_check()
times()
ingest()
