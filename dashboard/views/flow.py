"""Where the records are between the source and the pages, how long they take, and whether any is missing."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import flow_diagram, formatting, hops, page, runs
from dashboard.data import checks, components, stalls
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
from insights.clients.component_states import ComponentState
from insights.ledger.flow_state import FlowState
from insights.ledger.hops import LedgerState
from insights.queries import pipeline
from insights.queries import users as user_queries
from insights.text import format_count

BATCHES = 50
RUNS = 10
LATENCY_MINUTES = 60
SUPERSEDED_LIMIT = 100_000
DAG = "ingest_users"
STATES = {
    LedgerState.CLOSED: ("closed", st.success, ":material/check_circle:"),
    LedgerState.IN_FLIGHT: ("in flight", st.info, ":material/pending:"),
    LedgerState.BROKEN: ("broken", st.error, ":material/error:"),
}

page.begin_page("Flow")
REFRESH_SECONDS = page.draw_live_switch()


@st.fragment(run_every=REFRESH_SECONDS)
def draw_flow() -> None:
    draw_impaired_components()
    totals = ask_postgres(pipeline.read_hop_totals, get_store_settings().kafka.raw_topic)
    flow = ask_in_flight()
    genders = ask_cassandra(user_queries.read_counts, "gender")
    with st.container(horizontal=True):
        has_totals = page.show_freshness("PostgreSQL", [totals])
        if not totals.stale:
            page.show_freshness("Kafka", [flow])
        page.show_freshness("Cassandra", [genders])
    if not has_totals or totals.value is None:
        return
    superseded = ask_postgres(pipeline.count_superseded, SUPERSEDED_LIMIT)
    ingest_runs = ask_postgres(pipeline.list_ingest_runs, RUNS)
    cards = hops.build_hop_cards(
        hops.FlowSnapshot(
            totals.value,
            _format_superseded(superseded.value),
            flow.value,
            flow.stale,
            _sum_users(genders),
            hops.find_stalls(stalls.get_shared_tracker(), totals, flow),
            checks.get_last_ledger(),
            ingest_runs.value[0].last_at if ingest_runs.value else None,
            datetime.now(UTC),
        )
    )
    draw_flow_summary(cards, flow.value)
    st.html(flow_diagram.render_flow(cards))


def draw_impaired_components() -> None:
    for status in components.list_impaired():
        name, message = (formatting.escape_markdown(text) for text in (status.component, status.message))
        if status.state is ComponentState.FAILED:
            st.error(f"{message}", icon=":material/error:")
        else:
            reason = f": {message}" if message else ""
            st.warning(f"{name} is not ready, {status.state.value}{reason}", icon=":material/restart_alt:")


def draw_flow_summary(cards: list[hops.HopCard], flow: FlowState | None) -> None:
    worst = hops.find_worst_health(cards)
    backlog = flow.sentence() if flow else ""
    draw_box, sentence = {
        hops.Health.FINE: (st.success, "Nothing is in flight: no record is waiting for any stage."),
        hops.Health.WAITING: (st.info, f"In flight: {backlog}."),
        hops.Health.UNKNOWN: (st.warning, "What is in flight is unknown: a store does not answer."),
        hops.Health.STALLED: (
            st.error,
            f"Stalled: {backlog}, and there is no progress. See the log of the marked hop.",
        ),
        hops.Health.BROKEN: (
            st.error,
            "The last full check found missing, extra or changed records; the table below names them.",
        ),
    }[worst]
    draw_box(sentence, icon=worst.value)


def _format_superseded(count: int | None) -> str:
    if count is None:
        return "unknown"
    return f"{count:,} or more" if count == SUPERSEDED_LIMIT else f"{count:,}"


def _sum_users(genders: CachedAnswer[dict[str, int]]) -> int | None:
    return None if genders.value is None else sum(genders.value.values())


@st.fragment(run_every=get_refresh_seconds())
def draw_ledger() -> None:
    """Refresh even while the page is paused: whoever starts a check waits for its result."""
    st.subheader("Ledger")
    st.caption(
        "A check compares every store with the one before it, record by record. It reads everything, so it takes a "
        "while; only one runs at a time, and every visitor sees its result."
    )
    st.button(
        "Check now",
        icon=":material/fact_check:",
        key="check",
        on_click=checks.start_check,
        disabled=checks.is_running(),
    )
    started_at = checks.get_started_at()
    if started_at:
        st.info(f"A check has been running since {formatting.format_instant(started_at)}.", icon=":material/pending:")
    if failure := checks.get_last_failure():
        st.error(formatting.escape_markdown(failure), icon=":material/error:")
    ledger = checks.get_last_ledger()
    if ledger is None:
        return
    state, draw_box, icon = STATES[ledger.state]
    draw_box(
        f"The ledger is {state}, as of {formatting.format_instant(ledger.checked_at)}. "
        f"The check took {ledger.seconds:.1f} s.",
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
            for hop in ledger.hops
        ],
        {
            "name": "Hop",
            "state": "State",
            "sentence": st.column_config.TextColumn("Meaning", width="large"),
            "left": page.make_number_column("Left side"),
            "right": page.make_number_column("Right side"),
            "pending": page.make_number_column("In flight"),
            "equation": "Equation",
        },
        "Table of the ledger's hops",
    )


@st.fragment(run_every=REFRESH_SECONDS)
def draw_latency() -> None:
    st.subheader("End-to-end latency")
    latency = ask_postgres(pipeline.measure_latency, LATENCY_MINUTES)
    batches = ask_postgres(pipeline.list_last_batches, BATCHES)
    if not page.show_freshness("PostgreSQL", [latency, batches]):
        return
    if not batches.value:
        st.info("The stream has not merged a batch yet.", icon=":material/hourglass_empty:")
        return
    if latency.value is None:
        st.info(f"No new user was delivered in the last {LATENCY_MINUTES} minutes.", icon=":material/hourglass_empty:")
    else:
        with st.container(horizontal=True):
            for percentile, seconds in zip(("p50", "p95", "p99"), latency.value[:3], strict=True):
                st.metric(f"Latency {percentile}", runs.format_seconds(seconds), border=True)
        st.caption(
            "Time from the source's response until Cassandra had the user: "
            f"{format_count(latency.value.records, 'new user')} of the last {LATENCY_MINUTES} minutes."
        )
    draw_batch_figures(batches.value)
    draw_batch_table(batches.value)


def draw_batch_figures(batches: list[pipeline.BatchSummary]) -> None:
    left, right = st.columns(2)
    with left:
        page.draw_figure(
            charts.plot_batch_latencies(runs.to_batch_latencies(batches), st.session_state.get("logarithmic", False)),
            "Line chart of the latency of the last micro-batches, at three percentiles",
        )
        st.toggle("Logarithmic scale", key="logarithmic")
    with right:
        page.draw_figure(
            charts.plot_batch_durations(runs.to_batch_durations(batches)),
            "Bar chart of the duration of the last micro-batches",
        )


def draw_batch_table(batches: list[pipeline.BatchSummary]) -> None:
    columns = {"batch_id": page.make_number_column("Batch"), "started_at": page.make_instant_column("Started (UTC)")}
    columns |= {
        name: page.make_number_column(name.capitalize())
        for name in ("read", "accepted", "rejected", "inserted", "updated")
    }
    columns |= {"served_at": page.make_instant_column("In Cassandra (UTC)")}
    title = f"Last {format_count(len(batches), 'micro-batch', 'micro-batches')}"
    with st.expander(title, icon=":material/table:"):
        page.draw_table([batch._asdict() for batch in batches], columns, "Table of the last micro-batches")


@st.fragment(run_every=REFRESH_SECONDS)
def draw_ingest_runs() -> None:
    st.subheader("Ingest runs")
    ingest_runs = ask_postgres(pipeline.list_ingest_runs, RUNS)
    if not page.show_freshness("PostgreSQL", [ingest_runs]):
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
    rows = [run._asdict() for run in ingest_runs.value or []]
    if page.is_airflow_configured():
        dag_runs = ask_airflow(airflow.list_last_runs, DAG, RUNS)
        if page.show_freshness("Airflow", [dag_runs]):
            rows = runs.join_runs(dag_runs.value or [], ingest_runs.value or [])
            columns = {
                "run_id": "Run",
                "state": "State",
                "started_at": page.make_instant_column("Started (UTC)"),
            } | columns
    if not rows:
        st.info(f"The DAG {DAG} has not run yet.", icon=":material/hourglass_empty:")
        return
    page.draw_table(rows, columns, "Table of the last ingest runs")


draw_flow()
draw_ledger()
draw_latency()
draw_ingest_runs()
