"""Who sees a page and who may act on it, in each way of logging in."""

import sys
import time
import tomllib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.runtime.context import StreamlitHeaders
from streamlit.testing.v1 import AppTest

from dashboard import auth
from insights.errors import UserError
from insights.settings import DashboardSettings, load
from tests.helpers.support import REPOSITORY

SECRET = "0123456789abcdef"
HOSTILE = "<b>![x](http://example.org/x.png)</b>"
ANN: dict[str, Any] = {"is_logged_in": True, "email": "ann@example.org", "email_verified": True}


def page() -> None:
    import streamlit as st

    from dashboard import auth
    from dashboard.components import page

    page.begin_page("Any")
    st.write(f"seen by {auth.get_visitor()}, who {'may' if auth.may_redrive() else 'may not'} redrive")


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The pages as on one's own machine. A page that is run is `__main__`, which a spawned process would run too."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.delenv("INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS")
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", None)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    def configure(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"INSIGHTS_DASHBOARD_{name.upper()}", value)

    return configure


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The headers of the visitor's request."""

    def send(*headers: tuple[str, str]) -> None:
        monkeypatch.setattr(st, "context", SimpleNamespace(headers=StreamlitHeaders(headers)))

    return send


def opened(user: dict[str, Any] | None = None) -> AppTest:
    app = AppTest.from_function(page)
    app.user = user or {}
    app.run()
    assert not app.exception
    return app


def seen(app: AppTest) -> str:
    """What the page shows to one who may see it; empty for others."""
    return " ".join(element.value for element in app.markdown if element.value.startswith("seen by"))


def refused(app: AppTest) -> str:
    """Why the page is not shown, without Markdown's escapes."""
    assert not seen(app)
    return str(app.error[0].value).replace("\\", "").replace("\u2060", "") if app.error else ""


def login(**claims: Any) -> dict[str, Any]:
    return ANN | {"iat": int(time.time()) - 60} | claims


def test_without_a_login_everyone_on_this_machine_sees_the_page_and_nobody_may_act() -> None:
    assert seen(opened()) == "seen by anonymous, who may not redrive"


def test_on_one_s_own_machine_everyone_may_act(configured: Any) -> None:
    configured(operators="*")
    assert seen(opened()) == "seen by anonymous, who may redrive"


@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.0.2.1", "insights.example.org"])
def test_without_a_login_the_page_is_not_shown_beyond_this_machine(address: str | None, configured: Any) -> None:
    config.set_option("server.address", address)
    assert "INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS to true" in refused(opened())
    assert auth.get_visitor() is None
    configured(allow_anonymous="true")
    assert seen(opened()).startswith("seen by anonymous")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_every_address_of_loopback_is_this_machine(address: str) -> None:
    config.set_option("server.address", address)
    assert seen(opened())


@pytest.fixture
def proxied(configured: Any) -> None:
    configured(auth="proxy", viewers="@example.org", operators="ann@example.org", proxy_secret=SECRET)


@pytest.mark.usefixtures("proxied")
def test_a_proxy_that_knows_the_secret_names_the_visitor(sent: Any) -> None:
    sent(("x-auth-request-email", "ann@example.org"), ("x-insights-proxy-secret", SECRET))
    assert seen(opened()) == "seen by ann@example.org, who may redrive"
    sent(("x-auth-request-email", "bob@example.org"), ("x-insights-proxy-secret", SECRET))
    assert seen(opened()) == "seen by bob@example.org, who may not redrive"


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    "secrets", [[], [""], ["0123456789abcdeF"], [SECRET + "0"], ["ü" * 16], [SECRET, "x"], [SECRET, SECRET]]
)
def test_a_name_without_the_proxy_s_one_secret_is_forged(sent: Any, secrets: list[str]) -> None:
    sent(("x-auth-request-email", "ann@example.org"), *(("x-insights-proxy-secret", secret) for secret in secrets))
    assert "did not come from it" in refused(opened())
    assert auth.get_visitor() is None
    assert not auth.may_redrive()


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "The proxy sent 0 names in X-Auth-Request-Email"),
        ([" "], "The proxy sent 0 names"),
        (["ann@example.org", "bob@example.org"], "The proxy sent 2 names"),
        (["eve@example.com"], "eve@example.com may not see this page"),
        ([HOSTILE], f"{HOSTILE} may not see this page"),
    ],
)
def test_the_proxy_is_to_name_one_visitor_who_may_see_the_page(sent: Any, names: list[str], said: str) -> None:
    sent(("x-insights-proxy-secret", SECRET), *(("x-auth-request-email", name) for name in names))
    app = opened()
    assert said in refused(app)
    assert "![x](http" not in app.error[0].value


@pytest.mark.usefixtures("proxied")
def test_another_header_may_name_the_visitor(sent: Any, configured: Any) -> None:
    configured(proxy_user_header="X-Forwarded-User", viewers="ann")
    sent(("x-forwarded-user", "ann"), ("x-auth-request-email", "eve"), ("x-insights-proxy-secret", SECRET))
    assert seen(opened()).startswith("seen by ann,")


@pytest.fixture
def provided(configured: Any) -> None:
    configured(auth="oidc", viewers="@example.org", operators="ann@example.org")


