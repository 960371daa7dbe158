"""Which processes are killed or paused, and when: determined by a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

KINDS = (
    "postgres",
    "postgres-backend",
    "kafka",
    "cassandra",
    "stream-jvm",
    "stream-python",
    "publisher",
    "airflow-scheduler",
    "airflow-task",
    "airflow-busy-worker",
    "airflow-idle-worker",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-api-server",
    "dashboard",
    "simulator",
)
MAX_GAP_SECONDS = 6.0
PAUSED_SHARE = 0.25
PAUSE_SECONDS = (1.0, 8.0)


@dataclass(frozen=True)
class PlannedKill:
    """A kill, `gap` seconds after the one before; if `pause` is not 0, a pause of so many seconds instead."""

    gap: float
    kind: str
    pause: float


def plan_kills(seed: int, count: int) -> list[PlannedKill]:
    """Plan kills so that every kind has its turn before any has its next. The same seed gives the same plan."""
    return list(islice(_draw_kills(Random(seed)), count))


def _draw_kills(dice: Random) -> Iterator[PlannedKill]:
    while True:
        for kind in dice.sample(KINDS, len(KINDS)):
            pause = dice.uniform(*PAUSE_SECONDS) if dice.random() < PAUSED_SHARE else 0
            yield PlannedKill(dice.uniform(0, MAX_GAP_SECONDS), kind, pause)
