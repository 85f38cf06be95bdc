"""The channel for asyncio is a grpc.aio.Channel in every way, and does what it adds to one unseen."""

from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from milvus_profiles.channel.aio_channel import AsyncProfileChannel
from milvus_profiles.channel.aio_core import AsyncChannelCore
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.channel.pymilvus_import import import_with_pymilvus
from milvus_profiles.errors import ConnectionClosedError, SecretUnavailableError
from milvus_profiles.masked import SecretText
from tests.support.milvus import MilvusServer
from tests.support.speaking import Speaker, encoded, speaking
from tests.support.waiting import eventually

OLD, NEW = "root:canary-old-7f3a", "root:canary-new-7f3a"
ARITIES = ("/test/Say", "/test/Sum", "/test/Count", "/test/Echo")


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    with speaking() as one:
        one.hold.set()
        yield one


def raw_channel(port: int) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    )


@asynccontextmanager
async def connected(port: int, token: str | None = OLD, **settings: Any) -> AsyncIterator[AsyncChannelCore]:
    holder = TokenHolder(SecretText(token) if token else None, db_name=settings.pop("db_name", None))
    core = AsyncChannelCore(raw_channel(port), holder, **settings)
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


async def call(channel: grpc.aio.Channel, method: str, request: bytes = b"x", **named: Any) -> Any:
    """Make a call of any arity; the JSON of its first answer."""

    async def requests() -> AsyncIterator[bytes]:
        yield request

    if method == "/test/Sum":
        return json.loads(await channel.stream_unary(method, None, None)(requests(), **named))
    if method == "/test/Count":
        answers = [answer async for answer in channel.unary_stream(method, None, None)(request, **named)]
        return json.loads(answers[0])
    if method == "/test/Echo":
        stream = channel.stream_stream(method, None, None)(requests(), **named)
        answers = [answer async for answer in stream]
        assert answers[1] == request
        return json.loads(answers[0])
    return json.loads(await channel.unary_unary(method, None, None)(request, **named))


# --- shape ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ARITIES)
async def test_every_arity_carries_the_metadata(method: str, channel: AsyncProfileChannel) -> None:
    first, second = await call(channel, method), await call(channel, method)
    assert first["metadata"]["authorization"] == encoded(OLD)
    assert first["metadata"]["dbname"] == "films"
    assert first["metadata"]["client-request-id"] != second["metadata"]["client-request-id"]
    own = await call(channel, method, metadata=(("dbname", "other"), ("mine", "1")))
    assert (own["metadata"]["dbname"], own["metadata"]["mine"]) == ("other", "1")


@pytest.mark.parametrize("method", ARITIES)
async def test_a_call_without_a_deadline_gets_the_profiles(method: str, speaker: Speaker) -> None:
    async with connected(speaker.port, call_timeout=50.0) as core:
        channel = AsyncProfileChannel(core)
        assert 40 < (await call(channel, method))["left"] <= 51
        assert 10 < (await call(channel, method, timeout=20))["left"] <= 21


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


async def test_a_stub_of_pymilvus_works_on_it(milvus_auth: MilvusServer) -> None:
    pb2 = import_with_pymilvus("pymilvus.grpc_gen.milvus_pb2")
    pb2_grpc = import_with_pymilvus("pymilvus.grpc_gen.milvus_pb2_grpc")
    async with connected(milvus_auth.port, milvus_auth.token) as core:
        stub = pb2_grpc.MilvusServiceStub(AsyncProfileChannel(core))
        assert (await stub.ShowCollections(pb2.ShowCollectionsRequest())).status.code == 0


# --- what is in flight, and how it went -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["/test/Hold", "/test/Count"])
async def test_calls_are_counted_until_they_end(
    method: str, channel: AsyncProfileChannel, core: AsyncChannelCore, speaker: Speaker
) -> None:
    speaker.hold.clear()
    held = asyncio.create_task(call(channel, method))
    await eventually(lambda: speaker.calls)
    assert core.in_flight == 1
    assert not await core.wait_idle(0.01)
    waiting = asyncio.create_task(core.wait_idle(30))
    speaker.hold.set()
    await held
    assert await waiting
    assert core.in_flight == 0
    assert core.health.last_success is not None


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


@pytest.mark.parametrize("wrong", [{"metadata": (("UPPER", "x"),)}, {"timeout": "soon"}])
async def test_a_call_that_cannot_be_made_is_not_in_flight(
    wrong: dict[str, Any], channel: AsyncProfileChannel, core: AsyncChannelCore
) -> None:
    with pytest.raises(Exception):  # noqa: B017  # what grpc says is grpc's
        await channel.unary_unary("/test/Say")(b"", **wrong)
    assert core.in_flight == 0


@pytest.mark.parametrize("arity", ["unary_unary", "unary_stream"])
async def test_health_is_noted(arity: str, channel: AsyncProfileChannel, core: AsyncChannelCore) -> None:
    async def fail(code: str) -> None:
        rpc = getattr(channel, arity)("/test/Fail")(code.encode())
        with pytest.raises(grpc.aio.AioRpcError):
            await (rpc if arity == "unary_unary" else rpc.read())

    await fail("UNAVAILABLE")
    await fail("UNAVAILABLE")
    await eventually(lambda: core.health.consecutive_unavailable == 2)
    assert core.health.last_success is None
    await fail("NOT_FOUND")
    await eventually(lambda: core.health.consecutive_unavailable == 0)
    assert core.health.last_success is not None


