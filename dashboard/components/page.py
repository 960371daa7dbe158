"""What every page is made of: its head, figures, marks of age, and words for numbers and times."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from dashboard.auth import require_visitor
from dashboard.components import formatting
from dashboard.components.icon import ICON
from dashboard.data.answers import CachedAnswer
from dashboard.data.stores import get_airflow_settings, get_refresh_seconds, get_store_settings
from insights.errors import UserError
from insights.model.countries import load_countries

COUNTRY_NAMES = {code: country.name for code, country in load_countries().items()}
"""By ISO 3166-1 alpha-2 code."""


def begin_page(title: str) -> None:
    """The page's head. It ends with a sentence for who may not see the page, and for a setting that cannot be used."""
    st.set_page_config(page_title=f"{title} · User Insights", page_icon=ICON, layout="wide")
    st.title(title)
    try:
        get_store_settings()
        get_refresh_seconds()
        require_visitor()
    except UserError as error:
        st.error(formatting.escape_markdown(str(error)))
        st.stop()


def is_airflow_configured() -> bool | None:
    """Whether the dashboard knows Airflow; none, and a sentence on the page, for a setting that cannot be used."""
    try:
        return bool(get_airflow_settings().url)
    except UserError as error:
        st.error(formatting.escape_markdown(str(error)))
        return None


def draw_live_switch() -> float | None:
    """A switch that stops a page from moving while somebody reads it; the seconds between two looks, if it moves."""
    on = st.toggle(
        "Live", value=True, help=f"Look again every {get_refresh_seconds():g} s. Off, the page stands still."
    )
    return get_refresh_seconds() if on else None


def draw_figure(figure: go.Figure, alt: str) -> None:
    """A figure, known by its title and the theme, in whose colours it is drawn; `alt` says in words what it shows."""
    base = st.get_option("server.baseUrlPath").strip("/")
    config = {"displaylogo": False, "topojsonURL": f"{'/' + base if base else ''}/app/static/"}
    st.plotly_chart(figure, config=config, key=f"{figure.layout.title.text} {st.context.theme.type}", alt=alt)


def draw_page_link(page: str, label: str) -> None:
    """A way to another page; none where the visitor has no such page."""
    with suppress(StreamlitPageNotFoundError):
        st.page_link(f"views/{page}.py", label=label, icon=":material/arrow_forward:")


def draw_table(rows: Sequence[dict[str, Any]], columns: dict[str, Any], alt: str, **options: Any) -> Any:
    """A table of cells that are drawn as text, never as markup; `options` of `st.dataframe`, whose value it returns."""
    return st.dataframe(
        list(rows),
        hide_index=True,
        column_config=columns,
        column_order=list(columns),
        placeholder="–",
        alt=alt,
        **options,
    )


def make_instant_column(label: str) -> Any:
    """A column of times, written in full."""
    return st.column_config.DatetimeColumn(label, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")


def make_number_column(label: str) -> Any:
    """A column of whole numbers, with separators of thousands."""
    return st.column_config.NumberColumn(label, format="localized")


def say_no_users() -> None:
    """In place of figures, while there is nothing to count."""
    st.info(
        "No users yet. They appear here by themselves once the ingest has run: "
        "trigger the DAG ingest_users in Airflow, and follow its records on the Flow page.",
        icon=":material/hourglass_empty:",
    )


def show_freshness(store: str, answers: Sequence[CachedAnswer[Any]]) -> bool:
    """Say how old the answers are; false if one was never given, so that there is nothing to draw."""
    if any(answer.as_of is None for answer in answers):
        st.warning(
            f"{store} does not answer, and has not since this dashboard started. "
            f"The page looks again every {get_refresh_seconds():g} s and comes back by itself.",
            icon=":material/cloud_off:",
        )
        return False
    oldest = min(answer.as_of for answer in answers if answer.as_of)
    if any(answer.stale for answer in answers):
        st.warning(
            f"Stale: {store} does not answer. These are its last answers, as of {formatting.format_instant(oldest)}. "
            f"The page looks again every {get_refresh_seconds():g} s and comes back by itself.",
            icon=":material/history:",
        )
    else:
        st.caption(f"{store} as of {formatting.format_instant(oldest)}")
    return True
