"""The re-drive on the Quarantine page in headless Chromium: its confirmation survives the page's own refresh."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from insights.settings import AirflowSettings, to_environment
from tests.helpers.airflow_server import FakeAirflow, serve_airflow
from tests.helpers.browser import open_url
from tests.helpers.dashboard_data import fill_postgres
from tests.helpers.dashboard_process import run_streamlit
from tests.helpers.support import eventually, free_port


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    with serve_airflow() as fake:
        yield fake


@pytest.fixture
def address(postgres, connection, airflow, tmp_path) -> Iterator[str]:
    """A dashboard with twelve rejected records, for which every visitor is an operator."""
    fill_postgres(connection, "users.raw", [], datetime.now(UTC))
    port = free_port()
    airflow_settings = AirflowSettings(url=airflow.address, username="dashboard", password=SecretStr("secret"))
    dashboard_settings = {"INSIGHTS_DASHBOARD_AUTH": "none", "INSIGHTS_DASHBOARD_OPERATORS": "*"}
    with run_streamlit(
        tmp_path / "log",
        port,
        to_environment(postgres, airflow_settings) | dashboard_settings,
        "--server.address=127.0.0.1",
    ):
        yield f"http://127.0.0.1:{port}"


def test_a_redrive_is_confirmed_in_a_dialog_that_stays_until_it_is_answered(address, airflow, tmp_path):
    with open_url(address, seconds=120) as (page, _):
        page.get_by_test_id("stSidebarNav").get_by_role("link", name="Quarantine").click()
        page.get_by_role("button", name="Re-drive ...").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("8 open records with this reason").wait_for()
        requests = len(airflow.requested)
        eventually(lambda: len(airflow.requested) >= requests + 2, 120, "the page does not refresh")
        assert airflow.triggered == []
        page.screenshot(path=tmp_path / "dialog.png")
        dialog.get_by_role("button", name="Start the run").click()
        page.get_by_text(
            "The run manual__2 of redrive_quarantine was started: 8 open records with reason BAD_EMAIL."
        ).wait_for()
        dialog.wait_for(state="detached")
        assert [run["conf"] for run in airflow.triggered] == [{"reason": "BAD_EMAIL"}]

        page.get_by_role("button", name="Re-drive ...").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        dialog.wait_for(state="detached")
        assert len(airflow.triggered) == 1