# --- tokens -----------------------------------------------------------------------------------------------------------


def giving(*tokens: str | None) -> tuple[Callable[[], SecretText | None], list[int]]:
    """Gives one token after another, in threads; and the list of those who asked."""
    left, asked = list(tokens), [0]

    def refresh() -> SecretText | None:
        assert threading.current_thread() is not threading.main_thread()
        asked[0] += 1
        token = left.pop(0)
        return SecretText(token) if token else None

    return refresh, asked


async def test_a_refused_call_is_made_once_more_with_the_new_token() -> None:
    refresh, asked = giving(NEW)
    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            say = AsyncProfileChannel(core).unary_unary("/test/Say", None, json.loads)
            rpcs = [say(b"") for _ in range(12)]
            answers = await asyncio.gather(*rpcs)
            assert {answer["metadata"]["authorization"] for answer in answers} == {encoded(NEW)}
            assert asked == [1]
            assert [await rpc.code() for rpc in rpcs] == [grpc.StatusCode.OK] * 12
            assert core.in_flight == 0


async def test_two_who_await_the_same_refused_call_get_the_same_answer() -> None:
    refresh, asked = giving(NEW)
    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            rpc = AsyncProfileChannel(core).unary_unary("/test/Say")(b"")

            async def wait() -> Any:
                return await rpc

            assert len(set(await asyncio.gather(wait(), wait()))) == 1
            assert (asked, len(speaker.calls)) == ([1], 2)


@pytest.mark.parametrize("found", [OLD, None])
async def test_without_another_token_the_refusal_stands(found: str | None) -> None:
    refresh, asked = giving(found)
    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            for _ in range(2):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await AsyncProfileChannel(core).unary_unary("/test/Say")(b"")
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert asked == [1]
            assert len(speaker.calls) == 2


async def test_streams_and_calls_with_their_own_credentials_are_never_repeated() -> None:
    refresh, asked = giving()
    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            channel = AsyncProfileChannel(core)
            for method in ("/test/Sum", "/test/Count", "/test/Echo"):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(channel, method)
            with pytest.raises(grpc.aio.AioRpcError):
                await call(channel, "/test/Say", metadata=(("authorization", "mine"),))
            assert (asked, len(speaker.calls)) == ([0], 4)


async def test_why_no_token_was_to_be_had_is_the_cause() -> None:
    def refresh() -> SecretText | None:
        raise SecretUnavailableError("the keyring is locked")

    with speaking(accepts=NEW) as speaker:
        async with connected(speaker.port, refresh=refresh) as core:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await AsyncProfileChannel(core).unary_unary("/test/Say")(b"")
            assert isinstance(caught.value.__cause__, SecretUnavailableError)


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
            task = asyncio.create_task(call(AsyncProfileChannel(core), "/test/Say"))
            await eventually(lambda: len(speaker.calls) == 2)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            assert await call(AsyncProfileChannel(core), "/test/Say")


# --- swapping and closing ---------------------------------------------------------------------------------------------


async def test_a_swap_moves_new_calls_and_leaves_the_others(
    channel: AsyncProfileChannel, core: AsyncChannelCore, speaker: Speaker
) -> None:
    speaker.hold.clear()
    say = channel.unary_unary("/test/Say", None, json.loads)
    held = asyncio.create_task(call(channel, "/test/Hold"))
    await eventually(lambda: speaker.calls)
    with speaking("second") as other:
        old = core.swap(raw_channel(other.port), TokenHolder(SecretText(NEW)), None)
        answer = await say(b"")
        assert (answer["server"], answer["metadata"]["authorization"]) == ("second", encoded(NEW))
        finishing = asyncio.create_task(core.finish(old, float("inf")))
        await asyncio.sleep(0.05)
        assert not finishing.done()
        speaker.hold.set()
        assert (await held)["metadata"]["authorization"] == encoded(OLD)
        assert await finishing
        await core.close()


async def test_closing_ends_what_is_in_flight_and_refuses_what_is_new(
    channel: AsyncProfileChannel, core: AsyncChannelCore, speaker: Speaker
) -> None:
    speaker.hold.clear()
    tasks = [asyncio.create_task(call(channel, method)) for method in ("/test/Hold", "/test/Count")]
    await eventually(lambda: len(speaker.calls) == 2)
    await core.close()
    await core.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, (ConnectionClosedError, asyncio.CancelledError)) for result in results)
    for method in ARITIES:
        with pytest.raises(ConnectionClosedError):
            await call(channel, method)
    with pytest.raises(ConnectionClosedError):
        core.swap(raw_channel(1), core.holder, None)
    assert core.in_flight == 0
    assert repr(channel) == "<AsyncProfileChannel, closed>"


# --- secrets ----------------------------------------------------------------------------------------------------------


def leaks(shown: str) -> bool:
    # Not in the test itself, whose own locals are part of what is shown.
    return OLD in shown or encoded(OLD) in shown


@pytest.mark.parametrize("method", ARITIES)
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
