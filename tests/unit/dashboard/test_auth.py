"""Who may view a page and who may act on the data, for each way of logging in."""

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
    st.write(f"viewed by {auth.get_visitor()}, who {'may' if auth.may_redrive() else 'may not'} redrive")


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve the pages on loopback. A page that runs becomes `__main__`, which a spawned process would run as well."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.delenv("INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS")
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", None)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_settings(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"INSIGHTS_DASHBOARD_{name.upper()}", value)

    return set_settings


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the headers of the visitor's request."""

    def set_headers(*headers: tuple[str, str]) -> None:
        monkeypatch.setattr(st, "context", SimpleNamespace(headers=StreamlitHeaders(headers)))

    return set_headers


def open_page(user: dict[str, Any] | None = None) -> AppTest:
    app = AppTest.from_function(page)
    app.user = user or {}
    app.run()
    assert not app.exception
    return app


def read_page(app: AppTest) -> str:
    """Return what the page shows to a visitor who may view it, empty for others."""
    return " ".join(element.value for element in app.markdown if element.value.startswith("viewed by"))


def read_error(app: AppTest) -> str:
    """Return why the page is not shown, without Markdown's escapes."""
    assert not read_page(app)
    return str(app.error[0].value).replace("\\", "").replace("\u2060", "") if app.error else ""


def make_login(**claims: Any) -> dict[str, Any]:
    return ANN | {"iat": int(time.time()) - 60} | claims


def test_without_a_login_everyone_on_this_machine_may_view_the_page_and_nobody_may_act() -> None:
    assert read_page(open_page()) == "viewed by anonymous, who may not redrive"


def test_without_a_login_everyone_may_act_if_everyone_is_an_operator(configure: Any) -> None:
    configure(operators="*")
    assert read_page(open_page()) == "viewed by anonymous, who may redrive"


@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.0.2.1", "insights.example.org"])
def test_without_a_login_the_page_is_not_shown_beyond_this_machine(address: str | None, configure: Any) -> None:
    config.set_option("server.address", address)
    assert "INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS to true" in read_error(open_page())
    assert auth.get_visitor() is None
    configure(allow_anonymous="true")
    assert read_page(open_page()).startswith("viewed by anonymous")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_every_address_of_loopback_is_this_machine(address: str) -> None:
    config.set_option("server.address", address)
    assert read_page(open_page())


@pytest.fixture
def proxied(configure: Any) -> None:
    configure(auth="proxy", viewers="@example.org", operators="ann@example.org", proxy_secret=SECRET)


@pytest.mark.usefixtures("proxied")
def test_a_proxy_that_knows_the_secret_names_the_visitor(send: Any) -> None:
    send(("x-auth-request-email", "ann@example.org"), ("x-insights-proxy-secret", SECRET))
    assert read_page(open_page()) == "viewed by ann@example.org, who may redrive"
    send(("x-auth-request-email", "bob@example.org"), ("x-insights-proxy-secret", SECRET))
    assert read_page(open_page()) == "viewed by bob@example.org, who may not redrive"


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    "secrets", [[], [""], ["0123456789abcdeF"], [SECRET + "0"], ["ü" * 16], [SECRET, "x"], [SECRET, SECRET]]
)
def test_a_name_without_exactly_one_secret_of_the_proxy_is_forged(send: Any, secrets: list[str]) -> None:
    send(("x-auth-request-email", "ann@example.org"), *(("x-insights-proxy-secret", secret) for secret in secrets))
    assert "did not come from it" in read_error(open_page())
    assert auth.get_visitor() is None
    assert not auth.may_redrive()


@pytest.mark.usefixtures("proxied")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "The proxy sent 0 names in X-Auth-Request-Email"),
        ([" "], "The proxy sent 0 names"),
        (["ann@example.org", "bob@example.org"], "The proxy sent 2 names"),
        (["eve@example.com"], "eve@example.com may not view this page"),
        ([HOSTILE], f"{HOSTILE} may not view this page"),
    ],
)
def test_the_proxy_must_name_exactly_one_visitor_who_may_view_the_page(
    send: Any, names: list[str], message: str
) -> None:
    send(("x-insights-proxy-secret", SECRET), *(("x-auth-request-email", name) for name in names))
    app = open_page()
    assert message in read_error(app)
    assert "![x](http" not in app.error[0].value


@pytest.mark.usefixtures("proxied")
def test_another_header_can_name_the_visitor(send: Any, configure: Any) -> None:
    configure(proxy_user_header="X-Forwarded-User", viewers="ann")
    send(("x-forwarded-user", "ann"), ("x-auth-request-email", "eve"), ("x-insights-proxy-secret", SECRET))
    assert read_page(open_page()).startswith("viewed by ann,")


@pytest.fixture
def provided(configure: Any) -> None:
    configure(auth="oidc", viewers="@example.org", operators="ann@example.org")


@pytest.mark.usefixtures("provided")
def test_a_visitor_who_is_not_logged_in_is_offered_the_login() -> None:
    for user in ({}, {"is_logged_in": False}, {"email": "ann@example.org", "iat": int(time.time())}):
        app = open_page(user)
        assert [button.label for button in app.button] == ["Log in"]
        assert not read_page(app)


