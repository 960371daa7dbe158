"""The flow: every hop, and the ledger."""

import pytest

from insights import ledger
from tests.unit.pages.support import figures, metrics, opened, said, table


def test_the_flow_shows_every_hop_and_what_waits():
    found = metrics(opened("flow"))
    assert found == {
        "Fetched": "1,130", "Duplicates": "5", "Published": "1,125", "Served": "1,100", "In quarantine": "25",
        "Wait for the publisher": "11", "Wait for the stream": "22", "Batches wait for Cassandra": "1",
    }  # fmt: skip


def test_the_flow_draws_the_duration_of_batches_also_of_one_that_is_not_served():
    app = opened("flow")
    assert figures(app) == 1
    assert list(table(app, "started_at")["batch_id"]) == [3]


def test_the_ledger_is_checked_only_when_asked_and_stays_on_the_page():
    app = opened("flow")
    assert not app.success
    app.button(key="check").click().run()
    assert "The ledger is closed" in app.success[0].value
    assert list(table(app, "equation")["sentence"]) == ["It says so."]
    app.run()
    assert app.success


def test_a_broken_ledger_is_shown_as_an_error(fakes):
    fakes.state = ledger.State.BROKEN
    app = opened("flow")
    app.button(key="check").click().run()
    assert "The ledger is broken" in app.error[0].value


def test_a_check_that_cannot_be_made_ends_in_a_sentence_without_markup(fakes):
    app = opened("flow")
    fakes.down = {"Kafka"}
    app.button(key="check").click().run()
    assert not app.exception
    assert app.error[0].value == r"Kafka \[is\]\(http\://example\.org\) away; start it\."


@pytest.mark.parametrize("store", ["PostgreSQL", "Kafka"])
def test_the_flow_says_which_store_is_down_and_shows_the_rest(fakes, store):
    fakes.down = {store}
    app = opened("flow")
    assert f"{store} does not answer" in said(app)


def test_the_flow_before_the_first_batch_says_so(fakes):
    fakes.batches = []
    app = opened("flow")
    assert figures(app) == 0
    assert "The stream has not merged a batch yet" in said(app)
