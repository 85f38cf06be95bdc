"""How fast the machine runs just now: a loop of plain Python, and bytes through a loopback connection.

Other work on the machine shows in both, a slower clock of the processor too.  A look takes a quarter of a second, in
short slices: their median is what a figure beside it had, and the fastest of them is what the machine can do, so that
even the first run on a machine shows that something disturbed it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Look", "Speed", "fastest_of", "look", "machine", "usual_of"]

_SLICES = 25
_LOOPS = 40_000
"""Rounds of the Python loop in one slice: some 4 ms."""
_ECHOES = 700
"""Bytes there and back in one slice: some 4 ms as well."""


@dataclass(frozen=True)
class Speed:
    """Seconds of one slice of work, of each kind; less is faster."""

    python: float
    loopback: float

    def beside(self, usual: Speed) -> float:
        """This speed as a part of the usual one, by the kind that suffers more; 1 where it is usual."""
        return min(usual.python / self.python, usual.loopback / self.loopback)


@dataclass(frozen=True)
class Look:
    """One look at the machine: what it had, and the most that it could do in between."""

    now: Speed
    fastest: Speed


def look() -> Look:
    """Measure the machine, in a quarter of a second."""
    with _connection() as (near, far):
        works: tuple[Callable[[], None], ...] = (_compute, lambda: _echo(near, far))
        slices = [[_seconds(work) for work in works] for _ in range(_SLICES)]
    python, loopback = zip(*slices, strict=True)
    return Look(
        Speed(statistics.median(python), statistics.median(loopback)),
        # Not the very fastest, which is luck.
        Speed(statistics.quantiles(python, n=10)[0], statistics.quantiles(loopback, n=10)[0]),
    )


def usual_of(before: Sequence[Speed], looks: Sequence[Look]) -> Speed:
    """The usual speed: the median of what earlier runs on this machine recorded; without any, this run's fastest."""
    if before:
        return Speed(
            statistics.median(speed.python for speed in before), statistics.median(speed.loopback for speed in before)
        )
    return fastest_of(looks)


def fastest_of(looks: Sequence[Look]) -> Speed:
    """The most that the machine could do in a run."""
    return Speed(min(one.fastest.python for one in looks), min(one.fastest.loopback for one in looks))


def machine() -> str:
    """What makes a speed comparable with another: the processor, how many cores, the system and the Python."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo") as lines:
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, {platform.python_implementation()} {version}"


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _compute() -> None:
    seen: dict[int, int] = {}
    for number in range(_LOOPS):
        seen[number & 255] = seen.get(number & 127, 0) + number


def _echo(near: socket.socket, far: socket.socket) -> None:
    for _ in range(_ECHOES):
        near.send(b"x")
        far.recv(1)
        far.send(b"x")
        near.recv(1)


@contextlib.contextmanager
def _connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield near, far