@pytest.mark.usefixtures("provided")
def test_a_login_without_a_provider_is_explained() -> None:
    app = open_page()
    app.button[0].click().run()
    assert not app.exception
    assert "under [auth] in the dashboard's secrets.toml" in read_error(app)


@pytest.mark.usefixtures("provided")
def test_the_verified_email_of_a_login_is_the_visitor() -> None:
    app = open_page(make_login())
    assert read_page(app) == "viewed by ann@example.org, who may redrive"
    assert app.sidebar.text[0].value == "ann@example.org"
    for verified in ({"email_verified": "true"}, {"email_verified": None}):
        assert read_page(open_page(make_login(**verified)))
    assert read_page(open_page(make_login(email="Bob@Example.org"))) == "viewed by Bob@Example.org, who may not redrive"


@pytest.mark.usefixtures("provided")
@pytest.mark.parametrize("verified", [False, "false", 0, "no"])
def test_an_email_that_the_provider_has_not_verified_names_nobody(verified: object) -> None:
    assert "no e-mail address that its provider has verified" in read_error(
        open_page(make_login(email_verified=verified))
    )


@pytest.mark.usefixtures("provided")
@pytest.mark.parametrize("email", ["eve@example.com", "eve@sub.example.org", "example.org", "eve@éxample.org"])
def test_a_login_of_somebody_else_is_rejected_and_can_log_out(email: str) -> None:
    app = open_page(make_login(email=email))
    assert f"{email} may not view this page" in read_error(app)
    assert [button.label for button in app.sidebar.button] == ["Log out"]


@pytest.mark.usefixtures("provided")
def test_logging_out_hides_the_page() -> None:
    app = open_page(make_login())
    app.sidebar.button[0].click().run()
    assert not read_page(app)
    assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.usefixtures("provided")
def test_a_login_expires_after_its_hours(configure: Any) -> None:
    configure(session_hours="2")
    assert read_page(open_page(make_login(iat=int(time.time()) - 7100)))
    for issued in (int(time.time()) - 7300, None, "now"):
        app = open_page(make_login(iat=issued))
        assert not read_page(app)
        assert [button.label for button in app.button] == ["Log in"]


@pytest.mark.usefixtures("provided")
def test_an_open_page_notices_that_its_login_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True])
    monkeypatch.setattr(auth, "_is_logged_in", lambda _: next(answers, False))
    app = open_page(make_login())
    assert [button.label for button in app.button] == ["Log in"]


def test_letters_that_only_look_like_those_of_a_name_do_not_match_it(configure: Any) -> None:
    configure(auth="oidc", viewers="ann@example.org,@kelvin.example")
    for email in ("ann@example.orɡ", "eve@\u212aelvin.example"):
        assert read_error(open_page(make_login(email=email)))
    assert read_page(open_page(make_login(email="eve@KELVIN.example")))


def test_a_star_is_everyone_who_is_logged_in_and_an_operator_must_be_a_viewer_too(configure: Any) -> None:
    configure(auth="oidc", viewers="*", operators=" , @example.org ")
    assert read_page(open_page(make_login(email="eve@example.com"))) == "viewed by eve@example.com, who may not redrive"
    assert read_page(open_page(make_login())) == "viewed by ann@example.org, who may redrive"
    configure(viewers="@example.com")
    assert "ann@example.org may not view this page" in read_error(open_page(make_login()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auth": "oidc"}, "INSIGHTS_DASHBOARD_VIEWERS is empty but INSIGHTS_DASHBOARD_AUTH is oidc"),
        ({"auth": "proxy", "viewers": " , ", "proxy_secret": SECRET}, "VIEWERS is empty but .* is proxy"),
        ({"auth": "proxy", "viewers": "*"}, "INSIGHTS_DASHBOARD_PROXY_SECRET has 0 characters"),
        ({"auth": "proxy", "viewers": "*", "proxy_secret": "hunter2"}, "has 7 characters .* at least 16 random"),
        ({"auth": "basic"}, "INSIGHTS_DASHBOARD_AUTH is 'basic'"),
    ],
)
def test_settings_that_would_let_anyone_in_are_an_error_message(
    configure: Any, values: dict[str, str], message: str
) -> None:
    configure(**values)
    with pytest.raises(UserError, match=message) as error:
        load(DashboardSettings)
    assert "hunter2" not in str(error.value)
    assert read_error(open_page()) == str(error.value)


def test_streamlit_keeps_its_protections_and_its_secrets_stay_out_of_commits_and_images() -> None:
    repository = REPOSITORY
    server = tomllib.loads((repository / "dashboard/.streamlit/config.toml").read_text())["server"]
    assert server["address"] == "127.0.0.1"
    protections = {"enableCORS": True, "enableXsrfProtection": True, "enableAgentApi": False}
    assert {name: server.get(name, config.get_option(f"server.{name}")) for name in protections} == protections
    assert "cookieSecret" not in server
    assert "secrets.toml" in (repository / ".gitignore").read_text().splitlines()
    assert "**/secrets.toml" in (repository / ".dockerignore").read_text().splitlines()
