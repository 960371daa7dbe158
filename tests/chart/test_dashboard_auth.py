"""Who may see the pages on a cluster: the address that they listen on, their settings and their Secret."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.helpers.chart.manifests import Container, Pod, pods
from tests.helpers.chart.network_policies import may_send
from tests.helpers.chart.references import Reference, secrets
from tests.helpers.chart.render import Rendered, overlaid, render, values_of

OIDC = {"mode": "oidc", "viewers": ["@example.org", "ann@example.com"], "oidc": {"existingSecret": "login"}}
PROXY = {"mode": "proxy", "viewers": ["*"], "operators": ["ann", "bob"], "proxy": {"existingSecret": "door"}}
SECRETS_FILE = "/etc/insights/login/secrets.toml"


def with_auth(auth: dict[str, Any]) -> Rendered:
    return render(overlaid(values_of("defaults"), {"dashboard": {"auth": auth}}))


def dashboard(rendered: Rendered) -> Pod:
    [pod] = [pod for pod in pods(rendered) if pod.owner.endswith("-dashboard")]
    return pod


def page(rendered: Rendered) -> Container:
    return dashboard(rendered).containers()[-1]


def read_settings(rendered: Rendered) -> dict[str, Any]:
    """Return the settings that concern visitors, without their prefix."""
    prefix = "INSIGHTS_DASHBOARD_"
    variables = {name.removeprefix(prefix): one for name, one in page(rendered).environment.items() if prefix in name}
    del variables["CACHE_SECONDS"], variables["METRICS_HOST"]
    return {name: one.get("value", one.get("valueFrom")) for name, one in variables.items()}


def test_without_a_login_the_pages_listen_on_loopback_and_are_probed_inside_the_pod() -> None:
    container = page(render()).spec
    assert "--server.address=127.0.0.1" in container["args"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert "127.0.0.1/8501" in container[probe]["exec"]["command"][-1]
    assert read_settings(render()) == {"AUTH": "none", "ALLOW_ANONYMOUS": "false", "OPERATORS": ""}
    assert not render().of("Ingress", "HTTPRoute")


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_probe_inside_the_pod_distinguishes_healthy_from_unhealthy(status: int | None, healthy: bool) -> None:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if status and self.path == "/_stcore/health" else 404)
            self.end_headers()

    Pages.protocol_version = "HTTP/1.1"
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = page(render()).spec["readinessProbe"]["exec"]["command"]
        if status is None:
            server.shutdown()
            server.server_close()
        here = [part.replace("8501", str(server.server_port)) for part in command]
        assert (subprocess.run(here, timeout=30, check=False, capture_output=True).returncode == 0) is healthy
        server.shutdown()


def test_everyone_sees_the_pages_only_if_a_value_allows_it() -> None:
    rendered = with_auth({"allowAnonymous": True, "operators": ["*"]})
    container = page(rendered).spec
    assert "--server.address=0.0.0.0" in container["args"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/_stcore/health"
    assert read_settings(rendered) == {"AUTH": "none", "ALLOW_ANONYMOUS": "true", "OPERATORS": "*"}


def test_the_provider_s_credentials_are_a_file_from_the_named_secret() -> None:
    rendered = with_auth(OIDC)
    container = page(rendered).spec
    assert f"--secrets.files={SECRETS_FILE}" in container["args"]
    [mount] = [one for one in container["volumeMounts"] if SECRETS_FILE.startswith(one["mountPath"] + "/")]
    assert mount["readOnly"] is True
    [volume] = [one for one in dashboard(rendered).spec["volumes"] if one["name"] == mount["name"]]
    assert volume["secret"]["items"] == [{"key": "secrets.toml", "path": SECRETS_FILE.rpartition("/")[2]}]
    assert volume["secret"]["secretName"] == "login"
    assert read_settings(rendered) == {
        "AUTH": "oidc",
        "VIEWERS": "@example.org,ann@example.com",
        "OPERATORS": "",
        "SESSION_HOURS": "12",
    }


def test_only_oidc_opens_the_provider_s_port() -> None:
    assert not may_send(with_auth(PROXY), dashboard(with_auth(PROXY)), 443, None)
    for port in (443, 8443):
        rendered = with_auth(overlaid(OIDC, {"oidc": {"port": port}}))
        assert [one for one in (443, 8443) if may_send(rendered, dashboard(rendered), one, None)] == [port]


def test_the_proxy_s_secret_is_a_reference() -> None:
    rendered = with_auth(PROXY)
    assert read_settings(rendered) == {
        "AUTH": "proxy",
        "VIEWERS": "*",
        "OPERATORS": "ann,bob",
        "PROXY_USER_HEADER": "X-Auth-Request-Email",
        "PROXY_SECRET": {"secretKeyRef": {"name": "door", "key": "secret"}},
    }
    assert Reference("Deployment/insights-user-insights-dashboard", "door", ("secret",)) in secrets(rendered)


def test_production_lets_nobody_in_without_a_login() -> None:
    production = values_of("production")["dashboard"]["auth"]
    assert production["mode"] != "none"
    assert "*" not in production["operators"]
