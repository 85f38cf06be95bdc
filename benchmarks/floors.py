"""The limits that figures have in common, measured in the run in which they are shown.

A figure that has a floor of its own, such as round trips, names it itself; the others get it here, by their names.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from benchmarks.measure import Effort, Floor, Row, choose
from benchmarks.processes import PYTHON, lasting, spending

__all__ = ["with_floors"]

_BARE = [PYTHON, "-c", "pass"]


def with_floors(rows: Sequence[Row], effort: Effort) -> list[Row]:
    """The rows of a figure, each with the floor of its kind where it has none of its own."""
    rounds = choose(effort, 9, 5, 1)
    return [row if row.floor is not None else replace(row, floor=_floor(row, rows, rounds)) for row in rows]


def _floor(row: Row, rows: Sequence[Row], rounds: int) -> Floor | None:
    for pattern, what, measure in _MEASURED:
        if re.match(pattern, row.figure):
            return Floor(what, measure(rounds))
    for pattern, peer in _PEERS:
        if re.match(pattern, row.figure):
            # The peer is the limit itself: what is measured has it inside.
            beside = next((other for other in rows if (other.figure, other.peer) == (row.figure, peer)), None)
            if beside is not None and beside.theirs is not None:
                return Floor(peer, beside.theirs.median)
    return None


@cache
def _lock(rounds: int) -> float:
    lock, took = threading.Lock(), []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(20_000):
            with lock:
                pass
        took.append((time.perf_counter() - began) / 20_000)
    return statistics.median(took)


@cache
def _start(rounds: int) -> float:
    measure = lasting(_BARE)
    return statistics.median(measure() for _ in range(rounds))


@cache
def _processor(rounds: int) -> float:
    measure = spending(_BARE)
    return statistics.median(measure() for _ in range(rounds))


_MEASURED: tuple[tuple[str, str, Callable[[int], float]], ...] = (
    (r"lease \+ return|get_client \+ return_client", "an empty with-block around a lock", _lock),
    (r"CPU time of", "CPU time of python -c pass", _processor),
    (r"process start|profile (list|show|current)|completion|exec", "python -c pass", _start),
)
"""What a figure is called, what bounds it, and how that is measured, in seconds."""

_PEERS = (
    (r"load 1 profile$", "tomllib.loads"),
    (r"connect, handshake", "raw gRPC"),
    (r"memory of one live connection", "raw channel of its own"),
)
"""What a figure is called, and the peer that bounds it."""
