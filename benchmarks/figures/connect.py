"""Connecting to a real Milvus, handshake and first call included, in a program that runs already."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import grpc

import milvus_profiles as mp
from benchmarks.figures.calls import OPTIONS, by_hand
from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own, timed, turns
from benchmarks.servers import milvus
from tests.support.milvus import SERVICE

GET_VERSION = SERVICE + "GetVersion"
SETTLED = 2.5
"""Seconds after which the times of a file tell the next change."""


def run(effort: Effort) -> list[Row]:
    rounds, count = choose(effort, (81, 5), (9, 3), (2, 1))
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

        from pymilvus import MilvusClient  # not at the top: importing it reads .env files
        from pymilvus.grpc_gen import common_pb2, milvus_pb2

        def raw() -> None:
            with grpc.insecure_channel(server.address, OPTIONS) as channel:
                client = common_pb2.ClientInfo(sdk_type="raw", sdk_version="1", local_time="now", user="root", host="h")
                answer = channel.unary_unary(SERVICE + "Connect", None, milvus_pb2.ConnectResponse.FromString)(
                    milvus_pb2.ConnectRequest(client_info=client).SerializeToString(),
                    timeout=10,
                    metadata=by_hand()[:1],
                )
                if answer.status.code or not answer.identifier:
                    raise RuntimeError("it was refused")
                metadata = by_hand(str(answer.identifier))
                channel.unary_unary(GET_VERSION, None, None)(b"", timeout=10, metadata=metadata)

        def pymilvus() -> None:
            client = MilvusClient(uri=server.uri, token=server.token or "", dedicated=True)
            client.get_server_version()
            client.close()

        # Somebody's channel is open all the time.  Without any gRPC shuts itself down after a while, so that who comes
        # late pays for starting it again.
        with grpc.insecure_channel(server.address, OPTIONS) as bystander:
            bystander.unary_unary(GET_VERSION, None, None)(b"", timeout=10, metadata=by_hand())
            found = turns({name.__name__: timed(name, count) for name in (ours, raw, pymilvus)}, rounds)

        kept = mp.connect("prod")

        def again() -> None:
            mp.connect("prod")

        def handle() -> None:
            _ = kept.channel

        time.sleep(SETTLED)
        many = choose(effort, 2000, 500, 5)
        once_more = turns({name.__name__: timed(name, many) for name in (again, handle)}, choose(effort, 16, 6, 1))
        mp.disconnect_all()
    figure = "connect, handshake, first call, close"
    note = (
        "some 900 calls of Python functions (profile, secret, options, words of the server, counts of connections) and "
        "a thread that closes, 0.5 ms where the caches are cold; gRPC reads its service config, 0.1 ms"
    )
    return [
        compared(figure, "raw gRPC", "s", found["ours"], found["raw"], at_most(1.12), note),
        compared(figure, "pymilvus MilvusClient", "s", found["ours"], found["pymilvus"], at_most(1.0)),
        own("connect again, when it is open", "s", once_more["again"], 25e-6),
        compared("connect again, when it is open", "a kept handle", "s", once_more["again"], once_more["handle"]),
    ]


if __name__ == "__main__":
    main(run)
