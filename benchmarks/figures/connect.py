"""Connecting to a real Milvus, handshake and first call included, in a program that runs already."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc

import milvus_profiles as mp
from benchmarks.figures.calls import OPTIONS, by_hand
from benchmarks.measure import Effort, Row, at_most, choose, compared, main, turns
from benchmarks.servers import milvus
from tests.support.milvus import SERVICE
from tests.support.scripted_grpc import message

GET_VERSION = SERVICE + "GetVersion"
# ConnectRequest{client_info{sdk_type, sdk_version, local_time, user, host}}
_CONNECT = message(2, b"".join(message(n, word) for n, word in enumerate((b"raw", b"1", b"0", b"root", b"h"), start=1)))


def _timed(action: Callable[[], object]) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        action()
        return time.perf_counter() - began

    measure()
    return measure


def run(effort: Effort) -> list[Row]:
    rounds = choose(effort, 101, 31, 2)
    with milvus() as server, tempfile.TemporaryDirectory() as home:
        # A home of its own: whoever runs this has profiles in his.
        os.environ["HOME"] = home
        os.environ.pop("XDG_CONFIG_HOME", None)
        settings = Path(home) / ".config/milvus/milvus.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'[profiles.prod]\nuri = "{server.uri}"\ntoken = "{server.token}"\n')
        settings.chmod(0o600)

        def ours() -> None:
            with mp.connect("prod", dedicated=True) as conn:
                conn.channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10)

        def raw() -> None:
            with grpc.insecure_channel(server.address, OPTIONS) as channel:
                channel.unary_unary(SERVICE + "Connect", None, None)(_CONNECT, timeout=10, metadata=by_hand()[:1])
                channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10, metadata=by_hand())

        from pymilvus import MilvusClient  # last: importing it reads .env files

        def pymilvus() -> None:
            client = MilvusClient(uri=server.uri, token=server.token or "", dedicated=True)
            client.get_server_version()
            client.close()

        found = turns({name.__name__: _timed(name) for name in (ours, raw, pymilvus)}, rounds)
    figure = "connect, handshake, first call, close"
    return [
        compared(figure, "raw gRPC", "s", found["ours"], found["raw"], at_most(1.05)),
        compared(figure, "pymilvus MilvusClient", "s", found["ours"], found["pymilvus"], at_most(1.0)),
    ]


if __name__ == "__main__":
    main(run)
