"""The metrics of a running dashboard: what its visitors do, see and wait for, on a port apart from the pages."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from tests.helpers.dashboard_process import run_streamlit
from tests.helpers.page_text import read_page
from tests.helpers.support import REPOSITORY, eventually, free_port

LOOPBACK = "--server.address=127.0.0.1"
METRICS_PORT = "INSIGHTS_DASHBOARD_METRICS_PORT"
BROKEN_PAGE = "raise ValueError('the page is broken')\n"
BROKEN_PART = """
import streamlit as st

@st.fragment(run_every=60)
def draw():
    raise ValueError("a part of the page is broken")

draw()
"""


class Pages(NamedTuple):
    """A running dashboard."""

    port: int
    metrics_port: int

    def read_metrics(self) -> dict[str, float]:
        """The dashboard's own metrics by name and the values of its labels, which are in the order of their names."""
        text = read(f"http://127.0.0.1:{self.metrics_port}/metrics")
        return {
            " ".join([sample.name.removeprefix("insights_dashboard_"), *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def run_pages(
    log: Path, postgres: PostgresSettings | None = None, script: str = "dashboard/serve.py"
) -> Iterator[Pages]:
    """Run the dashboard without Kafka and Cassandra; an answer is cached for longer than a test."""
    nowhere, pages = free_port(), Pages(free_port(), free_port())
    variables = to_environment(
        postgres or PostgresSettings(port=nowhere),
        KafkaSettings(bootstrap_servers=f"127.0.0.1:{nowhere}"),
        CassandraSettings(port=nowhere),
    )
    own = {"INSIGHTS_DASHBOARD_CACHE_SECONDS": "3600", METRICS_PORT: str(pages.metrics_port)}
    with run_streamlit(log, pages.port, variables | own, LOOPBACK, script=script):
        yield pages


def test_renders_queries_and_answers_from_the_cache_are_counted(postgres: PostgresSettings, tmp_path: Path) -> None:
    with run_pages(tmp_path / "log", postgres) as pages:
        assert pages.read_metrics()["errors_total"] == 0
        read_page(pages.port, page="quarantine")
        first = pages.read_metrics()
        read_page(pages.port, page="quarantine")
        second = pages.read_metrics()
        assert "Cassandra does not answer" in read_page(pages.port)
        third = pages.read_metrics()
    assert (first["render_seconds_count Quarantine"], second["render_seconds_count Quarantine"]) == (1, 2)
    assert 0 < first["render_seconds_sum Quarantine"] < second["render_seconds_sum Quarantine"]
    answered = "queries_total answered PostgreSQL"
    assert second[answered] == first[answered] > 0
    assert second["cached_answers_total PostgreSQL"] >= first["cached_answers_total PostgreSQL"] + first[answered]
    assert second["queries_total failed PostgreSQL"] == 0
    assert (third["queries_total answered Cassandra"], third["queries_total failed Cassandra"]) == (0, 1)
    assert third["render_seconds_count Overview"] == 1
    assert third["errors_total"] == 0


def test_an_uncaught_exception_of_a_page_or_of_a_part_of_it_is_counted(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "dashboard", tmp_path / "dashboard")
    (tmp_path / "dashboard" / "views" / "topics.py").write_text(BROKEN_PAGE)
    (tmp_path / "dashboard" / "views" / "quarantine.py").write_text(BROKEN_PART)
    with run_pages(tmp_path / "log", script=str(tmp_path / "dashboard" / "serve.py")) as pages:
        read_page(pages.port, page="topics")
        assert pages.read_metrics()["errors_total"] == 1
        read_page(pages.port, page="quarantine")
        assert pages.read_metrics()["errors_total"] == 2
        assert pages.read_metrics()["render_seconds_count Topics"] == 1
    assert "the page is broken" in (tmp_path / "log").read_text()


def test_open_pages_are_counted_and_metrics_are_on_a_port_of_their_own(tmp_path: Path) -> None:
    with run_pages(tmp_path / "log") as pages:
        assert pages.read_metrics()["sessions"] == 0
        address = f"127.0.0.1:{pages.port}"
        with connect(f"ws://{address}/_stcore/stream", subprotocols=[Subprotocol("streamlit")], proxy=None):
            eventually(lambda: pages.read_metrics()["sessions"] == 1)
        eventually(lambda: pages.read_metrics()["sessions"] == 0)
        assert "insights_dashboard_" not in read(f"http://{address}/metrics")


def test_a_port_of_the_metrics_that_is_taken_ends_the_process_with_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "streamlit", "run", "dashboard/serve.py", LOOPBACK, f"--server.port={free_port()}"],
            cwd=REPOSITORY,
            env=os.environ | {METRICS_PORT: str(port)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"error: Port {port} on 127.0.0.1 cannot serve" in done.stderr
    assert METRICS_PORT in done.stderr
    assert "Traceback" not in done.stderr
