"""What a living connection survives: a restarted server, one that hangs, one that sends it away."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc.aio
import pytest

import milvus_profiles as mp
from milvus_profiles.channel.wire import GET_VERSION
from tests.conftest import StartMilvus
from tests.support.scripted_grpc import SERVICE, Call, answering, scripted_server
from tests.support.waiting import until

pytestmark = pytest.mark.programs

GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Iterator[None]:
    yield
    mp.disconnect_all(grace=0)


def declared(uri: str, **more: str) -> mp.Profiles:
    env = {f"MILVUS_PROFILES__PROD__{name.upper()}": value for name, value in more.items()}
    return mp.load(env={"MILVUS_PROFILES__PROD__URI": uri, **env}, cwd="/")


def test_after_an_outage_the_next_calls_succeed_within_a_second(start_milvus: StartMilvus) -> None:
    """Of a real server's: killed, gone for longer than gRPC's own back-off would bear, and started again."""
    server = start_milvus()
    profiles = declared(server.uri, timeout="5", retry="false")
    get_version = mp.connect("prod", profiles=profiles).channel.unary_unary(GET_VERSION.path, None, None)

    async def over_asyncio() -> None:
        conn = await mp.aio.connect("prod", profiles=profiles)
        async_get_version = conn.channel.unary_unary(GET_VERSION.path, None, None)
        await async_get_version(b"", timeout=5)
        server.kill()
        ends = time.monotonic() + 4.0
        while time.monotonic() < ends:
            with pytest.raises(grpc.RpcError) as caught:
                get_version(b"", timeout=1)
            assert caught.value.code() in GONE
            with pytest.raises(grpc.aio.AioRpcError) as aio_caught:
                await async_get_version(b"", timeout=1)
            assert aio_caught.value.code() in GONE
            await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)
        # It answers a fresh channel: from now on both have a second to find out.
        first = asyncio.to_thread(get_version, b"", timeout=1.0, wait_for_ready=True)
        answers = await asyncio.gather(first, async_get_version(b"", timeout=1.0, wait_for_ready=True))
        assert all(b"2.3" in answer for answer in answers)

    asyncio.run(over_asyncio())


def test_a_peer_that_hangs_is_found_by_keepalive(start_milvus: StartMilvus) -> None:
    """A call without a deadline on a server that was stopped: its TCP connection lives, and nothing ever comes."""
    server = start_milvus()
    conn = mp.connect("prod", profiles=declared(server.uri, keepalive__time="5", keepalive__timeout="1", retry="false"))
    call = conn.channel.unary_unary(GET_VERSION.path, None, None)
    server.suspend()
    try:
        with pytest.raises(grpc.RpcError) as caught:
            # Half a minute before gRPC itself would give up the ping that it sends with the first call.
            call(b"", timeout=30)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        server.resume()

    def answers() -> bool:
        try:
            return bool(call(b"", timeout=5, wait_for_ready=True))
        except grpc.RpcError:  # gRPC is still closing the connection that it gave up
            return False

    until(answers)


def test_goaway_loses_no_call() -> None:
    """Of a server that ends every connection when it is that old, as load balancers have servers do."""

    def slow_answer(call: Call) -> bytes:
        time.sleep(0.05)
        return b"slow"

    ages = [("grpc.max_connection_age_ms", 150), ("grpc.max_connection_age_grace_ms", 20_000)]
    with scripted_server(answering(Slow=slow_answer), options=ages) as server:
        # Without retries: what is not lost is not lost by the channel itself.
        profiles = declared(f"http://127.0.0.1:{server.port}", retry="false")
        slow = mp.connect("prod", profiles=profiles).channel.unary_unary(SERVICE + "Slow", None, None)
        enough = threading.Event()

        def call_on(_: int) -> int:
            count = 0
            while not enough.is_set():
                assert slow(b"", timeout=20) == b"slow"
                count += 1
            return count

        async def over_asyncio() -> int:
            conn = await mp.aio.connect("prod", profiles=profiles)
            async_slow, count = conn.channel.unary_unary(SERVICE + "Slow", None, None), 0
            while len({call.peer for call in server.calls}) < 12:
                answers = await asyncio.gather(*(async_slow(b"", timeout=20) for _ in range(8)))
                assert answers == [b"slow"] * 8
                count += 8
            return count

        with ThreadPoolExecutor(8) as threads:
            callers = [threads.submit(call_on, number) for number in range(8)]
            try:
                assert asyncio.run(asyncio.wait_for(over_asyncio(), 60)) > 0
            finally:
                enough.set()
            assert sum(caller.result() for caller in callers) > 0
