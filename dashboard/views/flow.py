"""Where the records are between the source and the page, how long they take, and whether any is missing."""

from datetime import UTC, datetime

import streamlit as st

from dashboard import charts
from dashboard.components import flow_diagram, formatting, hops, page
from dashboard.data import checks, runs, stalls
from dashboard.data.answers import Answer
from dashboard.data.stores import ask_airflow, ask_cassandra, ask_in_flight, ask_postgres, refresh_seconds, settings
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

page.begin("Flow")
EVERY = page.live()


@st.fragment(run_every=EVERY)
def now() -> None:
    facts = ask_postgres(pipeline.flow_facts, settings().kafka.raw_topic)
    flow = ask_in_flight()
    served = ask_cassandra(user_queries.counts, "gender")
    with st.container(horizontal=True):
        known = page.answered("PostgreSQL", [facts])
        if not facts.stale:
            page.answered("Kafka", [flow])
        page.answered("Cassandra", [served])
    if not known or facts.value is None:
        return
    superseded = ask_postgres(pipeline.superseded, MOST_SUPERSEDED)
    landed = ask_postgres(pipeline.ingest_runs, RUNS)
    found = hops.hops(
        hops.Seen(
            facts.value, _superseded(superseded.value), flow.value, flow.stale, _total(served),
            hops.stuck(stalls.shared(), facts, flow), checks.last(),
            landed.value[0].last_at if landed.value else None, datetime.now(UTC),
        )
    )  # fmt: skip
    _sentence(found, flow.value)
    st.html(flow_diagram.html(found))


def _sentence(found: list[hops.Hop], flow: FlowState | None) -> None:
    worst = hops.worst(found)
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


def _total(genders: Answer[dict[str, int]]) -> int | None:
    return None if genders.value is None else sum(genders.value.values())


@st.fragment(run_every=refresh_seconds())
def full_check() -> None:
    """Looks again even while the page stands still: who asks for a check waits for its result."""
    st.subheader("Ledger")
    st.caption(
        "Compares every store with the one before it, record by record. It reads everything, so it takes a while; "
        "one check runs at a time, and every visitor sees its result."
    )
    st.button("Check now", icon=":material/fact_check:", key="check", on_click=checks.start, disabled=checks.running())
    started = checks.started_at()
    if started:
        st.info(f"A check runs since {formatting.clock(started)}.", icon=":material/pending:")
    if reason := checks.failure():
        st.error(formatting.plain(reason), icon=":material/error:")
    found = checks.last()
    if found is None:
        return
    word, box, icon = STATES[found.state]
    box(
        f"The ledger is {word}, as of {formatting.clock(found.checked_at)}; checked in {found.seconds:.1f} s.",
        icon=icon,
    )
    page.table(
        [
            {
                "name": hop.name, "equation": hop.equation, "left": hop.left, "right": hop.right,
                "pending": hop.pending, "state": STATES[hop.state][0], "sentence": hop.sentence,
            }
            for hop in found.hops
        ],
        {
            "name": "Hop", "state": "State", "sentence": st.column_config.TextColumn("What it means", width="large"),
            "left": page.number("Left"), "right": page.number("Right"), "pending": page.number("On the way"),
            "equation": "Equation",
        },
        "Table of the ledger's hops",
    )  # fmt: skip


@st.fragment(run_every=EVERY)
def times() -> None:
    st.subheader("From the fetch to the page")
    hour = ask_postgres(pipeline.latency, MINUTES)
    last = ask_postgres(pipeline.last_batches, BATCHES)
    if not page.answered("PostgreSQL", [hour, last]):
        return
    if not last.value:
        st.info("The stream has not merged a batch yet.", icon=":material/hourglass_empty:")
        return
    if hour.value is None:
        st.info(f"No new user was served in the last {MINUTES} minutes.", icon=":material/hourglass_empty:")
    else:
        with st.container(horizontal=True):
            for name, seconds in zip(("p50", "p95", "p99"), hour.value[:3], strict=True):
                st.metric(f"Latency {name}", runs.seconds(seconds), border=True)
        st.caption(
            f"Seconds from the answer of the source until Cassandra had the user: {hour.value.records:,} new users "
            f"of the last {MINUTES} minutes."
        )
    figures(last.value)
    batches_table(last.value)


def figures(last: list[pipeline.Batch]) -> None:
    left, right = st.columns(2)
    with left:
        page.draw(
            charts.batch_latencies(runs.latencies(last), st.session_state.get("logarithmic", False)),
            "Lines of the latency of the last micro-batches at three percentiles",
        )
        st.toggle("Logarithmic seconds", key="logarithmic")
    with right:
        page.draw(charts.batch_durations(runs.durations(last)), "Bars of the duration of the last micro-batches")


def batches_table(last: list[pipeline.Batch]) -> None:
    columns = {"batch_id": page.number("Batch"), "started_at": page.instant("Started (UTC)")}
    columns |= {
        name: page.number(name.capitalize()) for name in ("read", "accepted", "rejected", "inserted", "updated")
    }
    columns |= {"served_at": page.instant("In Cassandra (UTC)")}
    with st.expander(f"The last {len(last)} micro-batches", icon=":material/table:"):
        page.table([row._asdict() for row in last], columns, "Table of the last micro-batches")


@st.fragment(run_every=EVERY)
def ingest() -> None:
    st.subheader("Runs of the ingest")
    landed = ask_postgres(pipeline.ingest_runs, RUNS)
    if not page.answered("PostgreSQL", [landed]):
        return
    columns = {
        "run_id": "Run", "pages": page.number("Pages"), "fetched": page.number("Fetched"),
        "staged": page.number("Staged"), "duplicates": page.number("Duplicates"),
        "first_at": page.instant("First page (UTC)"), "last_at": page.instant("Last page (UTC)"),
    }  # fmt: skip
    rows = [run._asdict() for run in landed.value or []]
    if page.knows_airflow():
        told = ask_airflow(airflow.last_runs, DAG, RUNS)
        if page.answered("Airflow", [told]):
            rows = runs.joined(told.value or [], landed.value or [])
            columns = {"run_id": "Run", "state": "State", "started_at": page.instant("Started (UTC)")} | columns
    if not rows:
        st.info(f"The DAG {DAG} has not run yet.", icon=":material/hourglass_empty:")
        return
    page.table(rows, columns, "Table of the last runs of the ingest")


now()
full_check()
times()
ingest()
