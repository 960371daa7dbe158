"""The pages with hand-written stores: what they say when full, empty and down."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import dashboard.page
from insights import ledger
from insights.errors import UserError
from insights.serve import queries
from tests.unit.dashboard_fakes import FakeStores

HOSTILE = "<script>alert(1)</script> ![x](http://example.org/x.png) [y](http://example.org) :red[z]"
PAGES = Path(dashboard.page.__file__).parent
HOME, FLOW, QUARANTINE = PAGES / "Home.py", PAGES / "pages/1_Flow.py", PAGES / "pages/2_Quarantine.py"


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStores]:
    st.cache_resource.clear()
    monkeypatch.setenv("INSIGHTS_DASHBOARD_CACHE_SECONDS", "0")
    fakes = FakeStores(HOSTILE)
    fakes.install(monkeypatch)
    yield fakes
    st.cache_resource.clear()


def opened(page: Path) -> AppTest:
    app = AppTest.from_file(str(page), default_timeout=30).run()
    assert not app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def said(app: AppTest) -> str:
    """All text of the page that is read as Markdown."""
    kinds: list[Any] = [app.title, app.subheader, app.markdown, app.caption]
    kinds += [app.warning, app.info, app.error, app.success]
    return "\n".join(element.value for kind in kinds for element in kind)


def figures(app: AppTest) -> int:
    return len(app.get("plotly_chart"))


def table(app: AppTest, column: str) -> Any:
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def test_home_counts_each_user_once_and_the_share_of_quarantine():
    found = metrics(opened(HOME))
    assert (found["Users"], found["Countries"], found["In quarantine"]) == ("100", "2", "20.00 %")
    assert found["Newest record"].endswith(("s ago", "min ago"))


def test_home_shows_eight_figures_and_three_tables():
    app = opened(HOME)
    assert figures(app) == 8
    assert len(app.dataframe) == 3
    assert "A sample: 2 of 100 users" in said(app)


def test_the_table_of_countries_is_ordered_by_users_and_adds_up():
    countries = table(opened(HOME), "share")
    assert list(countries["country"]) == ["Germany", "France"]
    assert list(countries["users"]) == [70, 30]
    assert countries["share"].sum() == pytest.approx(100)


def test_users_of_another_country_and_of_a_month_are_shown_when_chosen():
    app = opened(HOME)
    app.selectbox(key="code").select("FR").run()
    assert list(table(app, "registered_at")["full_name"]) == [f"{HOSTILE} of FR"]
    assert "1 of 30 users" in said(app)
    app.selectbox(key="by").select("month").run()
    assert list(table(app, "registered_at")["full_name"]) == [f"{HOSTILE} of 2020-03"]
    assert "1 of 60 users" in said(app)


def test_home_says_what_to_do_when_there_are_no_users(fakes):
    fakes.counts, fakes.quarantine = {}, {}
    app = opened(HOME)
    assert figures(app) == 0
    assert "No users yet" in said(app)
    assert metrics(app)["Users"] == "0"
    assert metrics(app)["Newest record"] == "never"


def test_home_without_an_answer_ever_says_so_and_draws_nothing(fakes):
    fakes.down = {"Cassandra"}
    app = opened(HOME)
    assert "Cassandra does not answer" in said(app)
    assert figures(app) == len(app.metric) == 0


@pytest.fixture
def broken_queries(fakes: FakeStores, monkeypatch: pytest.MonkeyPatch) -> FakeStores:
    """Cassandra goes down behind an open session."""
    answer = queries.counts

    def counts(session: object, dimension: str) -> dict[str, int]:
        if "Cassandra" in fakes.down:
            raise UserError("no host")
        return answer(session, dimension)

    monkeypatch.setattr(queries, "counts", counts)
    return fakes


def test_home_keeps_the_last_answers_with_a_mark_while_cassandra_is_down_and_recovers(broken_queries):
    app = opened(HOME)
    assert "Stale" not in said(app)
    broken_queries.down = {"Cassandra"}
    app.run()
    assert not app.exception
    assert "Stale: Cassandra does not answer" in said(app)
    assert metrics(app)["Users"] == "100"
    assert figures(app) == 8
    broken_queries.down = set()
    app.run()
    assert "Stale" not in said(app)


def test_home_does_without_postgresql(fakes):
    fakes.down = {"PostgreSQL"}
    app = opened(HOME)
    assert metrics(app)["In quarantine"] == "unknown"
    assert figures(app) == 8


def test_the_flow_shows_every_hop_and_what_waits():
    found = metrics(opened(FLOW))
    assert found == {
        "Fetched": "1,130", "Duplicates": "5", "Published": "1,125", "Served": "1,100", "In quarantine": "25",
        "Wait for the publisher": "11", "Wait for the stream": "22", "Batches wait for Cassandra": "1",
    }  # fmt: skip


def test_the_flow_shows_offsets_and_the_lag_of_the_stream():
    raw, quarantine = table(opened(FLOW), "lag").to_dict("records")
    assert (raw["begin"], raw["end"], raw["messages"], raw["read"], raw["lag"]) == (2, 10, 8, 7, 3)
    assert quarantine["messages"] == 4
    assert quarantine["lag"] != quarantine["lag"]  # Not a number: the stream does not read it.


def test_a_partition_that_the_stream_has_not_read_lags_by_all_its_messages(fakes):
    fakes.read = {}
    raw = table(opened(FLOW), "lag").to_dict("records")[0]
    assert (raw["read"], raw["lag"]) == (2, 8)


def test_the_flow_draws_the_duration_of_batches_also_of_one_that_is_not_served():
    app = opened(FLOW)
    assert figures(app) == 1
    assert list(table(app, "started_at")["batch_id"]) == [3]


def test_the_ledger_is_checked_only_when_asked_and_stays_on_the_page():
    app = opened(FLOW)
    assert not app.success
    app.button(key="check").click().run()
    assert "The ledger is closed" in app.success[0].value
    assert list(table(app, "equation")["sentence"]) == ["It says so."]
    app.run()
    assert app.success


def test_a_broken_ledger_is_shown_as_an_error(fakes):
    fakes.state = ledger.State.BROKEN
    app = opened(FLOW)
    app.button(key="check").click().run()
    assert "The ledger is broken" in app.error[0].value


def test_a_check_that_cannot_be_made_ends_in_a_sentence_without_markup(fakes):
    app = opened(FLOW)
    fakes.down = {"Kafka"}
    app.button(key="check").click().run()
    assert not app.exception
    assert app.error[0].value == r"Kafka \[is\]\(http\://example\.org\) away; start it\."


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka"])
def test_the_flow_says_which_store_is_down_and_shows_the_rest(fakes, store):
    fakes.down = {store}
    app = opened(FLOW)
    assert f"{store} does not answer" in said(app)
    assert len(app.dataframe) == (2 if store == "PostgreSQL" else 1)


def test_the_flow_before_the_first_batch_and_message_says_so(fakes):
    fakes.batches, fakes.messages = [], []
    app = opened(FLOW)
    assert figures(app) == 0
    assert "The stream has not merged a batch yet" in said(app)
    assert "The topic holds no message" in said(app)


def test_quarantine_shows_reasons_and_samples():
    app = opened(QUARANTINE)
    assert metrics(app) == {"Records in quarantine": "25"}
    assert figures(app) == 1
    row = table(app, "origin").to_dict("records")[0]
    assert (row["field"], row["detail"], row["origin"]) == ("email", HOSTILE, "users.raw/0/1")


def test_an_empty_quarantine_is_good_news(fakes):
    fakes.quarantine = {}
    app = opened(QUARANTINE)
    assert app.success[0].value == "No record is in quarantine."
    assert figures(app) == 0


def test_quarantine_without_postgresql_says_so(fakes):
    fakes.down = {"PostgreSQL"}
    assert "PostgreSQL does not answer" in said(opened(QUARANTINE))


@pytest.mark.parametrize("page", [HOME, FLOW, QUARANTINE])
def test_text_from_data_is_never_read_as_markup(page):
    app = opened(page)
    assert app.dataframe
    assert "example.org" not in said(app)
    for chart in app.get("plotly_chart"):
        assert "<script>" not in chart.proto.spec.replace("\\u003c", "<")


def test_a_setting_that_cannot_be_used_is_one_sentence(monkeypatch):
    monkeypatch.setenv("INSIGHTS_POSTGRES_PORT", "many")
    app = opened(HOME)
    assert r"INSIGHTS\_POSTGRES\_PORT" in app.error[0].value
    assert not app.metric


def test_words_for_times_and_shares():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for seconds, word in (
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (180_000, "2 d ago"),
    ):
        assert dashboard.page.ago(now - timedelta(seconds=seconds), now) == word
    assert dashboard.page.ago((now - timedelta(seconds=3)).replace(tzinfo=None), now) == "3 s ago"
    assert dashboard.page.ago(None, now) == "never"
    shares = [dashboard.page.share(*pair) for pair in ((0, 0), (0, 5), (1, 10_000_000), (1, 400))]
    assert shares == ["0 %", "0 %", "< 0.01 %", "0.25 %"]
