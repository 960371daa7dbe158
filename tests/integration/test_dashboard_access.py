"""Access to a running dashboard: by the headers of a proxy, by a provider's login in Chromium, or without a login."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, generate_xsrf_token_string

from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from tests.helpers.browser import open_url
from tests.helpers.dashboard_process import run_streamlit
from tests.helpers.login_provider import Provider
from tests.helpers.page_text import read_page
from tests.helpers.support import free_port

SECRET = "a secret of the proxy's own"
NO_STORE = "Cassandra does not answer"
"""What a page shows to a visitor who may view it; there are no stores here."""
USER_HEADER, SECRET_HEADER = "X-Auth-Request-Email", "X-Insights-Proxy-Secret"


@contextmanager
def run_without_stores(log: Path, port: int, environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """Run the dashboard without stores, on loopback unless the arguments say otherwise."""
    nowhere = free_port()
    stores = to_environment(
        PostgresSettings(port=nowhere),
        KafkaSettings(bootstrap_servers=f"127.0.0.1:{nowhere}"),
        CassandraSettings(port=nowhere),
    )
    dashboard_settings = {f"INSIGHTS_DASHBOARD_{name}": value for name, value in environment.items()}
    with run_streamlit(
        log, port, stores | {"INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS": "false"} | dashboard_settings, *arguments
    ):
        yield


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    environment = {"AUTH": "proxy", "VIEWERS": "@example.org", "PROXY_SECRET": SECRET}
    with run_without_stores(tmp_path_factory.mktemp("proxy") / "log", port, environment):
        yield port


def test_the_proxy_s_secret_opens_the_page_to_the_visitor_it_names(behind_a_proxy: int) -> None:
    assert NO_STORE in read_page(behind_a_proxy, [(USER_HEADER, "ann@example.org"), (SECRET_HEADER, SECRET)])
    text = read_page(behind_a_proxy, [(USER_HEADER, "eve@example.com"), (SECRET_HEADER, SECRET)])
    assert "eve@example.com may not view this page" in text
    assert NO_STORE not in text


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(USER_HEADER, "ann@example.org")],
        [(USER_HEADER, "ann@example.org"), (SECRET_HEADER, "a secret of somebody else")],
        [(USER_HEADER, "ann@example.org"), (SECRET_HEADER, "guess"), (SECRET_HEADER, SECRET)],
        [(USER_HEADER.replace("-", "_"), "ann@example.org"), (SECRET_HEADER.replace("-", "_"), SECRET)],
    ],
    ids=["no header", "a name", "a wrong secret", "two secrets", "underscores"],
)
def test_a_visitor_who_claims_a_name_is_rejected(behind_a_proxy: int, headers: list[tuple[str, str]]) -> None:
    text = read_page(behind_a_proxy, headers)
    assert "this request did not come from it" in text
    assert NO_STORE not in text


def test_pages_without_a_login_are_shown_on_loopback_only(tmp_path: Path) -> None:
    here, everywhere, switched = free_port(), free_port(), free_port()
    with run_without_stores(tmp_path / "log", here, {}):
        assert NO_STORE in read_page(here)
    with run_without_stores(tmp_path / "log", everywhere, {}, "--server.address=0.0.0.0"):
        assert "listens beyond this machine" in read_page(everywhere)
        assert NO_STORE not in read_page(everywhere)
    with run_without_stores(tmp_path / "log", switched, {"ALLOW_ANONYMOUS": "true"}, "--server.address=0.0.0.0"):
        assert NO_STORE in read_page(switched)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def log_in(page: Page) -> None:
    page.get_by_role("button", name="Log in").click()


def test_a_provider_s_login_opens_the_page_survives_a_restart_and_ends_on_request(
    provider: Provider, tmp_path: Path
) -> None:
    port, secrets = free_port(), tmp_path / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://localhost:{port}/oauth2callback"\ncookie_secret = "{"c" * 48}"\n'
        f'client_id = "insights"\nclient_secret = "s"\n'
        f'server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"\n'
    )
    environment = {"AUTH": "oidc", "VIEWERS": "@example.org"}

    def serve() -> AbstractContextManager[None]:
        return run_without_stores(tmp_path / "log", port, environment, f"--secrets.files={secrets}")

    with open_url("about:blank") as (page, _):
        with serve():
            page.goto(f"http://localhost:{port}/")
            page.get_by_text("Log in to view this page.").wait_for()
            assert page.get_by_text(NO_STORE).count() == 0

            provider.claims = {"email": "eve@example.com", "email_verified": True}
            log_in(page)
            page.get_by_text("eve@\u2060example.com may not view this page").wait_for()
            page.get_by_role("button", name="Log out").click()

            provider.claims = {"email": "ann@example.org", "email_verified": False}
            log_in(page)
            page.get_by_text("no e-mail address that its provider has verified").wait_for()
            page.get_by_role("button", name="Log out").click()

            provider.claims = {"email": "ann@example.org", "email_verified": True}
            log_in(page)
            page.get_by_text(NO_STORE).first.wait_for()
            page.get_by_text("ann@example.org", exact=True).wait_for()
        with serve():
            page.reload()
            page.get_by_text(NO_STORE).first.wait_for()
            page.get_by_role("button", name="Log out").click()
            page.get_by_text("Log in to view this page.").wait_for()
            page.reload()
            page.get_by_text("Log in to view this page.").wait_for()


def test_a_session_is_a_cookie_that_every_replica_checks_by_the_same_secret(tmp_path: Path) -> None:
    port, secrets = free_port(), tmp_path / "secrets.toml"
    origin = f"http://127.0.0.1:{port}"
    secrets.write_text(f'[auth]\nredirect_uri = "{origin}/oauth2callback"\ncookie_secret = "{"c" * 48}"\n')
    token = generate_xsrf_token_string()

    def read_with_cookie(cookie: str) -> str:
        cookies = f"_streamlit_user={cookie}; _streamlit_xsrf={token}"
        return read_page(port, [("Origin", origin), ("Cookie", cookies)], token)

    def sign(secret: str, **claims: object) -> str:
        claims = {"is_logged_in": True, "email": "ann@example.org", "iat": int(time.time()), "origin": origin} | claims
        return create_signed_value(secret, "_streamlit_user", json.dumps(claims)).decode()

    with run_without_stores(tmp_path / "log", port, {"AUTH": "oidc", "VIEWERS": "*"}, f"--secrets.files={secrets}"):
        assert NO_STORE in read_with_cookie(sign("c" * 48))
        for cookie in (sign("d" * 48), sign("c" * 48, iat=int(time.time()) - 13 * 3600), "{}"):
            text = read_with_cookie(cookie)
            assert "Log in to view this page." in text
            assert NO_STORE not in text
