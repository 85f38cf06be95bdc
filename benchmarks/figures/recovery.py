"""A Milvus goes and comes back: how long until a living connection's calls succeed again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc

from benchmarks.figures.calls import OPTIONS, by_hand
from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own
from benchmarks.processes import PYTHON
from benchmarks.servers import milvus
from tests.support.milvus import MilvusServer
from tests.support.scripted_grpc import SERVICE

GET_VERSION = SERVICE + "GetVersion"
PAUSE = 0.01
OUTAGE = 8.0
"""Seconds that the server is away: long enough for every client's back-off to have grown."""
_GAP = 0.3
# Measured from when the server answers a fresh channel; a client that is there first has waited for nothing.
_LEAST = 0.001

PROGRAM = "benchmarks.figures.recovery"


def _ours(address: str) -> Callable[[], Any]:
    import milvus_profiles as mp

    conn = mp.connect(uri=f"http://{address}", token="root:Milvus")
    call = conn.channel.unary_unary(GET_VERSION, None, None)
    return lambda: (conn, call(b"", timeout=5))


def _client_of_ours(address: str) -> Callable[[], Any]:
    import milvus_profiles as mp

    conn = mp.connect(uri=f"http://{address}", token="root:Milvus")
    client = conn.client()
    return lambda: (conn, client.get_server_version(timeout=5))


def _raw(address: str) -> Callable[[], Any]:
    channel = grpc.insecure_channel(address)
    call = channel.unary_unary(GET_VERSION, None, None)
    return lambda: call(b"", timeout=5, metadata=by_hand())


def _pymilvus(address: str) -> Callable[[], Any]:
    from pymilvus import MilvusClient

    client = MilvusClient(uri=f"http://{address}", token="root:Milvus")
    return lambda: client.get_server_version(timeout=5)


CLIENTS = {"ours": _ours, "client": _client_of_ours, "raw": _raw, "pymilvus": _pymilvus}


def _client(name: str, address: str) -> None:
    """Call again and again, and print when a call succeeds after a while in which none did."""
    call = CLIENTS[name](address)
    last = 0.0
    while True:
        with contextlib.suppress(Exception):
            call()
            now = time.monotonic()
            if now - last > _GAP:
                print(json.dumps(now), flush=True)
            last = now
        time.sleep(PAUSE)


class _Watched:
    """A client in a process of its own."""

    def __init__(self, name: str, address: str) -> None:
        self.times: list[float] = []
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [PYTHON, "-m", PROGRAM, "--client", name, address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "GRPC_VERBOSITY": "NONE"},
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.times.append(json.loads(line))
                self._news.notify_all()

    def first_after(self, moment: float, patience: float = 60) -> float:
        with self._news:
            if not self._news.wait_for(lambda: any(when > moment for when in self.times), patience):
                raise TimeoutError("a client did not come back")
            return next(when for when in self.times if when > moment)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _first_answer(server: MilvusServer, stop: threading.Event) -> float:
    """When the server first answers somebody who tries all the time, each time on a fresh channel."""
    while not stop.is_set():
        with grpc.insecure_channel(server.address, OPTIONS) as channel, contextlib.suppress(grpc.RpcError):
            channel.unary_unary(GET_VERSION, None, None)(b"", timeout=1, metadata=by_hand())
            return time.monotonic()
        stop.wait(0.005)
    return 0.0


def _outage(server: MilvusServer, clients: dict[str, _Watched], seconds: float) -> dict[str, float]:
    down = time.monotonic()
    server.stop()
    stop = threading.Event()
    stop.wait(max(0.0, seconds - server.start_seconds - (time.monotonic() - down)))
    answered: list[float] = []
    prober = threading.Thread(target=lambda: answered.append(_first_answer(server, stop)))
    prober.start()
    server.start()
    prober.join()
    # A call that was on its way when the server went may still have been answered.
    return {name: max(_LEAST, client.first_after(down + 1) - answered[0]) for name, client in clients.items()}


def run(effort: Effort) -> list[Row]:
    rounds, seconds = choose(effort, (8, OUTAGE), (1, OUTAGE / 2), (1, 0.0))
    found: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with milvus() as server:
        clients = {name: _Watched(name, server.address) for name in CLIENTS}
        try:
            for client in clients.values():
                client.first_after(0.0)
            for _ in range(rounds):
                for name, took in _outage(server, clients, seconds).items():
                    found[name].append(took)
        finally:
            for client in clients.values():
                client.end()
    figure = f"recovery after an outage of {seconds:.0f} s"

    def beside_pymilvus(what: str, name: str) -> Row:
        note = (
            "all clients see the same outages, each of which is a pair; where in its back-off one is caught is chance"
        )
        return compared(what, "pymilvus", "s", found[name], found["pymilvus"], at_most(0.5), note)

    return [
        own(figure, "s", found["ours"], 0.8),
        beside_pymilvus(figure, "ours"),
        beside_pymilvus(f"conn.client(): {figure}", "client"),
        compared(figure, "raw channel, default options", "s", found["ours"], found["raw"]),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        _client(sys.argv[2], sys.argv[3])
    else:
        main(run)
