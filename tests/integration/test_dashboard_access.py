"""Who gets in at a served dashboard: by the headers of a proxy, by a provider's login in Chromium, by nothing."""

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value, generate_xsrf_token_string
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from insights.settings import CassandraSettings, KafkaSettings, PostgresSettings, to_environment
from tests.helpers.browser import open_url
from tests.helpers.dashboard_process import process
from tests.helpers.login_provider import Provider
from tests.helpers.support import free_port

SECRET = "a secret of the proxy's own"
OPEN = "Cassandra does not answer"
"""What a page says to one who may see it, here where no store is."""
USER, DOOR = "X-Auth-Request-Email", "X-Insights-Proxy-Secret"


@contextmanager
def dashboard(log: Path, port: int, environment: dict[str, str], *arguments: str) -> Iterator[None]:
    """The dashboard without stores, on loopback unless the arguments say otherwise."""
    nowhere = free_port()
    stores = to_environment(
        PostgresSettings(port=nowhere),
        KafkaSettings(bootstrap_servers=f"127.0.0.1:{nowhere}"),
        CassandraSettings(port=nowhere),
    )
    told = {f"INSIGHTS_DASHBOARD_{name}": value for name, value in environment.items()}
    with process(log, port, stores | {"INSIGHTS_DASHBOARD_ALLOW_ANONYMOUS": "false"} | told, *arguments):
        yield


def shown(port: int, headers: Sequence[tuple[str, str]] = (), token: str = "") -> str:
    """All text of the first page, as a visitor without a browser gets it; `token` is that of the page's own script."""
    texts: list[str] = []
    protocols = [Subprotocol(one) for one in ("streamlit", token) if one]
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    with connect(address, additional_headers=headers, subprotocols=protocols, max_size=None, proxy=None) as socket:
        rerun = BackMsg()
        rerun.rerun_script.query_string = ""
        socket.send(rerun.SerializeToString())
        while True:
            message = ForwardMsg.FromString(socket.recv(timeout=60, decode=False))
            if message.WhichOneof("type") == "script_finished":
                return re.sub(r"[\\\u2060]", "", "\n".join(texts))
            element = message.delta.new_element
            texts += [element.alert.body, element.markdown.body, element.text.body, element.button.label]


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    environment = {"AUTH": "proxy", "VIEWERS": "@example.org", "PROXY_SECRET": SECRET}
    with dashboard(tmp_path_factory.mktemp("proxy") / "log", port, environment):
        yield port


def test_the_proxy_s_secret_opens_the_page_to_whom_it_names(behind_a_proxy: int) -> None:
    assert OPEN in shown(behind_a_proxy, [(USER, "ann@example.org"), (DOOR, SECRET)])
    refused = shown(behind_a_proxy, [(USER, "eve@example.com"), (DOOR, SECRET)])
    assert "eve@example.com may not see this page" in refused
    assert OPEN not in refused


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(USER, "ann@example.org")],
        [(USER, "ann@example.org"), (DOOR, "a secret of somebody else")],
        [(USER, "ann@example.org"), (DOOR, "guess"), (DOOR, SECRET)],
        [(USER.replace("-", "_"), "ann@example.org"), (DOOR.replace("-", "_"), SECRET)],
    ],
    ids=["no header", "a name", "a wrong secret", "two secrets", "underscores"],
)
def test_a_visitor_who_names_himself_is_refused(behind_a_proxy: int, headers: list[tuple[str, str]]) -> None:
    text = shown(behind_a_proxy, headers)
    assert "this request did not come from it" in text
    assert OPEN not in text


def test_pages_without_a_login_are_shown_on_loopback_only(tmp_path: Path) -> None:
    here, everywhere, switched = free_port(), free_port(), free_port()
    with dashboard(tmp_path / "log", here, {}):
        assert OPEN in shown(here)
    with dashboard(tmp_path / "log", everywhere, {}, "--server.address=0.0.0.0"):
        assert "served beyond this machine" in shown(everywhere)
        assert OPEN not in shown(everywhere)
    with dashboard(tmp_path / "log", switched, {"ALLOW_ANONYMOUS": "true"}, "--server.address=0.0.0.0"):
        assert OPEN in shown(switched)


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def log_in(page: Page) -> None:
    page.get_by_role("button", name="Log in").click()


def test_a_provider_s_login_opens_the_page_outlives_a_restart_and_ends_when_asked(
    provider: Provider, tmp_path: Path
) -> None:
    port, secrets = free_port(), tmp_path / "secrets.toml"
    secrets.write_text(
        f'[auth]\nredirect_uri = "http://localhost:{port}/oauth2callback"\ncookie_secret = "{"c" * 48}"\n'
        f'client_id = "insights"\nclient_secret = "s"\n'
        f'server_metadata_url = "{provider.issuer}/.well-known/openid-configuration"\n'
    )
    environment = {"AUTH": "oidc", "VIEWERS": "@example.org"}

    def served() -> AbstractContextManager[None]:
        return dashboard(tmp_path / "log", port, environment, f"--secrets.files={secrets}")

    with open_url("about:blank") as (page, _):
        with served():
            page.goto(f"http://localhost:{port}/")
            page.get_by_text("Log in to see this page.").wait_for()
            assert page.get_by_text(OPEN).count() == 0

            provider.claims = {"email": "eve@example.com", "email_verified": True}
            log_in(page)
            page.get_by_text("eve@\u2060example.com may not see this page").wait_for()
            page.get_by_role("button", name="Log out").click()

            provider.claims = {"email": "ann@example.org", "email_verified": False}
            log_in(page)
            page.get_by_text("no e-mail that its provider has verified").wait_for()
            page.get_by_role("button", name="Log out").click()

            provider.claims = {"email": "ann@example.org", "email_verified": True}
            log_in(page)
            page.get_by_text(OPEN).first.wait_for()
            page.get_by_text("ann@example.org", exact=True).wait_for()
        with served():
            page.reload()
            page.get_by_text(OPEN).first.wait_for()
            page.get_by_role("button", name="Log out").click()
            page.get_by_text("Log in to see this page.").wait_for()
            page.reload()
            page.get_by_text("Log in to see this page.").wait_for()


def test_a_session_is_a_cookie_that_every_replica_checks_by_the_same_secret(tmp_path: Path) -> None:
    port, secrets = free_port(), tmp_path / "secrets.toml"
    origin = f"http://127.0.0.1:{port}"
    secrets.write_text(f'[auth]\nredirect_uri = "{origin}/oauth2callback"\ncookie_secret = "{"c" * 48}"\n')
    token = generate_xsrf_token_string()

    def seen(cookie: str) -> str:
        cookies = f"_streamlit_user={cookie}; _streamlit_xsrf={token}"
        return shown(port, [("Origin", origin), ("Cookie", cookies)], token)

    def signed(secret: str, **claims: object) -> str:
        claims = {"is_logged_in": True, "email": "ann@example.org", "iat": int(time.time()), "origin": origin} | claims
        return create_signed_value(secret, "_streamlit_user", json.dumps(claims)).decode()

    with dashboard(tmp_path / "log", port, {"AUTH": "oidc", "VIEWERS": "*"}, f"--secrets.files={secrets}"):
        assert OPEN in seen(signed("c" * 48))
        for cookie in (signed("d" * 48), signed("c" * 48, iat=int(time.time()) - 13 * 3600), "{}"):
            text = seen(cookie)
            assert "Log in to see this page." in text
            assert OPEN not in text
