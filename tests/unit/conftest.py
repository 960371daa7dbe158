"""Which unit tests share a worker."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.scheduler.protocol import Scheduling


class OneSpark(LoadFileScheduling):  # type: ignore[misc]
    """`--dist loadfile`, and what needs Spark on one worker, so that there is one session.

    Not `--dist loadgroup`: with pytest 9.2 pytest-xdist 3.8 ignores its groups (pytest-xdist issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return file.rpartition("/")[0] if "/spark/" in file else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return OneSpark(config, log)
