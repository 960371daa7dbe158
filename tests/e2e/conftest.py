"""One platform for all end-to-end tests: `make demo ONCE=1` with recorded answers, then `make demo` on its state."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.demo_platform import START_SECONDS, Demo
from tests.helpers.recorded_answers import ANSWERS, MANY_ANSWERS
from tests.helpers.support import REPOSITORY

ARTIFACTS = REPOSITORY / "artifacts"


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Recorded answers of the real API: the shared ones if present, else the few in this repository."""
    return MANY_ANSWERS if MANY_ANSWERS.is_dir() else ANSWERS


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo") / "home")


@pytest.fixture(scope="session")
def first_batch(demo: Demo, recorded: Path) -> subprocess.Popen[bytes]:
    """The ended process of `make demo ONCE=1` with the recorded answers."""
    process = demo.make("ONCE=1", f"RECORDED={recorded}")
    process.wait(START_SECONDS)
    return process


@pytest.fixture(scope="session")
def running(demo: Demo, first_batch: subprocess.Popen[bytes]) -> Iterator[Demo]:
    """`make demo MONITORING=1` on the state of the first batch."""
    assert first_batch.returncode == 0, demo.tail()
    demo.start("MONITORING=1")
    yield demo
    demo.stop()


@pytest.fixture(scope="session")
def artifacts() -> Path:
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS
