"""Publishers that are killed, paused, stopped or disconnected at critical moments."""

import logging
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from insights.clients import connections
from insights.local.kafka import KafkaServer
from insights.migrations.kafka_topics import ensure_topics
from insights.publisher.leader import FencedError, LeaderCursor
from insights.publisher.staged_rows import CommitPosition
from insights.settings import KafkaSettings, PostgresSettings
from tests.helpers.publisher_process import count_users, read_cursor, run_job, run_publisher, wait_until_published
from tests.helpers.staged_pages import count_published_users, make_records, read_topic, run_sql, stage_page
from tests.helpers.support import eventually, free_port

SIGNAL_BEFORE_ADVANCE = """
import os, signal, pathlib
from insights.publisher.leader import LeaderCursor
advance, mark = LeaderCursor.advance, pathlib.Path({mark!r})
def signal_then_advance(*arguments):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.{signal})
    return advance(*arguments)
LeaderCursor.advance = signal_then_advance
"""


def find_leaders(postgres: PostgresSettings) -> list[int]:
    """The process ids of the database sessions that hold the leader's lock."""
    held = run_sql(
        postgres,
        "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        " WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()",
    )
    return [pid for (pid,) in held]


def test_a_publisher_killed_before_it_advances_the_cursor_repeats_and_loses_nothing(
    postgres: PostgresSettings, kafka: KafkaSettings, tmp_path: Path
) -> None:
    records = make_records(30)
    stage_page(postgres, records)
    patch = SIGNAL_BEFORE_ADVANCE.format(mark=str(tmp_path / "mark"), signal="SIGKILL")
    with run_job(postgres, kafka, patch, INSIGHTS_PUBLISHER_BATCH_ROWS="20") as process:
        assert process.wait(60) == -signal.SIGKILL
    assert read_cursor(postgres)["published"] == 0
    acknowledged = count_published_users(kafka)
    assert sum(acknowledged.values()) == 20

    with run_publisher(postgres, kafka):
        wait_until_published(postgres, 30)
    assert count_published_users(kafka) == count_users(records) + acknowledged


