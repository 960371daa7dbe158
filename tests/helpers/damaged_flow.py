"""Changes by hand to an idle flow, each of which the ledger must name."""

from dataclasses import replace

from insights.model.schema import CASSANDRA_TABLES, find_id_bucket
from tests.helpers.idle_flow import (
    IdleFlow,
    add_batch,
    gender,
    make_cells,
    message,
    user_id,
)

ARRIVAL = "hour = %s AND event_time = %s AND user_id = %s"
COUNTRY = "country_code = %s AND bucket = %s AND registered_at = %s AND user_id = %s"


def remove_staging_row(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.users WHERE id = 7")


def remove_key(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.user_keys WHERE id = 7")


def remove_served(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM analytics.users WHERE event_id = '7'")


def remove_quarantined(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM quarantine.records WHERE event_id = '31'")


def remove_page(flow: IdleFlow) -> None:
    flow.sql("DELETE FROM staging.batches")


def remove_by_id(flow: IdleFlow) -> None:
    flow.remove_profile(7)


def remove_by_country(flow: IdleFlow) -> None:
    flow.cql(f"DELETE FROM user_summaries_by_country WHERE {COUNTRY}", *country_key(7))


def remove_by_month(flow: IdleFlow) -> None:
    (row,) = (
        row
        for row in flow.cql("SELECT registered_month, bucket, registered_at, user_id FROM user_summaries_by_month")
        if row.user_id == user_id(7)
    )
    flow.cql(
        "DELETE FROM user_summaries_by_month"
        " WHERE registered_month = %s AND bucket = %s AND registered_at = %s AND user_id = %s",
        *row,
    )


def change_cell(flow: IdleFlow) -> None:
    flow.change_profile(7, city="Elsewhere")


def blank_cell(flow: IdleFlow) -> None:
    flow.change_profile(7, full_name="")


def null_cell(flow: IdleFlow) -> None:
    flow.change_profile(7, full_name=None)


def change_served(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.users SET distance_km = 1.5 WHERE event_id = '7'")


def leave_a_stale_row(flow: IdleFlow) -> None:
    _, bucket, registered_at, user = country_key(7)
    flow.insert(
        "user_summaries_by_country", country_code="ZZ", bucket=bucket, registered_at=registered_at, user_id=user
    )


def invent_a_user(flow: IdleFlow) -> None:
    flow.insert("user_profiles_by_id", id_bucket=find_id_bucket(user_id(999)), user_id=user_id(999))


def copy_to_another_partition(flow: IdleFlow) -> None:
    id_bucket, user, profile = make_cells(7, ("id_bucket", "user_id", "profile"))
    flow.insert("user_profiles_by_id", id_bucket=id_bucket ^ 1, user_id=user, profile=profile)


def move_to_another_partition(flow: IdleFlow) -> None:
    copy_to_another_partition(flow)
    remove_by_id(flow)


def wrong_count(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def wrong_served_count(flow: IdleFlow) -> None:
    flow.cql("UPDATE user_counts SET count = 77 WHERE dimension = 'gender' AND value = %s", gender(7))


def change_page(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.batches SET fetched = fetched + 1, duplicates = duplicates + 1")


def change_batch(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.batches SET inserted = inserted + 1")


def remove_batch(flow: IdleFlow) -> None:
    add_batch(flow)
    add_batch(flow)
    flow.sql("DELETE FROM analytics.batches WHERE batch_id = 1")


def change_payload(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET payload = '{}' WHERE id = 7")


def change_batch_of_staged_row(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET batch_id = 'other' WHERE id = 7")


def change_payload_staged_before_digests(flow: IdleFlow) -> None:
    flow.sql("UPDATE staging.users SET payload = '{}', digest = NULL WHERE id = 7")


def publish_another_value(flow: IdleFlow) -> None:
    flow.publish(replace(message(7), value=b"{}"))
    add_batch(flow)


def change_first_name_alike_in_both_stores(flow: IdleFlow) -> None:
    flow.sql("UPDATE analytics.users SET first_name = 'Other' WHERE event_id = '7'")
    flow.change_profile(7, first_name="Other")


def change_quarantined_payload(flow: IdleFlow) -> None:
    flow.sql("UPDATE quarantine.records SET payload = '{}' WHERE event_id = '31'")


def change_quarantined_detail(flow: IdleFlow) -> None:
    flow.sql("UPDATE quarantine.records SET detail = 'other' WHERE event_id = '31'")


def truncate_arrivals(flow: IdleFlow) -> None:
    flow.cql("TRUNCATE latest_arrivals")


def remove_arrival(flow: IdleFlow) -> None:
    flow.cql(f"DELETE FROM latest_arrivals WHERE {ARRIVAL}", *arrival_key(7))


def change_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET city = 'Elsewhere' WHERE {ARRIVAL}", *arrival_key(7))


def blank_the_version_of_an_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET version = null WHERE {ARRIVAL}", *arrival_key(7))


def invent_an_arrival(flow: IdleFlow) -> None:
    flow.cql(f"UPDATE latest_arrivals SET version = 1 WHERE {ARRIVAL}", *arrival_key(7)[:2], user_id(999))


def move_an_arrival_to_another_hour(flow: IdleFlow) -> None:
    names = CASSANDRA_TABLES["latest_arrivals"][1]
    cells = dict(zip(names, make_cells(7, names), strict=True)) | {"hour": "2026-11-20T13"}
    remove_arrival(flow)
    flow.insert("latest_arrivals", **cells)


def arrival_key(number: int) -> tuple[object, ...]:
    return tuple(make_cells(number, ("hour", "event_time", "user_id")))


def country_key(number: int) -> tuple[object, ...]:
    return tuple(make_cells(number, ("country_code", "bucket", "registered_at", "user_id")))
