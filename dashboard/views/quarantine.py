"""Rejected records, the reasons for their rejection, and their re-drive."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import streamlit as st

from dashboard import charts
from dashboard.components import formatting, page, redrive
from dashboard.data.rejected_value import show_rejected_value
from dashboard.data.stores import ask_postgres
from insights.model.reasons import Rule
from insights.queries import pipeline
from insights.text import format_count

SAMPLES = 50
DAYS = 7
MIN_BARS = 11
"""The axis begins at the first rejection, but shows at least this many bars before the last one."""

page.begin_page("Quarantine")


@st.fragment(run_every=page.draw_live_switch())
def draw_quarantine() -> None:
    reasons = ask_postgres(pipeline.count_open_quarantine)
    rejections = ask_postgres(pipeline.count_rejections_per_hour, DAYS * 24)
    if not page.show_freshness("PostgreSQL", [reasons, rejections]):
        return
    draw_totals(reasons.value or {}, rejections.value or [])
    if rejections.value:
        draw_rejections_over_time(rejections.value)
    if not reasons.value:
        st.success("The quarantine is empty.", icon=":material/check_circle:")
        return
    page.draw_figure(
        charts.plot_quarantine_by_reason(reasons.value),
        f"Bar chart of records in quarantine by reason: {formatting.summarize_counts(reasons.value)}.",
    )
    st.caption("Records in quarantine now, each counted once, however often it was rejected.")
    draw_samples(reasons.value)


def draw_totals(reasons: charts.Counts, rejections: list[pipeline.HourlyRejections]) -> None:
    cards = st.columns(3)
    cards[0].metric(
        "Records in quarantine",
        f"{sum(reasons.values()):,}",
        border=True,
        help="Rejected by a rule and not delivered since.",
    )
    cards[1].metric("Reasons", f"{len(reasons):,}", border=True, help="Number of distinct reasons.")
    cards[2].metric(
        f"Rejected in {DAYS} days",
        f"{sum(rejection.records for rejection in rejections):,}",
        border=True,
        help="Every rejection, including records delivered since; a record that was rejected twice counts twice.",
    )


def draw_rejections_over_time(rejections: list[pipeline.HourlyRejections]) -> None:
    by_day = st.segmented_control("One bar per", ["hour", "day"], default="hour", key="bars") == "day"
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    last, step = (hour.replace(hour=0), timedelta(days=1)) if by_day else (hour, timedelta(hours=1))
    first = last - timedelta(days=DAYS) + (timedelta(0) if by_day else step)
    counts: Counter[tuple[datetime, str]] = Counter()
    for rejection in rejections:
        counts[rejection.hour.replace(hour=0) if by_day else rejection.hour, rejection.reason] += rejection.records
    first = max(first, min(last - MIN_BARS * step, *(instant for instant, _ in counts)))
    figure = charts.plot_rejected_over_time(counts, first, last + step, step)
    by_reason: Counter[str] = Counter()
    for (_, reason), records in counts.items():
        by_reason[reason] += records
    page.draw_figure(
        figure,
        f"Bar chart of the records rejected in {DAYS} days, stacked by reason: "
        f"{formatting.summarize_counts(by_reason)}.",
    )
    st.caption(
        f"Every rejection of the last {DAYS} days by the time it was recorded, including those resolved since."
        + (" The first day is counted only from the current time of day onwards." if by_day else "")
    )


def draw_samples(reasons: charts.Counts) -> None:
    st.subheader("Latest rejected records")
    reason = st.selectbox("Reason", charts.sort_by_count(reasons), key="reason")
    st.markdown(rules(reason))
    samples = ask_postgres(pipeline.list_quarantine_samples, reason, SAMPLES)
    if not page.show_freshness("PostgreSQL", [samples]):
        return
    page.draw_table(
        [
            sample._asdict() | {"value": show_rejected_value(sample.payload, sample.field)}
            for sample in samples.value or []
        ],
        {
            "quarantined_at": page.make_instant_column("Rejected (UTC)"),
            "field": "Field",
            "value": "Value",
            "detail": "Detail",
            "origin": "Origin",
            "redrives": page.make_number_column("Re-drives"),
            "size": page.make_number_column("Bytes"),
        },
        "Table of the latest rejected records",
    )
    st.caption(
        f"The latest rejections, at most {SAMPLES}, of {format_count(reasons[reason], 'open record')} with "
        "this reason. The value is that of the field, shortened; – means that the field is absent or that the payload "
        "was not kept. The origin is the message as topic/partition/offset, or the staged row if it was too large to "
        "publish."
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


draw_quarantine()
redrive.draw_redrive_section(ask_postgres(pipeline.count_open_quarantine).value or {})
