"""Records that a rule refused, why, and their way back."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, page, redrive
from dashboard.data.stores import ask_postgres
from insights.model.reasons import Rule
from insights.queries import pipeline

SAMPLES = 50
DAYS = 7
SHORTEST = 11
"""Bars before the last one that are drawn at least, with refusals or without: else the first refusal begins."""

page.begin_page("Quarantine")


@st.fragment(run_every=page.draw_live_switch())
def quarantine() -> None:
    reasons = ask_postgres(pipeline.count_open_quarantine)
    refusals = ask_postgres(pipeline.count_rejections_per_hour, DAYS * 24)
    if not page.show_freshness("PostgreSQL", [reasons, refusals]):
        return
    totals(reasons.value or {}, refusals.value or [])
    if refusals.value:
        over_time(refusals.value)
    if not reasons.value:
        st.success("No record is in quarantine.", icon=":material/check_circle:")
        return
    page.draw_figure(
        charts.plot_quarantine_by_reason(reasons.value),
        f"Bars of open quarantine by reason: {formatting.summarize_counts(reasons.value)}.",
    )
    st.caption("Records that are in quarantine now, each counted once, however often it was refused.")
    samples(reasons.value)


def totals(reasons: charts.Counts, refusals: list[pipeline.HourlyRejections]) -> None:
    cards = st.columns(3)
    cards[0].metric(
        "Records in quarantine",
        f"{sum(reasons.values()):,}",
        border=True,
        help="Refused by a rule, and not served since.",
    )
    cards[1].metric("Reasons", f"{len(reasons):,}", border=True, help="Rules that refused them.")
    cards[2].metric(
        f"Refused in {DAYS} days",
        f"{sum(refusal.records for refusal in refusals):,}",
        border=True,
        help="Every refusal, also of records that were served since; a record refused twice counts twice.",
    )


def over_time(refusals: list[pipeline.HourlyRejections]) -> None:
    by_day = st.segmented_control("Bars by", ["hour", "day"], default="hour", key="bars") == "day"
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    last, step = (hour.replace(hour=0), timedelta(days=1)) if by_day else (hour, timedelta(hours=1))
    first = last - timedelta(days=DAYS) + (timedelta(0) if by_day else step)
    counts: Counter[tuple[datetime, str]] = Counter()
    for refusal in refusals:
        counts[refusal.hour.replace(hour=0) if by_day else refusal.hour, refusal.reason] += refusal.records
    first = max(first, min(last - SHORTEST * step, *(instant for instant, _ in counts)))
    figure = charts.plot_rejected_over_time(counts, first, last + step, step)
    refused: Counter[str] = Counter()
    for (_, reason), records in counts.items():
        refused[reason] += records
    page.draw_figure(
        figure, f"Bars of refused records of {DAYS} days, stacked by reason: {formatting.summarize_counts(refused)}."
    )
    st.caption(
        f"Every refusal of the last {DAYS} days by when it was recorded, those that were resolved since included."
        + (" The first day counts from this hour on." if by_day else "")
    )


def samples(reasons: charts.Counts) -> None:
    st.subheader("Latest refused records")
    reason = st.selectbox("Reason", charts.sort_by_count(reasons), key="reason")
    st.markdown(rules(reason))
    found = ask_postgres(pipeline.list_quarantine_samples, reason, SAMPLES)
    if not page.show_freshness("PostgreSQL", [found]):
        return
    page.draw_table(
        [record._asdict() for record in found.value or []],
        {
            "quarantined_at": page.make_instant_column("Refused (UTC)"),
            "field": "Field",
            "detail": "Detail",
            "origin": "Origin",
            "redrives": page.make_number_column("Re-driven"),
            "size": page.make_number_column("Bytes"),
        },
        "Table of the latest refused records",
    )
    st.caption(
        f"At most {SAMPLES} of {reasons[reason]:,} open records. The origin is the message, topic/partition/offset, "
        "or a staged row too large to become one."
    )


def rules(reason: str) -> str:
    """Return the rules that have the reason, as Markdown."""
    items = [
        f"- {', '.join(f'`{field}`' for field in rule.fields)}: {f'{rule.detail} {rule.explanation}'.strip()}"
        for rule in Rule
        if rule.reason == reason
    ]
    return (
        "\n".join(["Rules with this reason, by field:", "", *items])
        if items
        else "No rule of this version has this reason."
    )


quarantine()
redrive.draw_redrive_section(ask_postgres(pipeline.count_open_quarantine).value or {})
