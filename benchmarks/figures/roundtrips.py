"""Connecting to a server that is far away: from ``connect`` to the first answer, with a keyring that takes its time.

A proxy adds 25 ms each way, TCP's own round trip included, so what counts is how often a program waits for the server.
Raw gRPC is given the token and sends what the protocol needs: Connect, and the call.  Ours finds the token in a keyring
that takes 40 ms, and looks besides whether the database of its profile exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import slow_keyring
from benchmarks.delay import distant, round_trip
from benchmarks.measure import Effort, Floor, Row, at_most, choose, compared, main, orders, turns
from benchmarks.servers import milvus
from benchmarks.sleeper import sleeper
from tests.support.certificates import Certificates, issue
from tests.support.milvus import SERVICE

RTT = 0.050
TOKEN = "root:Milvus"
GET_VERSION = SERVICE + "GetVersion"
STEPS = ("TCP", "TLS 1.3", "HTTP/2 settings", "Connect", "the call")
"""What has to go there and back, one after the other; the second with TLS only."""


@dataclass(frozen=True)
class _Place:
    """A server that is far away, and how it is named."""

    port: int
    certificates: Certificates | None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def uri(self) -> str:
        return f"{'https' if self.certificates else 'http'}://{self.address}"


@contextlib.contextmanager
def _server(certificates: Certificates | None, real: bool) -> Iterator[int]:
    if real:
        with milvus(certificates) as server:
            yield server.port
    else:
        with sleeper(identity=None if certificates is None else certificates.server) as port:
            yield port


def _declare(home: Path, place: _Place) -> None:
    """The profiles of a user, with and without a database, whose token is in the keyring."""
    backend = f"{slow_keyring.__name__}.{slow_keyring.SlowKeyring.__name__}"
    ssl = f'ssl = {{ ca = "{place.certificates.ca}" }}\n' if place.certificates else ""
    common = f'uri = "{place.uri}"\ntoken = {{ keyring = true }}\n{ssl}'
    settings = home / ".config/milvus/milvus.toml"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        f'keyring_backends = ["{backend}"]\n'
        f"[profiles.plain]\n{common}"
        f'[profiles.database]\n{common}db_name = "default"\n'
    )
    settings.chmod(0o600)
    os.environ.update({"PYTHON_KEYRING_BACKEND": backend, slow_keyring.TOKEN: TOKEN})


class _Raw:
    """What a program sends that knows the protocol and was given the token."""

    def __init__(self, place: _Place, db_name: str) -> None:
        from pymilvus.grpc_gen import common_pb2, milvus_pb2

        from benchmarks.figures.calls import by_hand

        client = common_pb2.ClientInfo(sdk_type="raw", sdk_version="1", local_time="now", user="root", host="h")
        self.place, self.by_hand = place, by_hand
        self.request = milvus_pb2.ConnectRequest(client_info=client).SerializeToString()
        self.answer = milvus_pb2.ConnectResponse.FromString
        self.first = (by_hand()[0], *((("dbname", db_name),) if db_name else ()))

    def channel(self, grpc: Any) -> Any:
        from benchmarks.figures.calls import OPTIONS

        if self.place.certificates is None:
            return grpc.insecure_channel(self.place.address, OPTIONS)
        import grpc as credentials

        ca = self.place.certificates.ca.read_bytes()
        return grpc.secure_channel(self.place.address, credentials.ssl_channel_credentials(ca), OPTIONS)

    def metadata(self, answer: Any) -> Any:
        if answer.status.code or not answer.identifier:
            raise RuntimeError("it was refused")
        return self.by_hand(str(answer.identifier))


def _contestants(place: _Place, db_name: str) -> dict[str, Callable[[], float]]:
    import grpc
    from pymilvus import MilvusClient  # not at the top: importing it reads .env files

    import milvus_profiles as mp

    alias, raw = "database" if db_name else "plain", _Raw(place, db_name)
    ca = {"server_pem_path": str(place.certificates.ca), "server_name": "localhost"} if place.certificates else {}

    def ours() -> float:
        began = time.perf_counter()
        with mp.connect(alias, dedicated=True) as conn:
            conn.channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10)
            return time.perf_counter() - began

    def by_hand() -> float:
        began = time.perf_counter()
        with raw.channel(grpc) as channel:
            connect = channel.unary_unary(SERVICE + "Connect", None, raw.answer)
            metadata = raw.metadata(connect(raw.request, timeout=10, metadata=raw.first))
            channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10, metadata=metadata)
            return time.perf_counter() - began

    def pymilvus() -> float:
        began = time.perf_counter()
        client = MilvusClient(place.uri, token=TOKEN, db_name=db_name, dedicated=True, **ca)
        client.get_server_version()
        took = time.perf_counter() - began
        client.close()
        return took

    return {"ours": ours, "raw": by_hand, "pymilvus": pymilvus}


def _async_contestants(place: _Place, db_name: str) -> dict[str, Callable[[], Awaitable[float]]]:
    import grpc.aio

    import milvus_profiles as mp

    alias, raw = "database" if db_name else "plain", _Raw(place, db_name)

    async def ours() -> float:
        began = time.perf_counter()
        async with mp.aio.connect(alias, dedicated=True) as conn:
            await conn.channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10)
            return time.perf_counter() - began

    async def by_hand() -> float:
        began = time.perf_counter()
        async with raw.channel(grpc.aio) as channel:
            connect = channel.unary_unary(SERVICE + "Connect", None, raw.answer)
            metadata = raw.metadata(await connect(raw.request, timeout=10, metadata=raw.first))
            await channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10, metadata=metadata)
            return time.perf_counter() - began

    return {"ours": ours, "raw": by_hand}


async def _async_turns(contestants: dict[str, Callable[[], Awaitable[float]]], rounds: int) -> dict[str, list[float]]:
    for measure in contestants.values():
        await measure()
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for order in orders(list(contestants), rounds):
        for name in order:
            found[name].append(await contestants[name]())
    return found


def _rows(place: _Place, db_name: str, rounds: int, fastest: float) -> list[Row]:
    contestants = _contestants(place, db_name)
    for measure in contestants.values():
        measure()  # what is imported and read once is not what this is about
    found = turns(contestants, rounds)
    beside = asyncio.run(_async_turns(_async_contestants(place, db_name), rounds))
    steps = STEPS if place.certificates else [step for step in STEPS if not step.startswith("TLS")]
    floor = Floor(f"{len(steps)} round trips ({', '.join(steps)})", len(steps) * fastest)
    what = f"{'TLS' if place.certificates else 'plaintext'}, {'with' if db_name else 'without'} db_name"
    figure, goal, peer = f"connect to first answer, 50 ms away, {what}", at_most(1.02), "raw gRPC, given the token"

    def note(values: dict[str, list[float]]) -> str:
        told = (f"{name} {statistics.median(values[name]) / fastest:.2f}" for name in values)
        return f"in round trips: {', '.join(told)}; the keyring of ours takes 40 ms of its own"

    return [
        compared(figure, peer, "s", found["ours"], found["raw"], goal, note(found), floor),
        compared(figure, "pymilvus MilvusClient", "s", found["ours"], found["pymilvus"], at_most(1), floor=floor),
        compared(f"{figure}, asyncio", peer, "s", beside["ours"], beside["raw"], goal, note(beside), floor),
    ]


def run(effort: Effort) -> list[Row]:
    rounds, real = choose(effort, (16, True), (4, True), (1, False))
    _, fastest = round_trip(RTT)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home:
        # A home of its own: whoever runs this has profiles in his.
        os.environ["HOME"] = home
        os.environ.pop("XDG_CONFIG_HOME", None)
        certificates = issue(Path(home))
        for some in (None, certificates):
            with _server(some, real) as near, distant(near, RTT) as port:
                place = _Place(port, some)
                _declare(Path(home), place)
                for db_name in choose(effort, ("", "default"), ("", "default"), ("default",)):
                    rows += _rows(place, db_name, rounds, fastest)
    return rows


if __name__ == "__main__":
    main(run)
