"""Pools on real servers, on Milvus Lite, and on a server that caps streams."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import milvus_profiles as mp
from milvus_profiles import errors
from milvus_profiles.channel.wire import GET_VERSION
from milvus_profiles.live.spec import OPEN_CONNECTIONS
from tests.support import scripted_grpc
from tests.support.connections import at, declared, of
from tests.support.milvus import MilvusServer
from tests.support.pool_shells import Asyncio, Threads
from tests.support.sockets import connections_to
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    before = OPEN_CONNECTIONS.taken
    yield
    assert OPEN_CONNECTIONS.taken == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("milvus-profiles pool")]


@pytest.fixture(params=[Threads, Asyncio])
async def kind(request: pytest.FixtureRequest) -> Threads | Asyncio:
    made: Threads | Asyncio = request.param()
    return made


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
async def test_leases_on_a_real_server(milvus_mtls: MilvusServer, kind: Threads | Asyncio, mode: Any) -> None:
    known = of(milvus_mtls)
    async with kind.entered(kind.pool_class(mp.PoolSettings(mode=mode), known)) as pool:
        async with kind.entered(pool.lease("prod")) as conn:
            assert await kind.do(conn.ping) > 0
            assert conn.server_version is not None
            assert conn.endpoint == known["prod"].endpoint
            version = conn.channel.unary_unary(GET_VERSION.path, None, None)
            client = conn.client()
            assert await kind.do(client.list_collections) == []
            await kind.do(client.close)
        with pytest.raises(errors.ConnectionClosedError):
            await kind.do(version, b"")
        assert mp.list_connections() == mp.aio.list_connections() == []  # they are the pool's
        assert pool.idle_count("prod") == 1


def test_a_wrong_token_is_the_cause(milvus_auth: MilvusServer) -> None:
    with (
        mp.ConnectionPool(profiles=of(milvus_auth, MILVUS_PROFILES__PROD__TOKEN="root:canary-7")) as pool,
        pytest.raises(errors.ConnectFailedError) as caught,
    ):
        pool.get_client("prod")
    assert isinstance(caught.value.__cause__, errors.AuthenticationError)
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.stats} {pool!r}"


def test_the_profile_brings_settings_of_its_own(milvus_plain: MilvusServer) -> None:
    more = {"MILVUS_PROFILES__PROD__POOL__MODE": "exclusive", "MILVUS_PROFILES__PROD__POOL__MAX_TOTAL_PER_KEY": "1"}
    with (
        mp.ConnectionPool(profiles=of(milvus_plain, **more)) as pool,
        pool.lease("prod", timeout=20),
        pytest.raises(errors.PoolTimeoutError, match="1 of 1"),
    ):
        pool.get_client("prod", timeout=0.01)


def test_channels_of_a_pool_count_against_the_limit(milvus_plain: MilvusServer, tmp_path: Path) -> None:
    path = tmp_path / "milvus.toml"
    path.write_text(f'max_connections = {OPEN_CONNECTIONS.taken + 1}\n[profiles.prod]\nuri = "{milvus_plain.uri}"\n')
    settings = mp.PoolSettings(mode="exclusive")
    with mp.ConnectionPool(settings, mp.load(path)) as pool, pool.lease("prod", timeout=20):
        with pytest.raises(errors.PoolTimeoutError) as caught:
            pool.get_client("prod", timeout=0.3)
        assert isinstance(caught.value.__cause__, errors.ConnectionLimitError)


@pytest.mark.parametrize("mode", ["shared", "exclusive"])
async def test_leases_on_milvus_lite(tmp_path: Path, kind: Threads | Asyncio, mode: Any) -> None:
    pytest.importorskip("milvus_lite")
    known = declared(MILVUS_PROFILES__PROD__URI=str(tmp_path / "pool.db"))
    async with (
        kind.entered(kind.pool_class(mp.PoolSettings(mode=mode), known)) as pool,
        kind.entered(pool.lease("prod", timeout=60)) as first,
        kind.entered(pool.lease("prod", timeout=60)) as second,
    ):
        assert await kind.do(first.ping) > 0
        assert await kind.do(second.ping) > 0
    # Given back with the pool: nobody else has it open.
    with mp.connect(uri=str(tmp_path / "pool.db")) as conn:
        assert conn.ping() > 0


def test_channels_that_died_are_replaced() -> None:
    answer = threading.Event()
    answer.set()

    def script(call: scripted_grpc.Call) -> bytes:
        if not answer.is_set():
            raise scripted_grpc.Refusal(grpc.StatusCode.UNAVAILABLE, "gone")
        return scripted_grpc.milvus_answer(call)

    with scripted_grpc.scripted_server(script) as server:
        known = at(server.port, MILVUS_PROFILES__PROD__RETRY="false")
        with mp.ConnectionPool(mp.PoolSettings(mode="exclusive"), known) as pool:
            with pool.lease("prod", timeout=20) as conn:
                answer.clear()
                with pytest.raises(errors.MilvusProfilesError):
                    conn.ping()
            until(lambda: pool.stats().connections_lost == 1)
            with pytest.raises(errors.ConnectFailedError):
                pool.get_client("prod", timeout=20)
            answer.set()
            with pool.lease("prod", timeout=20) as conn:
                assert conn.ping() > 0


async def test_four_hundred_tasks_where_the_server_caps_streams_at_a_hundred() -> None:
    def script(call: scripted_grpc.Call) -> bytes:
        time.sleep(0.005)
        return scripted_grpc.milvus_answer(call)

    # gRPC's own protection counts streams that have ended as well, and so refuses some below the cap.
    streams = [("grpc.max_concurrent_streams", 100), ("grpc.http.overload_protection", 0)]
    with scripted_grpc.scripted_server(script, options=streams) as server:
        known = at(server.port, MILVUS_PROFILES__PROD__RETRY="false")
        async with mp.aio.ConnectionPool(mp.PoolSettings(max_block_wait=30), known) as pool:

            async def call() -> None:
                async with pool.lease("prod") as conn:
                    for _ in range(3):
                        await conn.ping(timeout=30)

            await asyncio.gather(*(call() for _ in range(400)))
            assert connections_to(server.port) == 4
            assert pool.stats().connections_num == 4


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_connects_anew(milvus_plain: MilvusServer) -> None:
    with mp.ConnectionPool(profiles=of(milvus_plain)) as pool, pool.lease("prod", timeout=20) as held:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with pytest.raises(errors.ForkError):
                    held.ping()
                with pool.lease("prod", timeout=20) as conn:
                    code = 0 if conn.ping() > 0 else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert held.ping() > 0
