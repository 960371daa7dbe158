"""Rounds in which contenders take turns, so that all of them meet the same state of the machine."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.common.processes import PeakMemory, read_cpu_by_component

CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Turn:
    """A contender's turn: its records, wall time, and CPU time by component in seconds."""

    seconds: float
    cpu_seconds: dict[str, float]
    records: int = 0
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """By component, and in `total`; empty if it was not measured."""
    figures: dict[str, float] = field(default_factory=dict)
    """What else was measured, by name with its unit, such as `p50 (s)`."""


Turns = dict[str, list[Turn]]
"""The turns of each contender, in the order of the rounds."""


def order_round(contenders: Sequence[str], number: int) -> list[str]:
    """The order of a round. Each round starts with a different contender."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]


def take_turns(contenders: Mapping[str, Callable[[int], Turn]], rounds: int, first: int = 0) -> Turns:
    """Call every contender once per round, and report each turn on standard error.

    A contender is given the number of the round, from `first` on.
    """
    turns: Turns = {name: [] for name in contenders}
    for number, name in _list_turns(list(contenders), rounds):
        turn = contenders[name](first + number)
        turns[name].append(turn)
        print(f"round {number + 1} of {rounds}, {name}: {turn.seconds:.2f} s", file=sys.stderr, flush=True)
    return turns


def _list_turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    for number in range(rounds):
        for name in order_round(names, number):
            yield number, name


def summarise(values: Sequence[float]) -> tuple[float, float, float]:
    """Minimum, median and maximum."""
    return min(values), statistics.median(values), max(values)


def compute_percentile(values: Sequence[float], part: float) -> float:
    """The percentile by the nearest-rank method."""
    return sorted(values)[max(0, int(-(-len(values) * part // 100)) - 1)]


def measure(
    run: Callable[[], object],
    pids: Mapping[str, int],
    records: int = 0,
    *,
    counts_client: bool = True,
    memory: bool = False,
) -> Turn:
    """Call `run`. The CPU time is that of the named processes with their descendants.

    Args:
        run: what is measured.
        pids: the processes of the components, by name.
        records: how many records `run` moves.
        counts_client: whether this process takes part in the work; its CPU time is then that of `client`.
        memory: whether to measure the peak memory of the components too.
    """
    before = read_cpu_by_component(pids)
    started, client_before = time.perf_counter(), time.process_time()
    if memory:
        with PeakMemory(pids) as peak:
            run()
    else:
        run()
    seconds, client = time.perf_counter() - started, time.process_time() - client_before
    after = read_cpu_by_component(pids)
    cpu = {CLIENT: client} if counts_client else {}
    cpu |= {name: value - before.get(name, 0.0) for name, value in after.items()}
    return Turn(seconds, cpu, records, peak.bytes if memory else {})
