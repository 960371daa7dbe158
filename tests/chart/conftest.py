"""Each profile of the chart, rendered once."""

import pytest

from tests.helpers.chart.render import PROFILES, Rendered, render


@pytest.fixture(scope="session", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def rendered(profile: str) -> Rendered:
    return render(profile)
