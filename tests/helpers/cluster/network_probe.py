"""Run on a node: connect the network namespaces of pods to each other on every port.

`network_probe.py REQUEST`, where the request is `{"members": {name: address}, "ports": [port], "services": {name:
[address, port]}}`, prints the connections that were tried and those that were open, each as `[source, target, port,
protocol]`. Every member listens on every port, be it the pod's own program or this one, so that a connection fails only
if the network denies it; a member's connection to itself shows that it listens. The member `outside` is made here: an
address beyond the node that is no pod's.
"""

import asyncio
import ctypes
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNET = 0x40000000
OUTSIDE, GATEWAY, PREFIX = "192.0.2.2", "192.0.2.1", 30
CONNECT_SECONDS = 4
LISTENING = "0A"
LOOPBACK = re.compile(r"(0{16}FFFF0000)?[0-9A-F]{6}7F|0{24}01000000")

Connection = tuple[str, str, int, str]


class Member:
    """A network namespace, with an address that it listens on."""

    def __init__(self, name: str, address: str, pid: int) -> None:
        self.name, self.address = name, address
        self._namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        self._servers: list[socket.socket] = []
        self.ports = _listening_ports(pid)
        self.receivers: dict[int, socket.socket] = {}

    def socket(self, kind: socket.SocketKind) -> socket.socket:
        """Return a socket of this namespace."""
        if ctypes.CDLL(None, use_errno=True).setns(self._namespace, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"the network namespace of {self.name} cannot be entered")
        made = socket.socket(socket.AF_INET, kind)
        made.setblocking(False)
        return made

    def listen(self, ports: list[int]) -> None:
        """Listen on the ports on which the pod's own program does not."""
        for port in ports:
            if port not in self.ports:
                server = self.socket(socket.SOCK_STREAM)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((self.address, port))
                server.listen(1024)
                self._servers.append(server)
                self.ports.add(port)
            self.receivers[port] = self.socket(socket.SOCK_DGRAM)
            self.receivers[port].bind((self.address, port))

    def received(self) -> Iterator[Connection]:
        """Yield the connection of each datagram, which contains the sender's name."""
        for port, receiver in self.receivers.items():
            with suppress(BlockingIOError):
                while True:
                    yield (receiver.recv(200).decode(), self.name, port, "UDP")


def _listening_ports(pid: int) -> set[int]:
    ports = set()
    for file in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{file}").read_text().splitlines()[1:]:
            address, port = line.split()[1].split(":")
            if line.split()[3] == LISTENING and not LOOPBACK.fullmatch(address):
                ports.add(int(port, 16))
    return ports


def _addresses(pid: int) -> set[str]:
    table = Path(f"/proc/{pid}/net/fib_trie").read_text()
    return set(re.findall(r"-- (\S+)\n +/32 host LOCAL", table))


def _processes() -> dict[str, int]:
    """Return a process of the namespace that has an address."""
    namespaces: dict[str, int] = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit():
                namespaces.setdefault(os.readlink(folder / "ns" / "net"), int(folder.name))
    found: dict[str, int] = {}
    for pid in namespaces.values():
        with suppress(OSError):
            found |= dict.fromkeys(_addresses(pid), pid)
    return found


@contextmanager
def _outside() -> Iterator[int]:
    """Provide a process in a namespace to which the node routes packets, as to another machine."""
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as process:
        try:
            deadline = time.monotonic() + 10
            while os.readlink(f"/proc/{process.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                assert time.monotonic() < deadline, "no network namespace was made"
                time.sleep(0.01)
            _ip(1, f"link add outside type veth peer name eth0 netns {process.pid}")
            _ip(1, f"address add {GATEWAY}/{PREFIX} dev outside")
            _ip(1, "link set outside up")
            _ip(process.pid, "link set lo up")
            _ip(process.pid, f"address add {OUTSIDE}/{PREFIX} dev eth0")
            _ip(process.pid, "link set eth0 up")
            _ip(process.pid, f"route add default via {GATEWAY}")
            yield process.pid
        finally:
            process.kill()


def _ip(pid: int, arguments: str) -> None:
    """Run the node's `ip` in the network namespace of a process."""
    enter = ("nsenter", "--mount=/proc/1/ns/mnt", f"--net=/proc/{pid}/ns/net")
    subprocess.run([*enter, "ip", *arguments.split()], check=True)


async def _connect(made: socket.socket, address: str, port: int) -> bool:
    with made:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address, port)), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            return False
        return True


async def _connected(attempts: list[tuple[Connection, socket.socket, str]]) -> list[Connection]:
    opened = await asyncio.gather(*(_connect(made, address, one[2]) for one, made, address in attempts))
    return [one for (one, _, _), is_open in zip(attempts, opened, strict=True) if is_open]


def _try_tcp(members: list[Member], services: dict[str, tuple[str, int]]) -> tuple[list[Connection], list[Connection]]:
    """Return the connections that were tried, and those that were open."""
    targets = [(member.name, member.address, port) for member in members for port in member.ports]
    targets += [(name, address, port) for name, (address, port) in services.items()]
    attempts = [
        ((source.name, name, port, "TCP"), source.socket(socket.SOCK_STREAM), address)
        for source in members
        for name, address, port in targets
    ]
    return [one for one, _, _ in attempts], asyncio.run(_connected(attempts))


def _send_udp(members: list[Member]) -> list[Connection]:
    """Send the sender's name from every member to every port of every member."""
    tried = []
    for source in members:
        with source.socket(socket.SOCK_DGRAM) as sender:
            for target in members:
                for port in target.receivers:
                    tried.append((source.name, target.name, port, "UDP"))
                    with suppress(OSError):
                        sender.sendto(source.name.encode(), (target.address, port))
    return tried


def main() -> None:
    request = json.loads(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with _outside() as pid:
        processes = _processes() | {OUTSIDE: pid}
        addresses = request["members"] | {"outside": OUTSIDE}
        members = [Member(name, address, processes[address]) for name, address in addresses.items()]
        for member in members:
            member.listen(request["ports"])
        datagrams = _send_udp(members)
        tried, opened = _try_tcp(members, request["services"])
        received = [one for target in members for one in target.received()]
    print(json.dumps({"tried": tried + datagrams, "open": opened + received}))


if __name__ == "__main__":
    main()
