"""Servers for many connections: each is answered for itself, and only with its own token.

Real gRPC servers, each in a process of its own, with a listening address of its own in 127.0.0.0/8: a client's ports
and a process's descriptors do not suffice for all on one.  Run as a program it is one of them: it prints its port and
serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.support.scripted_grpc import Call, Refusal, milvus_answer

__all__ = ["PER_SERVER", "Servers", "servers", "token_of"]

PER_SERVER = 16_384
"""Connections to one address: a client has 28,231 ports for it."""

_TOKEN = re.compile(r"user-(\d+):secret-\1")


def token_of(number: int) -> str:
    """The token of a connection, which no other has."""
    return f"user-{number}:secret-{number}"


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        pairs = dict(details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(_answer, details.method, pairs.get("authorization"))
        )


async def _answer(method: str, authorization: Any, request: bytes, context: Any) -> bytes:
    if authorization is None or not _TOKEN.fullmatch(base64.b64decode(authorization).decode()):
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure, please check api key is correct")
    try:
        return milvus_answer(Call(method, {}, request))
    except Refusal as refusal:
        await context.abort(refusal.code, refusal.details)
        raise AssertionError("abort raises") from None


async def _serve(host: str) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.enable_channelz", 0)])
    server.add_generic_rpc_handlers((_Handler(),))
    print(server.add_insecure_port(f"{host}:0"), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


@dataclass(frozen=True)
class Servers:
    """Where they listen, and their processes."""

    addresses: list[str]
    pids: list[int]

    def address_of(self, number: int) -> str:
        """The address that a connection leads to."""
        return self.addresses[number % len(self.addresses)]

    def resident(self) -> int:
        """Bytes of memory that all have."""
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids) << 12


@contextlib.contextmanager
def servers(count: int) -> Iterator[Servers]:
    """Enough for so many connections at once."""
    with contextlib.ExitStack() as stack:
        addresses, pids = [], []
        for number in range(-(-count // PER_SERVER)):
            host = f"127.0.1.{number + 1}"
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", __name__, host], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            assert process.stdin is not None
            assert process.stdout is not None
            stack.callback(process.stdin.close)
            addresses.append(f"{host}:{int(process.stdout.readline())}")
            pids.append(process.pid)
        yield Servers(addresses, pids)


if __name__ == "__main__":
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_serve(sys.argv[1]))