@pytest.mark.usefixtures("provided")
def test_who_is_not_logged_in_is_offered_to() -> None:
    for user in ({}, {"is_logged_in": False}, {"email": "ann@example.org", "iat": int(time.time())}):
        app = opened(user)
        assert [button.label for button in app.button] == ["Log in"]
        assert not seen(app)


@pytest.mark.usefixtures("provided")
def test_a_login_without_a_provider_ends_in_a_sentence() -> None:
    app = opened()
    app.button[0].click().run()
    assert not app.exception
    assert "under [auth] in the dashboard's secrets.toml" in refused(app)


@pytest.mark.usefixtures("provided")
def test_a_login_s_verified_mail_is_the_visitor() -> None:
    app = opened(login())
    assert seen(app) == "seen by ann@example.org, who may redrive"
    assert app.sidebar.text[0].value == "ann@example.org"
    for verified in ({"email_verified": "true"}, {"email_verified": None}):
        assert seen(opened(login(**verified)))
    assert seen(opened(login(email="Bob@Example.org"))) == "seen by Bob@Example.org, who may not redrive"


@pytest.mark.usefixtures("provided")
@pytest.mark.parametrize("verified", [False, "false", 0, "no"])
def test_a_mail_that_the_provider_has_not_verified_names_nobody(verified: object) -> None:
    assert "no e-mail that its provider has verified" in refused(opened(login(email_verified=verified)))


@pytest.mark.usefixtures("provided")
@pytest.mark.parametrize("email", ["eve@example.com", "eve@sub.example.org", "example.org", "eve@éxample.org"])
def test_a_login_of_somebody_else_is_refused_and_can_be_ended(email: str) -> None:
    app = opened(login(email=email))
    assert f"{email} may not see this page" in refused(app)
    assert [button.label for button in app.sidebar.button] == ["Log out"]


@pytest.mark.usefixtures("provided")
def test_logging_out_ends_what_is_seen() -> None:
    app = opened(login())
    app.sidebar.button[0].click().run()
    assert not seen(app)
    assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.usefixtures("provided")
def test_a_login_ends_after_its_hours(configured: Any) -> None:
    configured(session_hours="2")
    assert seen(opened(login(iat=int(time.time()) - 7100)))
    for issued in (int(time.time()) - 7300, None, "now"):
        app = opened(login(iat=issued))
        assert not seen(app)
        assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.usefixtures("provided")
def test_a_page_that_is_open_looks_again_whether_its_login_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    lasts = iter([True])
    monkeypatch.setattr(auth, "_logged_in", lambda _: next(lasts, False))
    app = opened(login())
    assert [button.label for button in app.button] == ["Log in"]


def test_letters_that_only_look_like_those_of_a_name_are_others(configured: Any) -> None:
    configured(auth="oidc", viewers="ann@example.org,@kelvin.example")
    for email in ("ann@example.orɡ", "eve@\u212aelvin.example"):
        assert refused(opened(login(email=email)))
    assert seen(opened(login(email="eve@KELVIN.example")))


def test_everyone_who_is_logged_in_is_everyone_of_a_star_and_an_operator_sees_only_as_a_viewer(configured: Any) -> None:
    configured(auth="oidc", viewers="*", operators=" , @example.org ")
    assert seen(opened(login(email="eve@example.com"))) == "seen by eve@example.com, who may not redrive"
    assert seen(opened(login())) == "seen by ann@example.org, who may redrive"
    configured(viewers="@example.com")
    assert "ann@example.org may not see this page" in refused(opened(login()))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"auth": "oidc"}, "INSIGHTS_DASHBOARD_VIEWERS is empty but INSIGHTS_DASHBOARD_AUTH is oidc"),
        ({"auth": "proxy", "viewers": " , ", "proxy_secret": SECRET}, "VIEWERS is empty but .* is proxy"),
        ({"auth": "proxy", "viewers": "*"}, "INSIGHTS_DASHBOARD_PROXY_SECRET has 0 characters"),
        ({"auth": "proxy", "viewers": "*", "proxy_secret": "hunter2"}, "has 7 characters .* at least 16 random"),
        ({"auth": "basic"}, "INSIGHTS_DASHBOARD_AUTH is 'basic'"),
    ],
)
def test_settings_that_let_the_wrong_in_are_one_sentence(configured: Any, values: dict[str, str], says: str) -> None:
    configured(**values)
    with pytest.raises(UserError, match=says) as error:
        load(DashboardSettings)
    assert "hunter2" not in str(error.value)
    assert refused(opened()) == str(error.value)


def test_the_pages_keep_streamlit_s_protections_and_its_secrets_stay_out_of_commits_and_images() -> None:
    repository = REPOSITORY
    server = tomllib.loads((repository / "dashboard/.streamlit/config.toml").read_text())["server"]
    assert server["address"] == "127.0.0.1"
    protections = {"enableCORS": True, "enableXsrfProtection": True, "enableAgentApi": False}
    assert {name: server.get(name, config.get_option(f"server.{name}")) for name in protections} == protections
    assert "cookieSecret" not in server
    assert "secrets.toml" in (repository / ".gitignore").read_text().splitlines()
    assert "**/secrets.toml" in (repository / ".dockerignore").read_text().splitlines()
