"""The publisher's processes killed, stopped and cut off, at the windows that matter."""

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
from tests.helpers.publisher_process import cursor_of, done, job, running, users
from tests.helpers.staged_pages import published, published_users, records, sql, stage
from tests.helpers.support import eventually, free_port

BEFORE_MOVE = """
import os, signal, pathlib
from insights.publisher.leader import LeaderCursor
move, mark = LeaderCursor.move, pathlib.Path({mark!r})
def stopped(*arguments):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.{signal})
    return move(*arguments)
LeaderCursor.move = stopped
"""


def leaders(postgres: PostgresSettings) -> list[int]:
    """Database sessions that hold the leader's lock."""
    held = sql(
        postgres,
        "SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        " WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()",
    )
    return [pid for (pid,) in held]


def test_a_publisher_killed_between_ack_and_cursor_repeats_and_loses_nothing(
    postgres: PostgresSettings, kafka: KafkaSettings, tmp_path: Path
) -> None:
    made = records(30)
    stage(postgres, made)
    patch = BEFORE_MOVE.format(mark=str(tmp_path / "mark"), signal="SIGKILL")
    with job(postgres, kafka, patch, INSIGHTS_PUBLISHER_BATCH_ROWS="20") as process:
        assert process.wait(60) == -signal.SIGKILL
    assert cursor_of(postgres)["published"] == 0
    acknowledged = published_users(kafka)
    assert sum(acknowledged.values()) == 20

    with running(postgres, kafka):
        done(postgres, 30)
    assert published_users(kafka) == users(made) + acknowledged


