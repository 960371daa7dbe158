"""The end of the time that a run of the tests has, for a machine whose speed nobody knows.

A test that would begin later is skipped with the reason, so that what is finished by then is reported.
"""

import os
import time
from typing import Protocol

import pytest

END = "TESTS_END"
"""The environment variable with the end, in seconds since 1970; without it there is none."""
END_TO_END_SECONDS = 20 * 60
"""What is kept of the time for the end-to-end tests, which come last."""
CLUSTER_SECONDS = 30 * 60
"""How long the tests on a cluster need at least, most of it until their images are built and the chart is installed."""


class Item(Protocol):
    """What is needed of pytest's item."""

    @property
    def nodeid(self) -> str: ...


def require(seconds: float) -> None:
    """Skip the running test unless this much of the time is left."""
    if END in os.environ:
        left = float(os.environ[END]) - time.time()
        if left < seconds:
            pytest.skip(f"{left / 60:.0f} minutes were left until {END}, and {seconds / 60:.0f} are needed")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Item) -> None:
    """Skip a test that would begin too late, before anything is started for it."""
    require(0 if "tests/e2e/" in item.nodeid else END_TO_END_SECONDS)
