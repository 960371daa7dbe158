"""Publishers to test: on a thread, or as the real job in a process of its own."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.publisher.wakeup import WakeUp
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, to_environment
from tests.helpers.staged_pages import sql, user_of
from tests.helpers.support import REPOSITORY, eventually, free_port


@dataclass
class Running:
    """A publisher on a thread."""

    metrics: PublisherMetrics = field(default_factory=PublisherMetrics)
    wake: WakeUp = field(default_factory=WakeUp)

    def sample(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(f"insights_publisher_{name}")
        assert value is not None
        return value


@contextmanager
def running(postgres: PostgresSettings, kafka: KafkaSettings, **settings: Any) -> Iterator[Running]:
    """Publish until the block ends."""
    handle = Running()
    chosen = PublisherSettings(**({"poll_seconds": 0.2, "flush_seconds": 20} | settings))
    publisher = Publisher(postgres, kafka, chosen, handle.wake, handle.metrics)
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield handle
    finally:
        handle.wake.stop()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def job(
    postgres: PostgresSettings, kafka: KafkaSettings, patch: str = "", http_port: int = 0, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """`jobs/publish_staged.py` in a process, after `patch`; killed at the end of the block if it still runs."""
    code = f"import sys\n{patch}\nfrom jobs.publish_staged import main\nsys.exit(main())"
    own = {
        "INSIGHTS_PUBLISHER_HTTP_PORT": str(http_port or free_port()),
        "INSIGHTS_PUBLISHER_POLL_SECONDS": "0.2",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | to_environment(postgres, kafka) | own | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def cursor_of(postgres: PostgresSettings) -> dict[str, int]:
    """The publisher's row; zeros before its first start."""
    names = ("fence", "epoch", "xact_id", "id", "published", "quarantined")
    found = sql(
        postgres, "SELECT fence, epoch, xact_id::text::bigint, id, published, quarantined FROM staging.publisher"
    )
    return dict(zip(names, found[0] if found else (0,) * len(names), strict=True))


def users(made: list[bytes]) -> Counter[str]:
    return Counter(map(user_of, made))


def done(postgres: PostgresSettings, count: int) -> None:
    eventually(lambda: cursor_of(postgres)["published"] >= count, seconds=30, message="the cursor did not move")
