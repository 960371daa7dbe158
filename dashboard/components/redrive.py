"""The re-drive of refused records, as the Quarantine page offers it: a run of Airflow's DAG, after a confirmation."""

import streamlit as st

from dashboard import auth, charts
from dashboard.components import formatting, page
from dashboard.data.answers import CachedAnswer
from dashboard.data.runs import STATES
from dashboard.data.stores import ask_airflow, get_airflow_settings, get_refresh_seconds
from insights.clients import airflow
from insights.errors import UserError
from insights.repair.redrive import MAX_REDRIVES, RedriveSelection

DAG = "redrive_quarantine"
RUNS = 10
ASKED, OUTCOME, CHOSEN = "redrive asked", "redrive outcome", "redrive reason"
"""What a session keeps: a confirmation that is open, what came of the last one, and the reason chosen in it."""


def draw_redrive_section(reasons: charts.Counts) -> None:
    """`reasons`: open records by reason."""
    st.subheader("Re-drive")
    st.write(
        "A re-drive publishes open records again, once what refused them is mended: a record that a rule still refuses "
        "comes back here."
    )
    known = page.is_airflow_configured()
    if known is None:
        return
    if not known:
        st.info(
            f"This dashboard knows no Airflow: start the DAG {DAG} there by hand, or run `insights redrive`.",
            icon=":material/link_off:",
        )
        return
    draw_offer(reasons)
    draw_runs()


def draw_offer(reasons: charts.Counts) -> None:
    if not auth.may_redrive():
        st.caption("Starting one takes an operator: INSIGHTS_DASHBOARD_OPERATORS names them.")
    elif st.button("Re-drive ...", icon=":material/replay:", key="redrive", disabled=not reasons):
        st.session_state[ASKED] = True
        st.session_state.pop(OUTCOME, None)
        confirm_redrive(reasons)
    if OUTCOME in st.session_state:
        box, sentence = st.session_state[OUTCOME]
        box(formatting.escape_markdown(sentence))


@st.dialog("Re-drive refused records")
def confirm_redrive(reasons: charts.Counts) -> None:
    if ASKED not in st.session_state:
        st.rerun()
    reason = st.selectbox("Reason", charts.sort_by_count(reasons), key=CHOSEN)
    st.write(f"**{reasons[reason]:,}** open records of this reason are published again, as they are.")
    st.caption(
        f"At most {RedriveSelection().limit:,} in a run. It passes over what was re-driven {MAX_REDRIVES} times, and "
        "what was too large to be kept. `insights redrive` also corrects records, and takes single ones."
    )
    yes, no = st.columns(2)
    yes.button("Start the run", type="primary", key="start", on_click=start_redrive, args=(reasons,), width="stretch")
    if no.button("Cancel", key="cancel", width="stretch"):
        st.rerun()


def start_redrive(reasons: charts.Counts) -> None:
    """Once for each time that the confirmation was opened: a second click finds it answered."""
    if not st.session_state.pop(ASKED, False):
        return
    reason = st.session_state[CHOSEN]
    if not auth.may_redrive():
        st.session_state[OUTCOME] = (st.error, "No run was started: you are not an operator any more.")
        return
    try:
        note = f"Started on the dashboard by {auth.get_visitor()}."
        run = airflow.trigger_run(get_airflow_settings(), DAG, {"reason": reason}, note)
    except UserError as error:
        st.session_state[OUTCOME] = (st.error, str(error))
    else:
        sentence = f"The run {run} of {DAG} was started: {reasons[reason]:,} open records of {reason}."
        st.session_state[OUTCOME] = (st.success, sentence)


@st.fragment(run_every=get_refresh_seconds())
def draw_runs() -> None:
    found: CachedAnswer[list[airflow.DagRun]] = ask_airflow(airflow.list_last_runs, DAG, RUNS)
    if found.problem:
        st.caption(formatting.escape_markdown(found.problem))
    if not page.show_freshness("Airflow", [found]):
        return
    if not found.value:
        st.caption("There was no re-drive yet.")
        return
    page.draw_table(
        [
            {
                **run._asdict(),
                "state": STATES.get(run.state, run.state),
                "reason": str(run.conf.get("reason") or "every"),
                "seconds": (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None,
            }
            for run in found.value
        ],
        {
            "run_id": "Run",
            "reason": "Reason",
            "state": "State",
            "started_at": page.make_instant_column("Started (UTC)"),
            "seconds": st.column_config.NumberColumn("Took", format="%.1f s"),
            "run_type": "Kind",
        },
        "Table of the last re-drives",
    )
