"""CPU time and memory of servers, each with all of its processes."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Self

import psutil

SAMPLE_SECONDS = 0.5


def read_cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its descendants so far, including those that have ended and were waited for."""
    return sum(_read_cpu({"": pid}, split=False).values())


def read_cpu_by_component(pids: Mapping[str, int]) -> dict[str, float]:
    """The CPU seconds so far of each named process with its descendants.

    A Python program with a Java process, which is what PySpark is, counts as two components: `<name> JVM`, and
    `<name> Python` for its other processes, including the workers that the JVM starts.
    """
    return _read_cpu(pids, split=True)


def _read_cpu(pids: Mapping[str, int], *, split: bool) -> dict[str, float]:
    seconds: Counter[str] = Counter()
    for name, process, is_java in _list_processes(pids, split=split):
        times = process.info["cpu_times"]
        seconds[name] += times.user + times.system
        # What a JVM has waited for were Python workers.
        waited_for = name.removesuffix(" JVM") + " Python" if split and is_java and name.endswith(" JVM") else name
        seconds[waited_for] += times.children_user + times.children_system
    return dict(seconds)


def read_memory_by_component(pids: Mapping[str, int]) -> dict[str, int]:
    """The bytes in memory of each component at present; memory shared by processes counts once (PSS)."""
    memory: Counter[str] = Counter()
    for name, process, _ in _list_processes(pids, split=True):
        try:
            memory[name] += process.memory_full_info().pss
        except psutil.Error:
            continue
    return dict(memory)


def _list_processes(pids: Mapping[str, int], *, split: bool) -> Iterator[tuple[str, psutil.Process, bool]]:
    for name, pid in pids.items():
        members = []
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                process.info = process.as_dict(["name", "cpu_times"])
            except psutil.NoSuchProcess:
                continue
            members.append((process, process.info["name"] == "java"))
        is_split = split and any(is_java for _, is_java in members[1:])
        for process, is_java in members:
            yield (f"{name} {'JVM' if is_java else 'Python'}" if is_split else name), process, is_java


class PeakMemory:
    """The peak memory of each component, and of all together, in a `with` block; sampled, so that it is a lower bound.

    `bytes` has the components' peaks, which need not have occurred at the same time, and their `total`.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True, name="memory")
        self.bytes: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._record()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._record()

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._record()

    def _record(self) -> None:
        current = read_memory_by_component(self._pids)
        current["total"] = sum(current.values())
        for name, value in current.items():
            self.bytes[name] = max(value, self.bytes.get(name, 0))
