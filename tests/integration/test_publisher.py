import base64
import logging
import os
import re
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from insights.clients import connections
from insights.migrations.kafka_topics import ensure_topics
from insights.publisher import loop, staged_rows
from insights.settings import KafkaSettings, PostgresSettings
from tests.helpers.publisher_process import count_users, read_cursor, run_publisher, wait_until_published
from tests.helpers.staged_pages import (
    count_published_users,
    decode_headers,
    make_record,
    make_records,
    read_topic,
    read_user_id,
    run_sql,
    stage_page,
)
from tests.helpers.support import eventually


def insert_rows(connection: Any, records: list[bytes], **values: str) -> None:
    """Insert rows in the connection's open transaction, into the existing partition."""
    for record in records:
        row = {
            "id": "nextval('staging.user_ids')",
            "epoch": "staging.current_epoch()",
            "staged_on": "(SELECT max(staged_on) FROM staging.users)",
            "user_key": f"'{read_user_id(record)}'",
            "version": "1",
            "event_time": "now()",
            "batch_id": "'by hand'",
            "payload": f"'{record.decode()}'",
        } | values
        statement = f"INSERT INTO staging.users ({', '.join(row)}) VALUES ({', '.join(row.values())})"
        connection.cursor().execute(statement)


def test_a_staged_row_becomes_one_message_of_the_same_bytes(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    records = [
        *make_records(3, name="Zoë"),
        b'{"login":{"uuid":"00000000-0000-4000-8000-000000000001"}, "a" : "\\u0000 \\ud800 \\t \\\\ "}',
    ]
    before = datetime.now(UTC).replace(microsecond=0)
    with run_publisher(postgres, kafka):
        stage_page(postgres, records)
        wait_until_published(postgres, 4)
    messages = {message.key().decode(): message for message in read_topic(kafka)}
    assert {key: message.value() for key, message in messages.items()} == {
        read_user_id(record): record for record in records
    }
    staged = run_sql(postgres, "SELECT user_key::text, id::text, version::text, event_time FROM staging.users")
    for key, id_, version, event_time in staged:
        carried = decode_headers(messages[key])
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", carried.pop("traceparent"))
        assert carried == {
            "event_id": id_,
            "batch_id": "seed/1",
            "schema_version": "1",
            "version": version,
            "event_time": str(round(event_time.timestamp() * 1000)),
        }
        assert event_time >= before


def test_many_batches_are_published_once_each(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    records = make_records(103)
    stage_page(postgres, records)
    with run_publisher(postgres, kafka, batch_rows=10) as publishing:
        wait_until_published(postgres, 103)
        eventually(lambda: publishing.sample("batches_total") == 11)
        assert publishing.sample("published_total") == 103
        eventually(lambda: publishing.sample("lag_rows") == 0)
        assert publishing.sample("last_publish_timestamp_seconds") > 1e9
    assert count_published_users(kafka) == count_users(records)


def test_a_batch_ends_early_when_it_grows_large(
    postgres: PostgresSettings, kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staged_rows, "BATCH_BYTES", 1000)
    records = make_records(10, text="x" * 400)
    stage_page(postgres, records)
    with run_publisher(postgres, kafka) as publishing:
        wait_until_published(postgres, 10)
        eventually(lambda: publishing.sample("batches_total") >= 4)
    assert count_published_users(kafka) == count_users(records)


def test_a_notification_wakes_the_publisher(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    records = make_records(3)
    with run_publisher(postgres, kafka, poll_seconds=60) as publishing:
        eventually(lambda: publishing.sample("leader") == 1)
        for page in range(3):
            stage_page(postgres, records[page : page + 1], page=page)
            wait_until_published(postgres, page + 1)
    assert count_published_users(kafka) == count_users(records)


def test_without_a_notification_the_poll_finds_rows(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    records = make_records(2)
    stage_page(postgres, records[:1])
    with run_publisher(postgres, kafka), closing(connections.connect_postgres(postgres, "tests")) as connection:
        wait_until_published(postgres, 1)
        insert_rows(connection, records[1:])
        connection.commit()
        wait_until_published(postgres, 2)
    assert count_published_users(kafka) == count_users(records)


def test_transactions_that_commit_out_of_order_lose_nothing(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    first, early, late = make_records(1), make_records(2), make_records(3)
    stage_page(postgres, first)
    with (
        run_publisher(postgres, kafka) as publishing,
        closing(connections.connect_postgres(postgres, "early")) as connection,
    ):
        wait_until_published(postgres, 1)
        insert_rows(connection, early)
        stage_page(postgres, late, page=2)
        eventually(lambda: publishing.sample("gate_wait_seconds") > 0 or read_cursor(postgres)["published"] > 1)
        connection.commit()
        eventually(lambda: count_published_users(kafka) == count_users(first + early + late), message="rows were lost")
        eventually(lambda: publishing.sample("gate_wait_seconds") == 0)


def test_a_writer_that_holds_rows_back_is_named(
    postgres: PostgresSettings,
    kafka: KafkaSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(loop, "_GATE_WARNING_SECONDS", 0.2)
    caplog.set_level(logging.WARNING)
    with (
        run_publisher(postgres, kafka) as publishing,
        closing(connections.connect_postgres(postgres, "long writer")) as connection,
    ):
        connection.cursor().execute("SELECT pg_current_xact_id()")
        stage_page(postgres, make_records(2))
        named = f"for a transaction of pid {connection.info.backend_pid} (long writer)"
        eventually(lambda: named in caplog.text, message="the writer was not named")
        assert caplog.text.count(named) == 1
        assert publishing.sample("gate_wait_seconds") > 0.2
        eventually(lambda: publishing.sample("lag_rows") == 2)
        connection.rollback()
        wait_until_published(postgres, 2)


def test_a_batch_is_read_by_index_from_partitions_without_statistics(
    postgres: PostgresSettings, connection: Any
) -> None:
    for page, day in enumerate(("2000-01-01", "2000-01-02")):
        name = f"staging.users_{day.replace('-', '')}"
        run_sql(
            postgres,
            f"CREATE TABLE {name} PARTITION OF staging.users FOR VALUES FROM ('{day}') TO ('{day[:-1]}{page + 2}')",
        )
        with connection:
            insert_rows(connection, make_records(500), staged_on=f"'{day}'")
    staged_rows.prepare_connection(connection)
    with connection.cursor() as cursor:
        start = {"epoch": 0, "xact_id": "0", "id": 0}
        cursor.execute("EXPLAIN " + staged_rows.NEXT_ROWS, start | {"current": 1, "limit": 10**6, "rows": 500})
        plan = "\n".join(line for (line,) in cursor)
    assert plan.count("Index Scan using") == 2, plan
    assert not re.search(r"Sort  |Bitmap|Seq Scan", plan), plan


def test_rows_of_an_earlier_cluster_are_published_whatever_their_transaction_ids(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    run_sql(postgres, "INSERT INTO staging.epochs (system_identifier) VALUES (1)")
    new, old = make_records(2), make_records(2)
    stage_page(postgres, new)
    with closing(connections.connect_postgres(postgres, "restore")) as connection:
        insert_rows(connection, old, epoch="1", xact_id="'999999999'")
        connection.commit()
    with run_publisher(postgres, kafka):
        wait_until_published(postgres, 4)
    assert count_published_users(kafka) == count_users(new + old)
    assert read_cursor(postgres)["epoch"] == 2


def set_topic_limit(kafka: KafkaSettings, size: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(size), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, kafka.raw_topic, incremental_configs=[entry])
    admin = AdminClient(kafka.client())
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)
    described = ConfigResource(ResourceType.TOPIC, kafka.raw_topic)
    eventually(
        lambda: admin.describe_configs([described])[described].result()["max.message.bytes"].value == str(size),
        seconds=20,
    )


def assert_quarantined(postgres: PostgresSettings, kafka: KafkaSettings, record: bytes) -> None:
    """`record` is in the quarantine table and topic, without its payload."""
    [row] = run_sql(
        postgres,
        "SELECT q.origin, q.event_id, q.reason, q.key, q.size, q.sha256, q.payload, q.batch_id, u.id::text,"
        " sha256(convert_to(u.payload::text, 'UTF8')), octet_length(u.payload::text)"
        " FROM quarantine.records AS q JOIN staging.users AS u ON u.user_key::text = q.key WHERE q.key = %s",
        read_user_id(record),
    )
    *_, id_, digest, size = row
    expected = (
        f"staging/{id_}",
        id_,
        "TOO_LARGE",
        read_user_id(record),
        size,
        bytes(digest).hex(),
        None,
        "seed/1",
        id_,
    )
    assert row[:9] == expected
    [copy] = [m for m in read_topic(kafka, kafka.quarantine_topic) if m.key().decode() == read_user_id(record)]
    assert copy.value() is None
    carried = decode_headers(copy)
    assert (carried["event_id"], carried["reason"], carried["size"]) == (id_, "TOO_LARGE", str(size))
    assert carried["sha256"] == bytes(digest).hex()


def test_a_row_that_is_too_large_goes_to_quarantine_and_the_other_rows_to_the_topic(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    good, large = make_records(4), make_records(1, text="x" * 2_000_000)
    stage_page(postgres, [*good[:2], *large, *good[2:]])
    with run_publisher(postgres, kafka) as publishing:
        wait_until_published(postgres, 5)
        eventually(lambda: publishing.sample("quarantined_total") == 1)
        assert publishing.sample("published_total") == 4
    assert count_published_users(kafka) == count_users(good)
    assert read_cursor(postgres)["quarantined"] == 1
    assert_quarantined(postgres, kafka, large[0])


def test_the_topic_accepts_messages_up_to_its_limit(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    limit = 20_000
    set_topic_limit(kafka, limit)
    sized = [record for size in range(19_600, 19_960, 8) for record in make_records(1, text="x" * size)]
    stage_page(postgres, sized)
    with run_publisher(postgres, kafka):
        wait_until_published(postgres, len(sized))
    accepted = count_published_users(kafka)
    rejected = dict(run_sql(postgres, "SELECT key, detail FROM quarantine.records"))
    assert accepted + Counter(rejected.keys()) == count_users(sized)
    fit = [size for size, record in enumerate(sized) if read_user_id(record) in accepted]
    assert 0 < len(fit) < len(sized)
    assert fit == list(range(len(fit)))
    smallest = read_user_id(sized[len(fit)])
    assert re.match(r"200(0[1-9]|10) bytes with key and headers exceed the topic's limit of 20000", rejected[smallest])


def test_the_largest_message_that_fits_is_accepted_even_if_it_does_not_compress(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    set_topic_limit(kafka, 20_000)
    sized = [
        record
        for size in range(19_600, 19_960, 4)
        for record in make_records(1, text=base64.b64encode(os.urandom(size)).decode()[:size])
    ]
    stage_page(postgres, sized)
    with run_publisher(postgres, kafka) as publishing:
        wait_until_published(postgres, len(sized))
        assert publishing.sample("reconnects_total") == 0
    details = [detail for (detail,) in run_sql(postgres, "SELECT detail FROM quarantine.records")]
    assert [detail for detail in details if "broker" in detail] == []
    assert sum(count_published_users(kafka).values()) + len(details) == len(sized)
    assert 0 < len(details) < len(sized)


def test_a_row_that_only_the_broker_rejects_as_too_large_goes_to_quarantine(
    postgres: PostgresSettings, kafka: KafkaSettings
) -> None:
    first, good = make_records(1), make_records(5)
    large = make_records(1, text=base64.b64encode(os.urandom(30_000)).decode())
    with run_publisher(postgres, kafka, poll_seconds=1) as publishing:
        stage_page(postgres, first, page=0)
        wait_until_published(postgres, 1)
        set_topic_limit(kafka, 5000)
        stage_page(postgres, [*good[:3], *large, *good[3:]])
        wait_until_published(postgres, 7)
        assert publishing.sample("reconnects_total") == 0
    assert count_published_users(kafka) == count_users(first + good)
    assert_quarantined(postgres, kafka, large[0])
    [(detail,)] = run_sql(postgres, "SELECT detail FROM quarantine.records")
    assert detail.startswith("the broker rejected")


def test_missing_topics_are_waited_for(
    postgres: PostgresSettings, empty_kafka: KafkaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    records = make_records(3)
    stage_page(postgres, records)
    with run_publisher(postgres, empty_kafka) as publishing:
        eventually(lambda: f"Kafka's topic {empty_kafka.raw_topic} cannot be used" in caplog.text)
        assert publishing.metrics.explain_readiness_failure()
        try:
            ensure_topics(empty_kafka)
            wait_until_published(postgres, 3)
            eventually(lambda: publishing.metrics.explain_readiness_failure() is None)
            assert count_published_users(empty_kafka) == count_users(records)
        finally:
            publishing.wake.stop()
    admin = AdminClient(empty_kafka.client())
    for deleted in admin.delete_topics([empty_kafka.raw_topic, empty_kafka.quarantine_topic]).values():
        deleted.result(20)


def test_a_lost_database_connection_is_opened_again(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    records = make_records(40)
    with run_publisher(postgres, kafka, batch_rows=5):
        for page in range(4):
            stage_page(postgres, records[10 * page : 10 * page + 10], page=page)
            run_sql(
                postgres,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'insights-publisher%%'",
            )
        wait_until_published(postgres, 40)
    assert set(count_published_users(kafka)) == set(count_users(records))
    assert read_cursor(postgres)["published"] == 40


def test_raw_keys_are_partitioned_as_by_java_clients(postgres: PostgresSettings, kafka: KafkaSettings) -> None:
    """The partitions, of 2, are those that `Utils.murmur2` of Kafka's Java client assigns to the keys."""
    records = [make_record(f"00000000-0000-4000-8000-00000000000{digit}") for digit in range(4)]
    stage_page(postgres, records)
    with run_publisher(postgres, kafka):
        wait_until_published(postgres, 4)
    for message in read_topic(kafka):
        assert message.partition() == (murmur2(message.key()) & 0x7FFFFFFF) % 2


def murmur2(data: bytes) -> int:
    """`org.apache.kafka.common.utils.Utils.murmur2`, as an unsigned number."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    for start in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[len(data) - len(data) % 4 :]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
