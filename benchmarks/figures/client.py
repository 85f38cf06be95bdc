"""pymilvus's client on our channel beside one that pymilvus connects itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import milvus_profiles as mp
from benchmarks.figures.calls import TOKEN
from benchmarks.measure import Effort, Row, at_least, at_most, choose, compared, main, timed, turns
from benchmarks.servers import milvus
from benchmarks.sleeper import sleeper
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus

_THREADS = 100
_NEAREST: dict[str, Any] = {"data": [[0.6, 0.8]], "limit": 1, "anns_field": "vector"}


def declared(uri: str) -> mp.Profiles:
    return mp.load(env={"MILVUS_URI": uri, "MILVUS_TOKEN": TOKEN, "HOME": "/nonexistent"}, cwd="/")


def _on_a_server(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (81, 20), (15, 10), (2, 2))
    pymilvus = import_with_pymilvus("pymilvus")
    with milvus() as server:
        profiles = declared(server.uri)
        conn = mp.connect(profiles=profiles)
        kept = pymilvus.MilvusClient(server.uri, token=TOKEN)
        kept.create_collection("films", dimension=2)
        kept.insert("films", [{"id": 1, "vector": [0.6, 0.8]}])
        searches = turns(
            {
                "ours": timed(lambda: conn.client().search("films", **_NEAREST), count),
                "theirs": timed(lambda: kept.search("films", **_NEAREST), count),
            },
            rounds,
        )

        def ours() -> float:
            with mp.connect(profiles=profiles, dedicated=True) as opened:
                began = time.perf_counter()
                opened.client()
                return time.perf_counter() - began

        def theirs() -> float:
            began = time.perf_counter()
            client = pymilvus.MilvusClient(server.uri, token=TOKEN, dedicated=True)
            taken = time.perf_counter() - began
            client.close()
            return taken

        made = turns({"ours": ours, "theirs": theirs}, rounds)
        kept.close()
        mp.disconnect_all()
    return [
        compared("conn.client() and a search", "a kept MilvusClient", "s", *_both(searches), at_most(1.05)),
        compared(
            "the first conn.client() of a connection", "MilvusClient(uri, token)", "s", *_both(made), at_most(0.25)
        ),
    ]


def _with_threads(effort: Effort) -> Row:
    rounds, count = choose(effort, (21, 20), (7, 10), (2, 2))
    pymilvus = import_with_pymilvus("pymilvus")
    with sleeper(streams=100) as port, ThreadPoolExecutor(_THREADS) as threads:
        uri = f"http://127.0.0.1:{port}"
        shared = pymilvus.MilvusClient(uri, token=TOKEN)

        def flood(search: Callable[[], object]) -> Callable[[], float]:
            def work(_: int) -> None:
                for _ in range(count):
                    search()

            def measure() -> float:
                began = time.perf_counter()
                list(threads.map(work, range(_THREADS)))
                return count * _THREADS / (time.perf_counter() - began)

            measure()
            return measure

        with mp.ConnectionPool(profiles=declared(uri)) as pool:

            def leased() -> None:
                with pool.lease("default") as conn:
                    conn.client().search("films", **_NEAREST)

            found = turns(
                {"ours": flood(leased), "theirs": flood(lambda: shared.search("films", **_NEAREST))},
                rounds,
            )
        shared.close()
    return compared(
        "100 threads: lease, client, search", "one MilvusClient for all", "calls/s", *_both(found), at_least(1.0)
    )


def _both(found: dict[str, list[float]]) -> tuple[list[float], list[float]]:
    return found["ours"], found["theirs"]


def run(effort: Effort) -> list[Row]:
    return [*_on_a_server(effort), _with_threads(effort)]


if __name__ == "__main__":
    main(run)