def test_of_two_publishers_one_leads_and_the_other_takes_over(
    postgres: PostgresSettings, kafka: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    records = make_records(20)
    with run_publisher(postgres, kafka) as first:
        eventually(lambda: first.sample("leader") == 1)
        with run_publisher(postgres, kafka) as second:
            eventually(lambda: second.metrics.explain_readiness_failure() is None)
            stage_page(postgres, records[:10], page=1)
            wait_until_published(postgres, 10)
            assert (first.sample("leader"), second.sample("leader")) == (1, 0)
            assert first.metrics.explain_readiness_failure() is None
            [pid] = find_leaders(postgres)
            application = f"'insights-publisher/{os.getpid()}'"
            assert f"standing by: the session {pid} of 'insights', application {application}, leads" in caplog.text
            first.wake.stop()
            eventually(lambda: second.sample("leader") == 1)
            stage_page(postgres, records[10:], page=2)
            wait_until_published(postgres, 20)
            assert (first.sample("published_total"), second.sample("published_total")) == (10, 10)
    assert count_published_users(kafka) == count_users(records)


def test_a_zombie_cannot_advance_the_cursor(postgres: PostgresSettings, kafka: KafkaSettings, tmp_path: Path) -> None:
    records, mark = make_records(40), tmp_path / "mark"
    stage_page(postgres, records[:20], page=1)
    patch = SIGNAL_BEFORE_ADVANCE.format(mark=str(mark), signal="SIGSTOP")
    with run_job(postgres, kafka, patch, INSIGHTS_PUBLISHER_BATCH_ROWS="5") as zombie:
        eventually(mark.exists, seconds=60)
        [pid] = find_leaders(postgres)
        run_sql(postgres, "SELECT pg_terminate_backend(%s)", pid)
        with run_publisher(postgres, kafka) as successor:
            wait_until_published(postgres, 20)
            stage_page(postgres, records[20:], page=2)
            wait_until_published(postgres, 40)
            before = read_cursor(postgres)
            os.kill(zombie.pid, signal.SIGCONT)
            eventually(
                lambda: run_sql(
                    postgres,
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = %s",
                    f"insights-publisher/{zombie.pid}",
                ),
                message="the zombie did not come back as a standby",
            )
            assert read_cursor(postgres) == before
            assert successor.sample("leader") == 1
    topic = count_published_users(kafka)
    assert set(topic) == set(count_users(records))
    assert sum(topic.values()) == 40 + 5


def test_a_leader_that_lost_its_lock_unnoticed_is_fenced(postgres: PostgresSettings) -> None:
    with (
        closing(connections.connect_postgres(postgres, "first")) as one,
        closing(connections.connect_postgres(postgres, "second")) as two,
    ):
        one.autocommit = two.autocommit = True
        old, new = LeaderCursor(one, "topic"), LeaderCursor(two, "topic")
        assert old.try_acquire()
        assert not new.try_acquire()
        old.release()
        assert new.try_acquire()
        new.advance(CommitPosition(1, 20, 20), 20, [])
        with pytest.raises(FencedError, match="another publisher of topic has taken over"):
            old.advance(CommitPosition(1, 10, 10), 10, [])
        assert read_cursor(postgres) == {
            "fence": 2,
            "epoch": 1,
            "xact_id": 20,
            "id": 20,
            "published": 20,
            "quarantined": 0,
        }
        new.advance(CommitPosition(1, 30, 30), 10, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_the_batch_in_flight(
    postgres: PostgresSettings, kafka: KafkaSettings, number: signal.Signals
) -> None:
    records = make_records(6000)
    stage_page(postgres, records)
    with run_job(postgres, kafka, INSIGHTS_PUBLISHER_BATCH_ROWS="20") as process:
        eventually(lambda: read_cursor(postgres)["published"] >= 100)
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "Traceback" not in process.communicate()[0]
    cursor = read_cursor(postgres)
    assert 100 <= cursor["published"] < 6000
    passed = run_sql(
        postgres,
        "SELECT user_key::text FROM staging.users WHERE (epoch, xact_id, id) <= (%s, %s::xid8, %s)",
        cursor["epoch"],
        str(cursor["xact_id"]),
        cursor["id"],
    )
    assert count_published_users(kafka) == {user: 1 for (user,) in passed}
    assert len(passed) == cursor["published"]
    assert find_leaders(postgres) == []


@pytest.fixture
def own_kafka(tmp_path: Path, java: Path, jars: Path) -> Iterator[KafkaServer]:
    """A broker of the test's own, which it may stop."""
    server = KafkaServer(tmp_path, free_port(), java=java, jars=jars, controller_port=free_port())
    server.start()
    server.wait_ready(90)
    yield server
    server.stop()


def test_nothing_is_lost_while_the_broker_is_down(postgres: PostgresSettings, own_kafka: KafkaServer) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers)
    ensure_topics(kafka)
    records = make_records(300)
    with run_publisher(postgres, kafka, batch_rows=20, flush_seconds=2) as publishing:
        stage_page(postgres, records[:100], page=1)
        wait_until_published(postgres, 100)
        own_kafka.stop()
        stage_page(postgres, records[100:200], page=2)
        eventually(lambda: publishing.sample("reconnects_total") >= 2, seconds=60)
        assert publishing.metrics.explain_readiness_failure()
        assert publishing.metrics.explain_liveness_failure() is None
        own_kafka.start()
        own_kafka.wait_ready(90)
        stage_page(postgres, records[200:], page=3)
        wait_until_published(postgres, 300)
    assert set(count_published_users(kafka)) == set(count_users(records))
    assert read_cursor(postgres)["published"] == 300


def test_a_stop_does_not_wait_for_a_broker_that_is_down(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    stage_page(postgres, make_records(3))
    with run_job(postgres, kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})) as process:
        eventually(lambda: read_cursor(postgres)["fence"] >= 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert read_cursor(postgres)["published"] == 0


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def try_fetch_health(port: int) -> Any:
    try:
        return fetch(port, "/healthz")
    except OSError:
        return None


def test_the_job_answers_probes_with_and_without_postgres(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    port = free_port()
    with run_job(postgres.model_copy(update={"port": free_port()}), kafka, http_port=port):
        assert eventually(lambda: try_fetch_health(port)) == (200, "ok\n")
        assert fetch(port, "/readyz") == (503, "not connected\n")
    port = free_port()
    with run_job(postgres, kafka, http_port=port):
        eventually(lambda: try_fetch_health(port))
        eventually(lambda: fetch(port, "/readyz")[0] == 200)
        stage_page(postgres, make_records(7))
        eventually(lambda: "insights_publisher_published_total 7.0" in fetch(port, "/metrics")[1])
        assert "insights_publisher_leader 1.0" in fetch(port, "/metrics")[1]
    assert len(read_topic(kafka)) == 7


def test_a_mistake_in_the_settings_is_one_sentence(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    with run_job(postgres, kafka, INSIGHTS_PUBLISHER_BATCH_ROWS="many") as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    assert output.startswith("error: INSIGHTS_PUBLISHER_BATCH_ROWS is 'many': ")
    assert output.count("\n") == 1
