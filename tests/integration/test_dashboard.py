"""The dashboard on real servers: its queries, and its pages while Cassandra is empty, filled, down and up again."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from insights.clients import connections
from insights.queries import pipeline
from insights.queries import users as user_queries
from insights.settings import to_environment
from tests.helpers.app_pages import PAGES, get_metrics
from tests.helpers.dashboard_data import (
    HOSTILE_NAME,
    Hops,
    counts_of,
    fill_cassandra,
    fill_postgres,
    users,
)
from tests.helpers.dimension_oracle import CROSSED, SINGLE
from tests.helpers.support import eventually

NOW = datetime.now(UTC).replace(microsecond=0)
PEOPLE = users(1200, NOW)


@pytest.fixture
def filled(cassandra):
    fill_cassandra(cassandra, PEOPLE)
    return cassandra


@pytest.fixture
def session(filled):
    with connections.open_cassandra(filled) as session:
        yield session


@pytest.fixture
def hops(connection, kafka) -> Hops:
    return fill_postgres(connection, kafka.raw_topic, PEOPLE, NOW)


@pytest.fixture
def environment(monkeypatch, postgres, kafka, cassandra) -> Iterator[None]:
    """Set the dashboard's settings in the environment."""
    st.cache_resource.clear()
    for name, value in to_environment(postgres, kafka, cassandra).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INSIGHTS_DASHBOARD_CACHE_SECONDS", "0")
    yield
    st.cache_resource.clear()


@pytest.fixture
def overview(environment) -> AppTest:  # noqa: ARG001
    return AppTest.from_file(str(PAGES / "overview.py"), default_timeout=60)


def read_warnings(app: AppTest) -> str:
    return " ".join(warning.value for warning in app.warning)


def test_counts_are_the_aggregates_of_a_dimension(session):
    for dimension in SINGLE:
        assert user_queries.read_counts(session, dimension) == dict(counts_of(PEOPLE)[dimension])


def test_cross_counts_are_the_aggregates_of_a_dimension_of_several_fields(session):
    for dimension in CROSSED:
        expected = {tuple(json.loads(value)): count for value, count in counts_of(PEOPLE)[dimension].items()}
        assert user_queries.read_cross_counts(session, dimension) == expected


def test_cross_counts_of_one_first_value_are_its_own_alone(session):
    found = user_queries.read_cross_counts(session, "country_city", "DE")
    assert found == Counter(("DE", person["city"]) for person in PEOPLE if person["country_code"] == "DE")
    assert set(found) >= {("DE", 'São "Paulo"'), ("DE", None)}
    assert user_queries.read_cross_counts(session, "country_city", "D") == {}


def test_cross_counts_since_a_month_include_it(session):
    month = sorted(counts_of(PEOPLE)["registered_month"])[-3]
    months = {values[0] for values in user_queries.read_cross_counts_since(session, "month_country", month)}
    assert months == set(sorted(counts_of(PEOPLE)["registered_month"])[-3:])


def test_a_value_that_lost_its_last_user_is_left_out(session):
    session.execute("INSERT INTO user_counts (dimension, value, count) VALUES ('gender', 'other', 0)")
    assert "other" not in user_queries.read_counts(session, "gender")


def test_the_latest_arrivals_come_newest_first(session):
    found = user_queries.list_latest_arrivals(session, 20)
    assert [arrival.user_id for arrival in found] == [person["user_id"] for person in PEOPLE[:20]]
    assert found[0].full_name == HOSTILE_NAME


def test_arrivals_of_days_ago_are_found_when_none_is_newer(cassandra):
    before = datetime.fromtimestamp(NOW.timestamp() - 5 * 86_400, UTC)
    fill_cassandra(cassandra, users(30, before))
    with connections.open_cassandra(cassandra) as session:
        assert len(user_queries.list_latest_arrivals(session, 20)) == 20


def test_a_user_is_found_by_id_and_an_unknown_one_is_not(session):
    found = user_queries.fetch_user(session, PEOPLE[3]["user_id"])
    assert found is not None
    assert (found["full_name"], found["age"]) == (PEOPLE[3]["full_name"], PEOPLE[3]["age"])
    assert user_queries.fetch_user(session, users(1, NOW, seed=99)[0]["user_id"]) is None


