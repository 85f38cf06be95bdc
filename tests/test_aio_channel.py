"""The channel for asyncio is a grpc.aio.Channel in every way: what is of event loops only."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from milvus_profiles.channel.aio_channel import AsyncChannelCore, AsyncProfileChannel
from milvus_profiles.masked import SecretText
from tests.support.channels import ARITIES, NEW, OLD, OPTIONS, awaited, holding
from tests.support.speaking import Speaker, encoded, speaking
from tests.support.waiting import eventually


@asynccontextmanager
async def connected(port: int, token: str | None = OLD, **settings: Any) -> AsyncIterator[AsyncChannelCore]:
    holder = holding(token, settings.pop("db_name", None))
    core = AsyncChannelCore(grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS), holder, **settings)
    try:
        yield core
    finally:
        await core.close()


@pytest.fixture
async def core(speaker: Speaker) -> AsyncIterator[AsyncChannelCore]:
    async with connected(speaker.port, db_name="films") as one:
        yield one


@pytest.fixture
def channel(core: AsyncChannelCore) -> AsyncProfileChannel:
    return AsyncProfileChannel(core)


async def call(channel: grpc.aio.Channel, method: str, **named: Any) -> Any:
    """Make a call of any arity; its answers."""
    stub = getattr(channel, ARITIES[method])(f"/test/{method}", None, None)
    return await awaited(stub, method, b"x", **named)


async def test_a_unary_call_has_all_that_grpc_says(channel: AsyncProfileChannel) -> None:
    assert isinstance(channel, grpc.aio.Channel)
    rpc = channel.unary_unary("/test/Say", None, None)(b"", timeout=30, wait_for_ready=True)
    assert isinstance(rpc, grpc.aio.UnaryUnaryCall)
    seen: list[Any] = []
    rpc.add_done_callback(seen.append)
    await rpc.wait_for_connection()
    assert (rpc.time_remaining() or 0) > 0
    answer = await rpc
    assert answer == await rpc
    assert seen == [rpc]
    assert await rpc.code() is grpc.StatusCode.OK
    assert await rpc.details() == ""
    assert len(await rpc.initial_metadata()) == 0
    assert len(await rpc.trailing_metadata()) == 0
    assert (rpc.done(), rpc.cancelled(), rpc.cancel()) == (True, False, False)
    assert "OK" in repr(rpc)


async def test_states_can_be_watched(channel: AsyncProfileChannel) -> None:
    waiting = asyncio.ensure_future(channel.wait_for_state_change(channel.get_state()))
    await channel.channel_ready()
    await waiting
    assert channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY
    async with channel as same:
        assert same is channel
    assert repr(channel) == "<AsyncProfileChannel, open>"


async def test_a_cancelled_and_a_dropped_call_are_not_in_flight(
    channel: AsyncProfileChannel, core: AsyncChannelCore, speaker: Speaker
) -> None:
    speaker.hold.clear()
    rpc = channel.unary_unary("/test/Hold")(b"")
    assert core.in_flight == 1
    rpc.cancel()
    assert core.in_flight == 0
    with pytest.raises(asyncio.CancelledError):
        await rpc
    first = asyncio.Event()

    async def read_on() -> None:
        async for _ in channel.unary_stream("/test/Count")(b""):
            first.set()

    # In the middle: what is cancelled in the very turn of the loop in which it was made, grpc.aio leaves neither begun
    # nor done, so that it counts for as long as somebody holds it.
    task = asyncio.create_task(read_on())
    await asyncio.wait_for(first.wait(), 20)
    assert core.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: core.in_flight == 0)
    assert core.health.last_success is None


async def test_two_who_await_the_same_refused_call_get_the_same_answer() -> None:
    asked = []

    def refresh() -> SecretText:
        asked.append(threading.current_thread() is not threading.main_thread())
        return SecretText(NEW)

    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            rpc = AsyncProfileChannel(core).unary_unary("/test/Say")(b"")

            async def wait() -> Any:
                return await rpc

            assert len(set(await asyncio.gather(wait(), wait()))) == 1
            assert (asked, len(speaker.calls)) == ([True], 2)


async def test_the_look_at_the_secret_takes_no_more_time_than_the_call_has() -> None:
    go_on = threading.Event()

    def refresh() -> SecretText | None:
        go_on.wait(30)
        return SecretText(NEW)

    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            say = AsyncProfileChannel(core).unary_unary("/test/Say")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await say(b"", timeout=0.3)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            # Cancelled while it waits for the secret: the next one still profits from what is found.
            task = asyncio.create_task(call(AsyncProfileChannel(core), "Say"))
            await eventually(lambda: len(speaker.calls) == 2)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            assert await call(AsyncProfileChannel(core), "Say")


def leaks(shown: str) -> bool:
    # Not in the test itself, whose own locals are part of what is shown.
    return OLD in shown or encoded(OLD) in shown


@pytest.mark.parametrize("method", ["Say", "Sum", "Count", "Echo"])
async def test_no_traceback_holds_the_token(method: str, channel: AsyncProfileChannel, core: AsyncChannelCore) -> None:
    failures: list[BaseException] = []
    for break_it in (lambda: None, core.close):
        if (closing := break_it()) is not None:
            await closing
        for named in ({"metadata": ((1, 2),)}, {"timeout": "soon"}, {"timeout": -1.0}):
            with pytest.raises((Exception, asyncio.CancelledError)) as caught:
                await call(channel, method, **named)
            failures.append(caught.value)
    assert len(failures) == 6
    for failure in failures:
        shown = "".join(traceback.TracebackException.from_exception(failure, capture_locals=True).format())
        assert not leaks(shown)
    assert OLD not in f"{vars(channel)} {vars(core)} {core.holder}"
