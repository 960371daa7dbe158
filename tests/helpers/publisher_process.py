"""Run a publisher on a thread, or as the job in a process of its own."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from insights.clients.tracing import NoSpans, Spans
from insights.publisher.loop import Publisher
from insights.publisher.metrics import PublisherMetrics
from insights.settings import KafkaSettings, PostgresSettings, PublisherSettings, to_environment
from insights.wakeup import WakeUp
from tests.helpers.staged_pages import read_user_id, run_sql
from tests.helpers.support import REPOSITORY, eventually, free_port


@dataclass
class RunningPublisher:
    """The handles of a publisher that runs on a thread."""

    metrics: PublisherMetrics = field(default_factory=PublisherMetrics)
    wake: WakeUp = field(default_factory=WakeUp)

    def sample(self, name: str) -> float:
        """The current value of the metric `insights_publisher_NAME`."""
        value = self.metrics.registry.get_sample_value(f"insights_publisher_{name}")
        assert value is not None
        return value


@contextmanager
def run_publisher(
    postgres: PostgresSettings, kafka: KafkaSettings, spans: Spans | None = None, **settings: Any
) -> Iterator[RunningPublisher]:
    """Run a publisher with these settings until the block ends."""
    handle = RunningPublisher()
    publisher_settings = PublisherSettings(**({"poll_seconds": 0.2, "flush_seconds": 20} | settings))
    publisher = Publisher(postgres, kafka, publisher_settings, handle.wake, handle.metrics, spans or NoSpans())
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        yield handle
    finally:
        handle.wake.stop()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def run_job(
    postgres: PostgresSettings, kafka: KafkaSettings, patch: str = "", http_port: int = 0, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Run `jobs/publish_staged.py` in a process, after the code `patch`; kill it when the block ends."""
    code = f"import sys\n{patch}\nfrom jobs.publish_staged import main\nsys.exit(main())"
    overrides = {
        "INSIGHTS_PUBLISHER_HTTP_PORT": str(http_port or free_port()),
        "INSIGHTS_PUBLISHER_POLL_SECONDS": "0.2",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | to_environment(postgres, kafka) | overrides | environment,
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


def read_cursor(postgres: PostgresSettings) -> dict[str, int]:
    """The publisher's cursor row; zeros before its first start."""
    names = ("fence", "epoch", "xact_id", "id", "published", "quarantined")
    rows = run_sql(
        postgres, "SELECT fence, epoch, xact_id::text::bigint, id, published, quarantined FROM staging.publisher"
    )
    return dict(zip(names, rows[0] if rows else (0,) * len(names), strict=True))


def count_users(records: list[bytes]) -> Counter[str]:
    """The number of records of each user."""
    return Counter(map(read_user_id, records))


def wait_until_published(postgres: PostgresSettings, count: int) -> None:
    """Wait until the cursor has passed `count` rows."""
    eventually(lambda: read_cursor(postgres)["published"] >= count, seconds=30, message="the cursor did not advance")
