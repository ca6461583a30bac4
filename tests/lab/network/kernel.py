"""A lab's network in the kernel, for tests: a holder of namespaces and sockets within them."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from lab.faults import SOUND, Faults, write_faults
from lab.world.model import World
from lab.world.snapshot import to_json

_CLONE_NEWNET = 0x40000000
_PATIENCE = 5.0
"""Seconds to wait for what must come."""
_SILENCE = 0.3
"""Seconds without an answer that count as none; answers within one machine take microseconds."""

_APPLY = """
import sys
from pathlib import Path
from lab.faults import read_faults
from lab.network.fabric import Fabric
from lab.world.snapshot import from_json
faults = read_faults(Path(sys.argv[1]))
Fabric(Path("/run/lab")).apply(from_json(sys.stdin.read()), faults)
"""
_CLOSE = """
from pathlib import Path
from lab.network.fabric import Fabric
Fabric(Path("/run/lab")).close()
"""


class Kernel:
    """A mount namespace with a `Fabric` in it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
                *("--propagation", "private", "sh", "-c"),
                "mount -t tmpfs tmpfs /run && echo ready && exec sleep infinity",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def stop(self) -> None:
        """End the holder; the kernel clears its namespaces."""
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    def run(self, *argv: str, text: str = "") -> str:
        """Run a command in the holder and return its output; it must succeed."""
        result = self.attempt(*argv, text=text)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def attempt(self, *argv: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in the holder, whether it succeeds or not."""
        enter = ["nsenter", "--mount", f"--target={self._holder.pid}"]
        return subprocess.run([*enter, *argv], input=text, capture_output=True, text=True)

    def apply(self, world: World, faults: Faults = SOUND, *, configure: bool = True) -> None:
        """Apply `world` in a process of its own and give the instances their addresses."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "faults.json"
            write_faults(faults, file)
            self.run(sys.executable, "-c", _APPLY, str(file), text=to_json(world))
        for instance in world.instances if configure else ():
            address = instance.interface.private_ip
            subnet = address.rpartition(".")[0]
            self.run(
                *("ip", "-n", instance.id, "-batch", "-"),
                text=f"addr replace {address}/24 dev eth0\n"
                f"route replace default via {subnet}.1 dev eth0\n",
            )

    def close(self) -> None:
        """Take the whole network down."""
        self.run(sys.executable, "-c", _CLOSE)

    def namespaces(self) -> set[str]:
        """The names of all network namespaces of the holder."""
        folder = self._path("")
        return set(os.listdir(folder)) if folder.exists() else set()

    def _path(self, namespace: str) -> Path:
        return Path(f"/proc/{self._holder.pid}/root/run/netns") / namespace

    @contextmanager
    def inside(self, namespace: str) -> Generator[None]:
        """Sockets opened here belong to `namespace` for good."""
        with Path("/proc/self/ns/net").open() as home:
            try:
                with self._path(namespace).open() as there:
                    _setns(there.fileno())
                yield
            finally:
                _setns(home.fileno())

    def listen(self, namespace: str, port: int, address: str = "0.0.0.0") -> socket.socket:
        """A TCP socket that listens in `namespace`."""
        with self.inside(namespace):
            server = socket.create_server((address, port))
        server.settimeout(_PATIENCE)
        return server

    def udp(self, namespace: str, port: int, address: str = "0.0.0.0") -> socket.socket:
        """A UDP socket bound in `namespace`, to an address that need not be its own."""
        with self.inside(namespace):
            bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT, ip(7): any source address
        bound.bind((address, port))
        bound.settimeout(_PATIENCE)
        return bound

    def connect(
        self, namespace: str, address: str, port: int, *, limit: float = _PATIENCE
    ) -> socket.socket:
        """A TCP connection from `namespace`."""
        with self.inside(namespace):
            client = socket.socket()
        client.settimeout(limit)
        try:
            client.connect((address, port))
        except OSError:
            client.close()
            raise
        client.settimeout(_PATIENCE)
        return client

    def reaches(self, namespace: str, address: str, port: int) -> bool:
        """Whether a TCP connection is answered, be it by a refusal."""
        return self._answered(namespace, address, port, _PATIENCE)

    def blocked(self, namespace: str, address: str, port: int) -> bool:
        """Whether a TCP connection gets no answer at all, as AWS drops packets silently."""
        return not self._answered(namespace, address, port, _SILENCE)

    def _answered(self, namespace: str, address: str, port: int, limit: float) -> bool:
        try:
            self.connect(namespace, address, port, limit=limit).close()
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        return True

    def source_seen(self, namespace: str, target: str, address: str, port: int = 7000) -> str:
        """The source address that `target` sees of a connection from `namespace`."""
        with self.listen(target, port) as server, self.connect(namespace, address, port):
            accepted, (source, _) = server.accept()
            accepted.close()
        return source

    def connections(self, namespace: str) -> str:
        """The TCP connections that the kernel tracks in `namespace`."""
        table = self.run(
            "nsenter", f"--net=/run/netns/{namespace}", "cat", "/proc/net/nf_conntrack"
        )
        return "".join(line for line in table.splitlines(keepends=True) if " tcp " in line)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it must within the patience of these tests."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            time.sleep(0.05)


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "setns")
