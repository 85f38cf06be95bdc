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
    return [
        weakref.ref(each) for each in (conn, conn.channel, stub, conn._shared, conn._shared.core, conn._shared.core.raw)
    ]


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


def assert_leaves_nothing(use: Callable[[], list[weakref.ref[Any]] | None]) -> None:
    use()  # what is made once is made
    with collector_off():
        before = of_grpc()
        references = use() or []
        until(lambda: [reference() for reference in references] == [None] * len(references))
        until_gone(before)


# Of a server with certificate files the channel looks at them again from time to time.
OVER = [*((use, "auth") for use in (closed, disconnected, dropped, refused, unreachable)), (closed, "tls")]


@pytest.mark.parametrize(("use", "kind"), OVER, ids=lambda each: getattr(each, "__name__", each))
def test_what_is_over_is_gone(
    shell: Shell,
    use: Callable[[Shell, MilvusServer], list[weakref.ref[Any]]],
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    server: MilvusServer = request.getfixturevalue(f"milvus_{kind}")
    assert_leaves_nothing(lambda: use(shell, server))


def test_a_channel_that_its_handles_moved_away_from_is_gone(
    shell: Shell, prod: Declared, milvus_plain: MilvusServer, milvus_auth: MilvusServer
) -> None:
    conn = shell.connect("prod", profiles=prod.says(uri(milvus_plain.port)))
    with collector_off():
        old = weakref.ref(conn._shared.core.raw)
        stub = shell.stub(conn, GET_VERSION.path)
        shell.call(stub)
        shell.connect("prod", profiles=prod.says(uri(milvus_auth.port), 'token = "root:Milvus"'))
        shell.call(stub)
        until(lambda: old() is None)


def pool_of_threads(server: MilvusServer) -> None:
    with mp.ConnectionPool(profiles=of(server)) as pool:
        with pool.lease("prod") as conn:
            conn.ping()
        kept = pool.get_client("prod")
        kept.channel.unary_unary(GET_VERSION.path, None, None)(b"")
        pool.return_client("prod", kept)


def pool_of_a_loop(server: MilvusServer) -> None:
    async def use() -> None:
        async with mp.aio.ConnectionPool(profiles=of(server)) as pool:
            async with pool.lease("prod") as conn:
                await conn.ping()
            kept = await pool.get_client("prod")
            await kept.channel.unary_unary(GET_VERSION.path, None, None)(b"")
            await pool.return_client("prod", kept)

    asyncio.run(use())


def loop_that_ends(server: MilvusServer) -> None:
    shell = Loop()
    call_once(shell, shell.connect("prod", profiles=of(server)))
    shell.end()


def loop_that_is_cut_off(server: MilvusServer) -> None:
    """Without shutdown_asyncgens(), by which connections end with their loop."""
    shell = Loop()
    call_once(shell, shell.connect("prod", profiles=of(server)))
    shell._loop.call_soon_threadsafe(shell._loop.stop)
    shell._thread.join()
    shell._loop.close()


@pytest.mark.parametrize("use", [pool_of_threads, pool_of_a_loop, loop_that_ends, loop_that_is_cut_off])
def test_what_has_its_own_connections_takes_them_along(
    use: Callable[[MilvusServer], None], milvus_plain: MilvusServer
) -> None:
    assert_leaves_nothing(lambda: use(milvus_plain))
