"""What every page uses: its header, figures, tables, links, and the notes on how fresh its answers are."""

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
    """Draw the header; stop with an error message if the visitor may not view the page or a setting is invalid."""
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
    """Whether an address of Airflow is configured; None, with an error message on the page, if it is invalid."""
    try:
        return bool(get_airflow_settings().url)
    except UserError as error:
        st.error(formatting.escape_markdown(str(error)))
        return None


def draw_live_switch() -> float | None:
    """Draw the switch that pauses a page's refresh; return the refresh interval in seconds, None while paused."""
    on = st.toggle(
        "Live", value=True, help=f"Refreshes every {get_refresh_seconds():g} s. Turn it off to freeze the page."
    )
    return get_refresh_seconds() if on else None


def draw_figure(figure: go.Figure, alt: str) -> None:
    """Draw a figure, keyed by its title and the theme that colours it. `alt` states its main finding in words."""
    base = st.get_option("server.baseUrlPath").strip("/")
    config = {"displaylogo": False, "topojsonURL": f"{'/' + base if base else ''}/app/static/"}
    st.plotly_chart(figure, config=config, key=f"{figure.layout.title.text} {st.context.theme.type}", alt=alt)


def draw_page_link(page: str, label: str) -> None:
    """Draw a link to another page, unless the app has no such page."""
    with suppress(StreamlitPageNotFoundError):
        st.page_link(f"views/{page}.py", label=label, icon=":material/arrow_forward:")


def draw_table(rows: Sequence[dict[str, Any]], columns: dict[str, Any], alt: str, **options: Any) -> Any:
    """Draw a table whose cells are text, never markup. Passes `options` to `st.dataframe` and returns its value."""
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
    """Make a column of instants in UTC, to the second."""
    return st.column_config.DatetimeColumn(label, format="YYYY-MM-DD HH:mm:ss", timezone="UTC")


def make_number_column(label: str) -> Any:
    """Make a column of whole numbers with thousands separators."""
    return st.column_config.NumberColumn(label, format="localized")


def name_country(code: str) -> str:
    """Return the country's name, or its code if it is none of the API's countries."""
    return COUNTRY_NAMES.get(code, code)


def say_no_users() -> None:
    """Say that there are no users to count yet, in place of figures."""
    st.info(
        "No users yet. They appear here once the ingest has run: "
        "trigger the DAG ingest_users in Airflow and follow its records on the Flow page.",
        icon=":material/hourglass_empty:",
    )


def show_freshness(store: str, answers: Sequence[CachedAnswer[Any]]) -> bool:
    """Say how old the answers are. Returns False if the store has never given one of them: there is nothing to draw."""
    retries = f"The page retries every {get_refresh_seconds():g} s and recovers by itself."
    if any(answer.as_of is None for answer in answers):
        st.warning(
            f"{store} does not answer, and has not answered since this dashboard started. {retries}",
            icon=":material/cloud_off:",
        )
        return False
    oldest = min(answer.as_of for answer in answers if answer.as_of)
    if any(answer.stale for answer in answers):
        st.warning(
            f"Stale: {store} does not answer. These are its last answers, as of {formatting.format_instant(oldest)}. "
            f"{retries}",
            icon=":material/history:",
        )
    else:
        st.caption(f"{store} as of {formatting.format_instant(oldest)}")
    return True