def test_the_sample_is_bounded_in_every_country(session):
    sample = user_queries.sample_places(session, ("AU", "US"), 2)
    by_country = [place.country_code for place in sample]
    assert 0 < by_country.count("US") <= 32
    assert 16 <= by_country.count("AU") <= 32
    assert user_queries.sample_places(session, (), 2) == []


def test_a_user_without_coordinates_is_not_on_the_map(cassandra):
    person = users(1, NOW)[0] | {"latitude": None, "country_code": "FR"}
    fill_cassandra(cassandra, [person])
    with connections.open_cassandra(cassandra) as session:
        assert user_queries.sample_places(session, ("FR",), 2) == []


def test_the_hop_totals_are_those_of_the_stores(connection, hops, kafka):
    totals = pipeline.read_hop_totals(connection.cursor(), kafka.raw_topic)
    assert totals[:6] == (
        hops.fetched,
        hops.fetched - hops.duplicates,
        hops.duplicates,
        hops.published,
        len(PEOPLE),
        hops.quarantined,
    )
    assert totals.publisher_moved_at is not None
    assert totals.served_at is not None


def test_the_hop_totals_of_an_empty_flow_are_zero(connection, kafka):
    assert pipeline.read_hop_totals(connection.cursor(), kafka.raw_topic) == (0, 0, 0, 0, 0, 0, None, None, None)


@pytest.mark.usefixtures("hops")
def test_batches_come_newest_first(connection):
    assert [batch.batch_id for batch in pipeline.list_last_batches(connection.cursor(), 2)] == [2, 1]


@pytest.mark.usefixtures("hops")
def test_the_latency_of_batches_is_from_the_fetch_to_cassandra(connection):
    cursor = connection.cursor()
    batches: list[Any] = pipeline.list_last_batches(cursor, 3)
    for batch in batches:
        served_after = (batch.served_at - batch.started_at).total_seconds()
        found = (batch.latency_p50, batch.latency_p95, batch.latency_p99)
        assert found == pytest.approx([served_after + 2 - (100 - percent) / 50 for percent in (50, 95, 99)])
    latency: Any = pipeline.measure_latency(cursor, 60)
    assert latency.records == 3 * 498
    assert min(batch.latency_p50 for batch in batches) <= latency.p50 <= max(batch.latency_p50 for batch in batches)
    assert latency.p50 < latency.p95 < latency.p99 <= max(batch.latency_p99 for batch in batches) + 0.02


@pytest.mark.usefixtures("hops")
def test_the_latency_of_many_batches_is_read_from_some_percentiles_of_each(connection, monkeypatch):
    every: Any = pipeline.measure_latency(connection.cursor(), 60)
    monkeypatch.setattr(pipeline, "MAX_PERCENTILES", 30)
    some: Any = pipeline.measure_latency(connection.cursor(), 60)
    assert some.records == every.records
    assert some != every
    assert some[:3] == pytest.approx(every[:3], abs=0.25)


def test_latency_without_a_batch_is_unknown(connection):
    assert pipeline.measure_latency(connection.cursor(), 60) is None


@pytest.mark.usefixtures("hops")
def test_arrivals_per_minute_add_up_and_have_no_gaps(connection):
    minutes = pipeline.count_arrivals_per_minute(connection.cursor(), 30)
    assert [(b.minute - a.minute).total_seconds() for a, b in pairwise(minutes)] == [60] * 29
    assert sum(minute.inserted for minute in minutes) == 3 * 498
    assert sum(minute.rejected for minute in minutes) == 6


def test_superseded_events_are_counted_up_to_a_bound(connection):
    with connection, connection.cursor() as cursor:
        assert pipeline.count_superseded(cursor, 10) == 0
        for event in range(5):
            cursor.execute(
                "INSERT INTO analytics.superseded VALUES (%s, gen_random_uuid(), 1, 'newer', 1)", (str(event),)
            )
        assert (pipeline.count_superseded(cursor, 10), pipeline.count_superseded(cursor, 4)) == (5, 4)


