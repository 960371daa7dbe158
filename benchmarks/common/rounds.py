"""Rounds in which contenders take turns, so that all of them meet the same state of the machine."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Turn:
    """A contender's turn: wall time, and CPU time by process, in seconds."""

    seconds: float
    cpu_seconds: dict[str, float]


def order_round(contenders: Sequence[str], number: int) -> list[str]:
    """The order of a round. Each round starts with a different contender."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def summarise(values: Sequence[float]) -> tuple[float, float, float]:
    """Minimum, median and maximum."""
    return min(values), statistics.median(values), max(values)


def measure(run: Callable[[], object], pids: Mapping[str, int]) -> Turn:
    """Call `run`. The CPU time is that of this process, as `client`, and of the named ones with their descendants."""
    before = {name: read_cpu_seconds(pid) for name, pid in pids.items()}
    started, client_before = time.perf_counter(), time.process_time()
    run()
    seconds, client = time.perf_counter() - started, time.process_time() - client_before
    servers = {name: read_cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    return Turn(seconds, {"client": client} | servers)


def read_cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its descendants so far, including those that have ended and were waited for."""
    process = psutil.Process(pid)
    total = 0.0
    for member in (process, *process.children(recursive=True)):
        try:
            total += sum(member.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