def test_of_two_publishers_one_leads_and_the_other_takes_over(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    made = records(20)
    with running(postgres, kafka) as first:
        eventually(lambda: first.sample("leader") == 1)
        with running(postgres, kafka) as second:
            eventually(lambda: second.metrics.unready() is None)
            stage(postgres, made[:10], page=1)
            done(postgres, 10)
            assert (first.sample("leader"), second.sample("leader")) == (1, 0)
            assert first.metrics.unready() is None
            assert len(leaders(postgres)) == 1
            first.wake.stop()
            eventually(lambda: second.sample("leader") == 1)
            stage(postgres, made[10:], page=2)
            done(postgres, 20)
            assert (first.sample("published_total"), second.sample("published_total")) == (10, 10)
    assert published_users(kafka) == users(made)


def test_a_zombie_cannot_move_the_cursor(postgres: PostgresSettings, kafka: KafkaSettings, tmp_path: Path) -> None:
    made, mark = records(40), tmp_path / "mark"
    stage(postgres, made[:20], page=1)
    patch = BEFORE_MOVE.format(mark=str(mark), signal="SIGSTOP")
    with job(postgres, kafka, patch, INSIGHTS_PUBLISHER_BATCH_ROWS="5") as zombie:
        eventually(mark.exists, seconds=60)
        [pid] = leaders(postgres)
        sql(postgres, "SELECT pg_terminate_backend(%s)", pid)
        with running(postgres, kafka) as successor:
            done(postgres, 20)
            stage(postgres, made[20:], page=2)
            done(postgres, 40)
            before = cursor_of(postgres)
            os.kill(zombie.pid, signal.SIGCONT)
            eventually(
                lambda: sql(
                    postgres,
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = %s",
                    f"insights-publisher/{zombie.pid}",
                ),
                message="the zombie did not come back as a standby",
            )
            assert cursor_of(postgres) == before
            assert successor.sample("leader") == 1
    topic = published_users(kafka)
    assert set(topic) == set(users(made))
    assert sum(topic.values()) == 40 + 5


def test_a_leader_that_lost_its_lock_without_knowing_is_fenced(postgres: PostgresSettings) -> None:
    with (
        closing(connections.connect_postgres(postgres, "first")) as one,
        closing(connections.connect_postgres(postgres, "second")) as two,
    ):
        one.autocommit = two.autocommit = True
        old, new = LeaderCursor(one, "topic"), LeaderCursor(two, "topic")
        assert old.acquire()
        assert not new.acquire()
        old.release()
        assert new.acquire()
        new.move(CommitPosition(1, 20, 20), 20, [])
        with pytest.raises(FencedError, match="another publisher of topic has taken over"):
            old.move(CommitPosition(1, 10, 10), 10, [])
        assert cursor_of(postgres) == {
            "fence": 2,
            "epoch": 1,
            "xact_id": 20,
            "id": 20,
            "published": 20,
            "quarantined": 0,
        }
        new.move(CommitPosition(1, 30, 30), 10, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_the_batch_in_hand(
    postgres: PostgresSettings, kafka: KafkaSettings, number: signal.Signals
) -> None:
    made = records(6000)
    stage(postgres, made)
    with job(postgres, kafka, INSIGHTS_PUBLISHER_BATCH_ROWS="20") as process:
        eventually(lambda: cursor_of(postgres)["published"] >= 100)
        process.send_signal(number)
        assert process.wait(60) == 0
        assert "Traceback" not in process.communicate()[0]
    moved = cursor_of(postgres)
    assert 100 <= moved["published"] < 6000
    passed = sql(
        postgres,
        "SELECT user_key::text FROM staging.users WHERE (epoch, xact_id, id) <= (%s, %s::xid8, %s)",
        moved["epoch"],
        str(moved["xact_id"]),
        moved["id"],
    )
    assert published_users(kafka) == {user: 1 for (user,) in passed}
    assert len(passed) == moved["published"]
    assert leaders(postgres) == []


@pytest.fixture
def own_kafka(tmp_path: Path, java: Path, jars: Path) -> Iterator[KafkaServer]:
    """A broker that the test may stop."""
    server = KafkaServer(tmp_path, free_port(), java=java, jars=jars, controller_port=free_port())
    server.start()
    server.wait_ready(90)
    yield server
    server.stop()


def test_nothing_is_lost_while_the_broker_is_down(postgres: PostgresSettings, own_kafka: KafkaServer) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_kafka.bootstrap_servers)
    ensure_topics(kafka)
    made = records(300)
    with running(postgres, kafka, batch_rows=20, flush_seconds=2) as publishing:
        stage(postgres, made[:100], page=1)
        done(postgres, 100)
        own_kafka.stop()
        stage(postgres, made[100:200], page=2)
        eventually(lambda: publishing.sample("reconnects_total") >= 2, seconds=60)
        assert publishing.metrics.unready()
        assert publishing.metrics.dead() is None
        own_kafka.start()
        own_kafka.wait_ready(90)
        stage(postgres, made[200:], page=3)
        done(postgres, 300)
    assert set(published_users(kafka)) == set(users(made))
    assert cursor_of(postgres)["published"] == 300


def test_a_stop_does_not_wait_for_a_broker_that_is_down(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    stage(postgres, records(3))
    with job(postgres, kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})) as process:
        eventually(lambda: cursor_of(postgres)["fence"] >= 1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert cursor_of(postgres)["published"] == 0


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answers(port: int) -> Any:
    try:
        return get(port, "/healthz")
    except OSError:
        return None


def test_the_job_answers_probes_whether_postgres_is_there_or_not(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    port = free_port()
    with job(postgres.model_copy(update={"port": free_port()}), kafka, http_port=port):
        assert eventually(lambda: answers(port)) == (200, "ok\n")
        assert get(port, "/readyz") == (503, "not connected\n")
    port = free_port()
    with job(postgres, kafka, http_port=port):
        eventually(lambda: answers(port))
        eventually(lambda: get(port, "/readyz")[0] == 200)
        stage(postgres, records(7))
        eventually(lambda: "insights_publisher_published_total 7.0" in get(port, "/metrics")[1])
        assert "insights_publisher_leader 1.0" in get(port, "/metrics")[1]
    assert len(published(kafka)) == 7


def test_a_mistake_in_the_settings_is_one_sentence(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    with job(postgres, kafka, INSIGHTS_PUBLISHER_BATCH_ROWS="many") as process:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 1
    assert output.startswith("INSIGHTS_PUBLISHER_BATCH_ROWS is 'many': ")
    assert output.count("\n") == 1