@pytest.mark.usefixtures("hops")
def test_rejections_are_counted_by_hour_and_reason_even_when_resolved(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '0'")
        found = pipeline.count_rejections_per_hour(cursor, 24)
    assert {(rejections.reason, rejections.records) for rejections in found} == {("BAD_EMAIL", 8), ("SCHEMA", 4)}


def test_ingest_runs_are_listed_by_their_pages(connection, hops):
    [run] = pipeline.list_ingest_runs(connection.cursor(), 5)
    assert run[:6] == ("d", "r", 1, hops.fetched, hops.fetched - hops.duplicates, hops.duplicates)


@pytest.mark.usefixtures("hops")
def test_open_quarantine_counts_a_record_rejected_again_once_and_a_resolved_one_never(connection, kafka):
    with connection, connection.cursor() as cursor:
        assert pipeline.count_open_quarantine(cursor) == {"BAD_EMAIL": 8, "SCHEMA": 4}
        cursor.execute("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '0'")
        cursor.execute("UPDATE quarantine.records SET event_id = '3' WHERE event_id = '5'")
        assert pipeline.count_open_quarantine(cursor) == {"BAD_EMAIL": 6, "SCHEMA": 4}
        samples = pipeline.list_quarantine_samples(cursor, "BAD_EMAIL", 50)
    assert f"{kafka.raw_topic}/0/0" not in {sample.origin for sample in samples}
    assert len(samples) == 7


@pytest.mark.usefixtures("hops")
def test_a_sample_has_the_payload_unless_it_is_large(connection):
    with connection, connection.cursor() as cursor:
        for event_id, kilobytes in (("0", 16), ("3", 17)):
            cursor.execute(
                "UPDATE quarantine.records SET payload = repeat('x', %s)::bytea WHERE event_id = %s",
                (kilobytes * 1024, event_id),
            )
        payloads = {
            sample.origin.rpartition("/")[2]: sample.payload
            for sample in pipeline.list_quarantine_samples(cursor, "BAD_EMAIL", 50)
        }
    assert payloads == {"0": b"x" * 16 * 1024, "3": None} | dict.fromkeys(("2", "5", "6", "8", "9", "11"), b"{}")


def test_the_overview_is_right_while_cassandra_is_empty_then_filled_then_down_then_back(
    overview, cassandra, cassandra_server, hops
):
    overview.run()
    assert not overview.exception
    assert "No users yet" in overview.info[0].value

    fill_cassandra(cassandra, PEOPLE)
    overview.run()
    assert not overview.exception
    assert get_metrics(overview)["Users"] == "1,200"
    assert get_metrics(overview)["In quarantine"] == f"{100 * hops.quarantined / (1200 + hops.quarantined):.2f}%"
    assert len(overview.get("plotly_chart")) == 4
    assert len(overview.dataframe) == 1

    cassandra_server.stop()
    try:
        overview.run()
        assert not overview.exception
        assert "Stale: Cassandra does not answer" in read_warnings(overview)
        assert get_metrics(overview)["Users"] == "1,200"
        assert len(overview.get("plotly_chart")) == 4
    finally:
        cassandra_server.start()
        cassandra_server.wait_ready(90)
    eventually(lambda: "Stale" not in read_warnings(overview.run()), 60, "the page did not come back by itself")
    assert get_metrics(overview)["Users"] == "1,200"


@pytest.mark.usefixtures("environment", "hops", "filled")
@pytest.mark.parametrize(
    ("name", "figures", "frames"),
    [
        ("demographics", 4, 0),
        ("geography", 4, 1),
        ("registrations", 4, 1),
        ("explore", 0, 1),
        ("flow", 2, 2),
        ("topics", 1, 1),
        ("quarantine", 2, 1),
    ],
)
def test_the_other_pages_show_what_the_stores_hold(name, figures, frames):
    app = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=60).run()
    assert not app.exception
    assert not app.warning
    assert len(app.dataframe) == frames
    assert len(app.get("plotly_chart")) == figures


@pytest.mark.usefixtures("environment", "hops")
def test_quarantine_counts_open_records_and_all_rejections(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE quarantine.records SET resolved_at = now() WHERE event_id = '0'")
        cursor.execute("UPDATE quarantine.records SET event_id = '3', redrives = 1 WHERE event_id = '5'")
    app = AppTest.from_file(str(PAGES / "quarantine.py"), default_timeout=60).run()
    assert not app.exception
    assert get_metrics(app) == {"Records in quarantine": "10", "Reasons": "2", "Rejected in 7 days": "12"}
    app.selectbox(key="reason").select("BAD_EMAIL").run()
    assert "`email`: The value is not an e-mail address." in " ".join(text.value for text in app.markdown)
    [samples] = [frame.value for frame in app.dataframe]
    assert len(samples) == 7
    assert sorted(samples["redrives"].unique()) == [0, 1]
