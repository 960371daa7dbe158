"""The re-drive section of the Quarantine page, which starts a run of the DAG after a confirmation."""

import streamlit as st

from dashboard import auth, charts
from dashboard.components import formatting, page
from dashboard.components.runs import name_state
from dashboard.data.answers import CachedAnswer
from dashboard.data.stores import ask_airflow, get_airflow_settings, get_refresh_seconds
from insights.clients import airflow
from insights.errors import UserError
from insights.repair.redrive_selection import MAX_RECORDS, MAX_REDRIVES
from insights.text import format_count

DAG = "redrive_quarantine"
RUNS = 10
CONFIRMING, OUTCOME, REASON = "redrive confirming", "redrive outcome", "redrive reason"
"""Session state: whether a confirmation is open, the outcome of the last one, and the reason chosen in it."""


def draw_redrive_section(reasons: charts.Counts) -> None:
    """`reasons`: open records by reason."""
    st.subheader("Re-drive")
    st.write(
        "A re-drive publishes open records again, once the cause of their rejection is fixed. "
        "A record that a rule still rejects comes back here."
    )
    configured = page.is_airflow_configured()
    if configured is None:
        return
    if not configured:
        st.info(
            f"No Airflow is configured for this dashboard: trigger the DAG {DAG} in Airflow yourself, "
            "or run `insights redrive`.",
            icon=":material/link_off:",
        )
        return
    draw_start_button(reasons)
    draw_last_runs()


def draw_start_button(reasons: charts.Counts) -> None:
    if not auth.may_redrive():
        st.caption("Only operators can start a re-drive; INSIGHTS_DASHBOARD_OPERATORS lists them.")
    elif st.button("Re-drive ...", icon=":material/replay:", key="redrive", disabled=not reasons):
        st.session_state[CONFIRMING] = True
        st.session_state.pop(OUTCOME, None)
        confirm_redrive(reasons)
    if OUTCOME in st.session_state:
        draw_box, sentence = st.session_state[OUTCOME]
        draw_box(formatting.escape_markdown(sentence))


@st.dialog("Re-drive rejected records")
def confirm_redrive(reasons: charts.Counts) -> None:
    if CONFIRMING not in st.session_state:
        st.rerun()
    reason = st.selectbox("Reason", charts.sort_by_count(reasons), key=REASON)
    st.write(f"**{format_count(reasons[reason], 'open record')}** with this reason will be published again, unchanged.")
    st.caption(
        f"A run takes at most {MAX_RECORDS:,} records. It skips records that have been re-driven {MAX_REDRIVES} times "
        "or are on their way, those that were too large to be kept, and those of users served from a newer one. "
        "`insights redrive` can also correct records and select individual ones."
    )
    start_column, cancel_column = st.columns(2)
    start_column.button(
        "Start the run", type="primary", key="start", on_click=start_redrive, args=(reasons,), width="stretch"
    )
    if cancel_column.button("Cancel", key="cancel", width="stretch"):
        st.rerun()


def start_redrive(reasons: charts.Counts) -> None:
    """Start a run, once per confirmation: a second click does nothing."""
    if not st.session_state.pop(CONFIRMING, False):
        return
    reason = st.session_state[REASON]
    if not auth.may_redrive():
        st.session_state[OUTCOME] = (st.error, "No run was started: you are no longer an operator.")
        return
    try:
        note = f"Started from the dashboard by {auth.get_visitor()}."
        run = airflow.trigger_run(get_airflow_settings(), DAG, {"reason": reason}, note)
    except UserError as error:
        st.session_state[OUTCOME] = (st.error, str(error))
    else:
        records = format_count(reasons[reason], "open record")
        st.session_state[OUTCOME] = (st.success, f"The run {run} of {DAG} was started: {records} with reason {reason}.")


@st.fragment(run_every=get_refresh_seconds())
def draw_last_runs() -> None:
    runs: CachedAnswer[list[airflow.DagRun]] = ask_airflow(airflow.list_last_runs, DAG, RUNS)
    if runs.problem:
        st.caption(formatting.escape_markdown(runs.problem))
    if not page.show_freshness("Airflow", [runs]):
        return
    if not runs.value:
        st.caption("There has been no re-drive yet.")
        return
    page.draw_table(
        [
            {
                **run._asdict(),
                "state": name_state(run),
                "reason": str(run.conf.get("reason") or "all"),
                "seconds": (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None,
            }
            for run in runs.value
        ],
        {
            "run_id": "Run",
            "reason": "Reason",
            "state": "State",
            "started_at": page.make_instant_column("Started (UTC)"),
            "seconds": st.column_config.NumberColumn("Duration", format="%.1f s"),
            "run_type": "Type",
        },
        "Table of the last re-drives",
    )
