"""No key of the API in a message or a log, wherever the key stands and whatever the server answers."""

import json
import logging
from typing import Any

import pytest

from insights.simulator import Fault, create_app
from insights.source import SourceClient, SourceError
from insights.text import mask_url, mask_urls
from tests.helpers.simulator_server import Script, Time, serving, settings
from tests.unit.source.test_http import BODY, replying, response

KEY = "c4nary"
HEADERS = f"X-Api-Key: {KEY}-1\nAuthorization: Bearer {KEY}-2"


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://a.example/api/?seed=x&Nat=us&page=2&noinfo", "https://a.example/api/?seed=x&Nat=us&page=2&noinfo"),
        ("https://a.example/?results=5&key=abc&format=json", "https://a.example/?results=5&key=***&format=json"),
        ("https://a.example/?abc", "https://a.example/?***"),
        ("https://a.example/?key=a'b\"c)d&x=%20", "https://a.example/?key=***&x=***"),
        ("https://u:p@a.example/@me", "https://a.example/@me"),
        ("https://u:p@q@a.example", "https://a.example"),
        ("https://a.example/?a=b?c=d;e=f", "https://a.example/?a=***;e=***"),
    ],
)
def test_a_url_is_shown_without_login_and_with_its_keys_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_urls_within_a_text_are_masked() -> None:
    text = "Max retries: url: /api/?key=abc&seed=1 (Caused by 'https://u:p@a.example/?t=x'). Why? Because; so it is"
    assert mask_urls(text) == (
        "Max retries: url: /api/?key=***&seed=1 (Caused by 'https://a.example/?t=***'). Why? Because; so it is"
    )


def fail_to_fetch(address: str, **changes: Any) -> str:
    time = Time()
    url = address.replace("//", f"//someone:{KEY}-3@") + f"/api/1.4/?key={KEY}-4&seed=x&{KEY}-5"
    configured = settings(address, headers=HEADERS, max_attempts=2, **changes | {"url": url})
    with (
        SourceClient(configured, clock=time.clock, sleep=time.sleep) as client,
        pytest.raises(SourceError) as caught,
    ):
        client.fetch_page("s", 1, 1)
    return str(caught.value)


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (Fault.DRIP, Fault.DRIFT)])
def test_no_failure_shows_a_key(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(create_app(draw_fault=Script(forever=fault))) as address:
        message = fail_to_fetch(address, max_bytes=10_000)
    assert KEY not in message + caplog.text
    assert "/api/1.4/?key=***&seed=x&***" in message
    assert "urllib3.connectionpool" in caplog.text


ECHOES = {
    "error": response(json.dumps({"error": f"the key {KEY}-1 of {KEY}-4 is unknown"}).encode()),
    "redirect": response(status="301 Moved Permanently", Location=f"https://b.example/?token={KEY}-6&seed=s"),
    "bad header": b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n bad\r\nno header c4nary-1\r\n\r\n",
    "other seed": response(BODY.replace(b'"s"', f'"{KEY}-2"'.encode())),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_no_answer_that_repeats_a_key_shows_it(echo: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with replying(*[ECHOES[echo]] * 2) as (address, requests):
        message = fail_to_fetch(address)
    assert KEY not in message + caplog.text
    assert f"X-Api-Key: {KEY}-1".encode() in requests[0]
    assert f"Authorization: Bearer {KEY}-2".encode() in requests[0]
    assert f"key={KEY}-4".encode() in requests[0]


def test_an_untrusted_certificate_is_reported_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with replying(b"HTTP/1.1 200 OK\r\n\r\n") as (address, _):
        message = fail_to_fetch(address.replace("http:", "https:"))
    assert "TLS: " in message
    assert KEY not in message + caplog.text
