"""The simulator's quota: rows per address and period, as the API has it."""

import pytest
import requests

from insights.errors import UserError
from insights.simulator import create_app
from insights.simulator.quota import Quota, parse_quota
from tests.helpers.simulator_server import Time, serving


def test_an_address_is_served_until_it_has_reached_the_quota_and_again_in_the_next_period() -> None:
    time = Time()
    quota = Quota(20, 300, time.clock)
    assert [quota.take("a", 15) for _ in range(3)] == [True, True, False]
    assert quota.take("b", 15)
    time.sleep(299)
    assert not quota.take("a", 1)
    time.sleep(1)
    assert quota.take("a", 1)


def test_a_refused_request_has_the_status_429_and_no_retry_after() -> None:
    with serving(create_app(quota=parse_quota("10/300"))) as address:
        answers = [requests.get(f"{address}/api/1.4/?results=10", timeout=30) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert "Retry-After" not in answers[1].headers
    assert answers[1].json().keys() == {"error"}


@pytest.mark.parametrize(
    "text", ["20000", "20000/", "/300", "0/300", "-1/300", "20000/0", "20000/nan", "20000/inf", "a/b"]
)
def test_an_invalid_quota_is_an_error_that_shows_a_valid_one(text: str) -> None:
    with pytest.raises(UserError, match="use rows and seconds, as in 20000/300"):
        parse_quota(text)
