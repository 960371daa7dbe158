"""Records that a rule refused, and why."""

import streamlit as st

from dashboard import charts, page
from dashboard.stores import ask_postgres, refresh_seconds
from insights.serve import progress

SAMPLES = 50

page.begin("Quarantine")


@st.fragment(run_every=refresh_seconds())
def quarantine() -> None:
    reasons = ask_postgres(progress.open_quarantine)
    if not page.answered("PostgreSQL", [reasons]):
        return
    if not reasons.value:
        st.success("No record is in quarantine.", icon=":material/check_circle:")
        return
    st.metric("Records in quarantine", f"{sum(reasons.value.values()):,}", border=True, width="content")
    page.draw(charts.quarantine_by_reason(reasons.value), "Bars of open quarantine by reason")
    samples(reasons.value)


def samples(reasons: charts.Counts) -> None:
    st.subheader("Latest refused records")
    frequent_first = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
    reason = st.selectbox("Reason", frequent_first, key="reason")
    found = ask_postgres(progress.quarantine_samples, reason, SAMPLES)
    if not page.answered("PostgreSQL", [found]):
        return
    page.table(
        [record._asdict() for record in found.value or []],
        {
            "quarantined_at": page.instant("Refused (UTC)"), "field": "Field", "detail": "Detail", "origin": "Origin",
            "redrives": page.number("Redriven"), "size": page.number("Bytes"),
        },
        "Table of the latest refused records",
    )  # fmt: skip
    st.caption(f"At most {SAMPLES}. Corrected records come back with the DAG redrive_quarantine or `insights redrive`.")


quarantine()
