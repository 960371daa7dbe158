"""Users one by one."""

from tests.unit.pages.support import HOSTILE, opened, said, table


def test_users_of_another_country_and_of_a_month_are_shown_when_chosen():
    app = opened("explore")
    app.selectbox(key="code").select("FR").run()
    assert list(table(app, "registered_at")["full_name"]) == [f"{HOSTILE} of FR"]
    assert "1 of 30 users" in said(app)
    app.selectbox(key="by").select("month").run()
    assert list(table(app, "registered_at")["full_name"]) == [f"{HOSTILE} of 2020-03"]
    assert "1 of 60 users" in said(app)
