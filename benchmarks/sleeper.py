"""A gRPC server that answers the handshake as a Milvus does, and any other method after as long as it is told.

Run as a program it prints its port and serves until its standard input ends.  A request of ASCII digits is the
milliseconds to wait.  It is a process of its own: client and server in one would share an interpreter's lock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from benchmarks.processes import serving
from tests.support.certificates import Identity
from tests.support.scripted_grpc import SERVICE, Call, Refusal, milvus_answer

SEARCH = SERVICE + "Search"
"""A method that only reads; this server waits in it."""
INSERT = SERVICE + "Insert"
"""One that writes."""


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def __init__(self) -> None:
        self._known: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = details.method
        if method not in self._known:
            self._known[method] = grpc.unary_unary_rpc_method_handler(functools.partial(_answer, method))
        return self._known[method]


async def _answer(method: str, request: bytes, context: object) -> bytes:
    if request.isdigit():
        await asyncio.sleep(int(request) / 1000)
        return b""
    try:
        return milvus_answer(Call(method, {}, request))
    except Refusal:
        return b""


async def _serve(streams: int | None, pair: tuple[bytes, bytes] | None) -> None:
    options: list[tuple[str, Any]] = [("grpc.so_reuseport", 0)]
    if streams is not None:
        options.append(("grpc.max_concurrent_streams", streams))
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((_Handler(),))
    if pair is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    print(port, flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


@contextlib.contextmanager
def sleeper(streams: int | None = None, identity: Identity | None = None) -> Iterator[int]:
    """A server in a process of its own.

    Args:
        streams: calls that it takes at once on each connection; None for gRPC's default.
        identity: its certificate and key, for TLS; None has none.

    Yields:
        Its port on 127.0.0.1.
    """
    words = [] if streams is None else ["--streams", str(streams)]
    words += [] if identity is None else ["--pair", str(identity.key), str(identity.cert)]
    with serving(__name__, *words) as port:
        yield port


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int)
    parser.add_argument("--pair", nargs=2, type=Path, metavar=("KEY", "CERT"))
    chosen = parser.parse_args()
    files = [path.read_bytes() for path in chosen.pair or ()]
    asyncio.run(_serve(chosen.streams, (files[0], files[1]) if files else None))
