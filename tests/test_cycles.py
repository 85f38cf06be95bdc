"""No reference cycle holds anything of gRPC: what is closed or dropped is gone, with the garbage collector off.

A cycle would stay until the collector comes by, in a forked child perhaps, where gRPC waits for ever as it ends what is
left of it; or it would hold a connection open that nobody has any more.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import milvus_profiles as mp
from milvus_profiles.channel.wire import GET_VERSION
from tests.support.connections import Declared, Loop, Shell, declared, of, uri
from tests.support.milvus import MilvusServer
from tests.support.waiting import collector_off, until

pytestmark = pytest.mark.programs


def of_grpc() -> Counter[str]:
    """What there is of gRPC and of connections, by type: much of it takes no weak reference."""
    kinds = (type(each) for each in gc.get_objects())
    names = ("grpc", "milvus_profiles.channel", "milvus_profiles.live", "milvus_profiles.pool")
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if str(kind.__module__).startswith(names))


def until_gone(before: Counter[str]) -> None:
    """Wait until there is no more than before; a failure shows what there is."""
    with suppress(AssertionError):
        until(lambda: not of_grpc() - before)
    assert of_grpc() - before == Counter()


def call_once(shell: Shell, conn: Any) -> list[weakref.ref[Any]]:
    """Use a connection in every way that leaves something behind, and refer to what is to go."""
    stub = shell.stub(conn, GET_VERSION.path)
    shell.call(stub)
    shell.ping(conn)
    return [weakref.ref(each) for each in (conn, conn.channel, stub, conn._live, conn._live.core, conn._live.core.raw)]


def closed(shell: Shell, server: MilvusServer) -> list[weakref.ref[Any]]:
    conn = shell.connect("prod", profiles=of(server), dedicated=True)
    channel = conn.channel
    references = call_once(shell, conn)
    shell.close(conn)
    assert channel is conn.channel
    return references


def disconnected(shell: Shell, server: MilvusServer) -> list[weakref.ref[Any]]:
    conn = shell.connect("prod", profiles=of(server))
    references = call_once(shell, conn)
    shell.disconnect("prod")
    with pytest.raises(mp.ConnectionClosedError):
        shell.ping(conn)
    return references


def dropped(shell: Shell, server: MilvusServer) -> list[weakref.ref[Any]]:
    return call_once(shell, shell.connect(uri=server.uri, token=server.token, profiles=declared()))


def refused(shell: Shell, server: MilvusServer) -> list[weakref.ref[Any]]:
    with pytest.raises(mp.AuthenticationError):
        shell.connect("prod", profiles=of(server, MILVUS_PROFILES__PROD__TOKEN="root:Wrong-1"))
    return []


def unreachable(shell: Shell, _: MilvusServer) -> list[weakref.ref[Any]]:
    with pytest.raises(mp.UnreachableError):
        shell.connect(uri="http://127.0.0.1:1", timeout=1, profiles=declared())
    return []


@pytest.mark.parametrize("use", [closed, disconnected, dropped, refused, unreachable], ids=lambda use: use.__name__)
def test_what_is_over_is_gone(
    shell: Shell, use: Callable[[Shell, MilvusServer], list[weakref.ref[Any]]], milvus_auth: MilvusServer
) -> None:
    use(shell, milvus_auth)  # what is made once is made
    with collector_off():
        before = of_grpc()
        references = use(shell, milvus_auth)
        until(lambda: [reference() for reference in references] == [None] * len(references))
        until_gone(before)


def test_a_channel_with_certificate_files_is_gone(shell: Shell, milvus_tls: MilvusServer) -> None:
    # It looks at them again from time to time.
    closed(shell, milvus_tls)
    with collector_off():
        before = of_grpc()
        closed(shell, milvus_tls)
        until_gone(before)


def test_a_channel_that_its_handles_moved_away_from_is_gone(
    shell: Shell, prod: Declared, milvus_plain: MilvusServer, milvus_auth: MilvusServer
) -> None:
    conn = shell.connect("prod", profiles=prod.says(uri(milvus_plain.port)))
    with collector_off():
        old = weakref.ref(conn._live.core.raw)
        stub = shell.stub(conn, GET_VERSION.path)
        shell.call(stub)
        shell.connect("prod", profiles=prod.says(uri(milvus_auth.port), 'token = "root:Milvus"'))
        shell.call(stub)
        until(lambda: old() is None)


def of_threads(server: MilvusServer) -> None:
    with mp.ConnectionPool(profiles=of(server)) as pool:
        with pool.lease("prod") as conn:
            conn.ping()
        kept = pool.get_client("prod")
        kept.channel.unary_unary(GET_VERSION.path, None, None)(b"")
        pool.return_client("prod", kept)


def of_a_loop(server: MilvusServer) -> None:
    async def use() -> None:
        async with mp.aio.ConnectionPool(profiles=of(server)) as pool:
            async with pool.lease("prod") as conn:
                await conn.ping()
            kept = await pool.get_client("prod")
            await kept.channel.unary_unary(GET_VERSION.path, None, None)(b"")
            await pool.return_client("prod", kept)

    asyncio.run(use())


@pytest.mark.parametrize("use", [of_threads, of_a_loop])
def test_the_pool_leaves_nothing(use: Callable[[MilvusServer], None], milvus_plain: MilvusServer) -> None:
    use(milvus_plain)
    with collector_off():
        before = of_grpc()
        use(milvus_plain)
        until_gone(before)


@pytest.mark.parametrize("properly", [True, False])
def test_a_loop_takes_its_connections_along(properly: bool, milvus_plain: MilvusServer) -> None:
    def use() -> None:
        shell = Loop()
        conn = shell.connect("prod", profiles=of(milvus_plain))
        call_once(shell, conn)
        del conn
        if properly:
            shell.end()
        else:  # without shutdown_asyncgens(), by which connections end with their loop
            shell._loop.call_soon_threadsafe(shell._loop.stop)
            shell._thread.join()
            shell._loop.close()

    use()
    with collector_off():
        before = of_grpc()
        use()
        until_gone(before)
