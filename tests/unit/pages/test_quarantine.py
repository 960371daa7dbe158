"""What was refused."""

from tests.unit.pages.support import HOSTILE, figures, metrics, opened, said, table


def test_quarantine_shows_reasons_and_samples():
    app = opened("quarantine")
    assert metrics(app) == {"Records in quarantine": "25"}
    assert figures(app) == 1
    row = table(app, "origin").to_dict("records")[0]
    assert (row["field"], row["detail"], row["origin"]) == ("email", HOSTILE, "users.raw/0/1")


def test_an_empty_quarantine_is_good_news(fakes):
    fakes.quarantine = {}
    app = opened("quarantine")
    assert app.success[0].value == "No record is in quarantine."
    assert figures(app) == 0


def test_quarantine_without_postgresql_says_so(fakes):
    fakes.down = {"PostgreSQL"}
    assert "PostgreSQL does not answer" in said(opened("quarantine"))
