"""Ports for servers that must be told their port before they start.

They come from below the kernel's ephemeral range, so no outgoing connection and no `bind(0)` can take one between
picking and binding; and from a block that this process has claimed, so no other test session on this machine picks
the same. Whoever can bind port 0 by himself should do that instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

_FIRST, _LAST, _BLOCK = 12_000, 32_000, 400
# Ports with a meaning, left to the tests that ask for them by number.
_DEFAULTS = {19529, 19530, 19531}


def is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with contextlib.ExitStack() as stack:
            try:
                probe = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            except OSError:
                continue  # a kernel without IPv6
            # As servers do it: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


class Ports:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken: set[int] = set()
        self._claim, self._start = self._claim_block()
        self._turn = 0

    @staticmethod
    def _claim_block() -> tuple[socket.socket, int]:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for start in range(_FIRST, _LAST, _BLOCK):
            # An abstract name is a lock with the right reach: one network namespace, as long as the process lives.
            with contextlib.suppress(OSError):
                if sys.platform == "linux":
                    claim.bind(f"\0milvus-profiles-test-ports-{start}")
                return claim, start
        raise RuntimeError("every block of test ports is claimed by another session")

    def take(self) -> int:
        """A port that nobody uses, and that nobody else gets until it is given back."""
        with self._guard:
            for _ in range(_BLOCK):
                # Round and round rather than lowest first: a port just given back rests for a while.
                port = self._start + self._turn % _BLOCK
                self._turn += 1
                if port not in self._taken and port not in _DEFAULTS and is_free(port):
                    self._taken.add(port)
                    return port
        raise RuntimeError("no free test port left")

    def give_back(self, port: int) -> None:
        with self._guard:
            self._taken.discard(port)


_ports: Ports | None = None


def ports() -> Ports:
    """This process's ports, claimed on first use."""
    global _ports
    if _ports is None:
        _ports = Ports()
    return _ports


@contextlib.contextmanager
def documented_port() -> Iterator[int]:
    """19530, for one test at a time: others wait, also in other processes of this network namespace."""
    namespace = os.stat("/proc/self/ns/net").st_ino if sys.platform == "linux" else 0
    lock = Path(tempfile.gettempdir()) / f"milvus-profiles-test-port-19530-{os.geteuid()}-{namespace}.lock"
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield 19530
