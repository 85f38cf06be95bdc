"""A unary call on a connection's channel beside one on a raw channel whose metadata is made by hand."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

import milvus_profiles as mp
from benchmarks.measure import Effort, Row, at_least, choose, compared, main, orders, turns
from benchmarks.sleeper import INSERT, SEARCH, sleeper

TOKEN = "root:Milvus"
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
_AUTHORIZATION = base64.b64encode(TOKEN.encode()).decode()


def by_hand(identifier: str = "443000001") -> tuple[tuple[str, str], ...]:
    """The metadata of a call, as pymilvus sends it.

    Args:
        identifier: what the server called this client in its answer to the handshake.
    """
    return (
        ("authorization", _AUTHORIZATION),
        ("dbname", "default"),
        ("identifier", identifier),
        ("client-request-id", uuid.uuid4().hex),
        ("client-request-unixmsec", str(int(time.time() * 1000))),
    )


def _sync(port: int, rounds: int, count: int, method: str) -> tuple[list[float], list[float]]:
    with (
        mp.connect(uri=f"http://127.0.0.1:{port}", token=TOKEN, db_name="default") as conn,
        grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as raw,
    ):
        ours, theirs = (channel.unary_unary(method, None, None) for channel in (conn.channel, raw))

        def measure(call: Callable[[], Any]) -> Callable[[], float]:
            def run() -> float:
                began = time.perf_counter()
                for _ in range(count):
                    call()
                return count / (time.perf_counter() - began)

            return run

        found = turns(
            {
                "ours": measure(lambda: ours(b"", timeout=10)),
                "raw": measure(lambda: theirs(b"", timeout=10, metadata=by_hand())),
            },
            rounds,
        )
    return found["ours"], found["raw"]


async def _async(port: int, rounds: int, count: int, method: str) -> tuple[list[float], list[float]]:
    async with (
        mp.aio.connect(uri=f"http://127.0.0.1:{port}", token=TOKEN, db_name="default") as conn,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as raw,
    ):
        ours, theirs = (channel.unary_unary(method, None, None) for channel in (conn.channel, raw))

        async def our_turn() -> float:
            began = time.perf_counter()
            for _ in range(count):
                await ours(b"", timeout=10)
            return count / (time.perf_counter() - began)

        async def raw_turn() -> float:
            began = time.perf_counter()
            for _ in range(count):
                await theirs(b"", timeout=10, metadata=by_hand())
            return count / (time.perf_counter() - began)

        found: dict[str, list[float]] = {"ours": [], "raw": []}
        for order in orders((("ours", our_turn), ("raw", raw_turn)), rounds):
            for name, measure in order:
                found[name].append(await measure())
    return found["ours"], found["raw"]


def run(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (81, 100), (15, 50), (2, 5))
    rows = []
    with sleeper() as port:
        for name, method in (("a read, which may be retried", SEARCH), ("a write", INSERT)):
            for kind, (ours, raw) in (
                ("", _sync(port, rounds, count, method)),
                (", asyncio", asyncio.run(_async(port, rounds, count, method))),
            ):
                figure, peer = f"unary call, {name}{kind}", "raw channel, same metadata by hand"
                rows.append(compared(figure, peer, "calls/s", ours, raw, at_least(0.97)))
    return rows


if __name__ == "__main__":
    main(run)
