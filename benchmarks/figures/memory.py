"""What one live connection takes in memory, with many held at once."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, turns
from benchmarks.processes import PYTHON, checked
from benchmarks.sleeper import sleeper

PROGRAM = "benchmarks.figures.memory"


def _resident() -> int:
    gc.collect()
    with open("/proc/self/smaps_rollup") as rollup:
        return next(int(line.split()[1]) << 10 for line in rollup if line.startswith("Rss:"))


def _ours(port: str) -> Callable[[], Any]:
    import milvus_profiles as mp
    from benchmarks.sleeper import SEARCH

    profiles = mp.load(env={"MILVUS_URI": f"http://127.0.0.1:{port}", "MILVUS_TOKEN": "root:Milvus", "HOME": "/none"})

    def open_one() -> Any:
        conn = mp.connect("default", profiles=profiles, dedicated=True)
        conn.channel.unary_unary(SEARCH, None, None)(b"", timeout=10)
        return conn

    return open_one


def _raw(port: str) -> Callable[[], Any]:
    import grpc

    from benchmarks.figures.calls import OPTIONS, by_hand
    from benchmarks.sleeper import SEARCH

    def open_one() -> Any:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS)
        channel.unary_unary(SEARCH, None, None)(b"", timeout=10, metadata=by_hand())
        return channel

    return open_one


def _one(name: str, port: str, count: int) -> None:
    open_one = {"ours": _ours, "raw": _raw}[name](port)
    held = [open_one() for _ in range(50)]
    before = _resident()
    held += [open_one() for _ in range(count)]
    print((_resident() - before) / count, flush=True)
    os._exit(0)  # closing a thousand channels measures nothing


def run(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (5, 1000), (1, 400), (1, 20))
    with sleeper() as port:

        def measure(name: str) -> float:
            return float(checked([PYTHON, "-m", PROGRAM, "--one", name, str(port), str(count)]))

        found = turns({"ours": lambda: measure("ours"), "raw": lambda: measure("raw")}, rounds)
    return [
        compared(
            f"memory of one live connection, {count:,} held", "raw channel of its own", "B", found["ours"],
            found["raw"], at_most(1.25),
            "A raw channel with the options of a profile has 37.8 KiB: 6 of them for the retry policy and the limits "
            "of answers, whose text gRPC keeps 3.4 times. Python objects are the other 6 KiB, none above 0.6",
        )
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        _one(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(run)
