"""What holds for the channels of threads and of event loops alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from milvus_profiles.errors import ConnectionClosedError, SecretUnavailableError
from milvus_profiles.masked import SecretText
from tests.support.channels import NEW, OLD, Channels, connected, holding
from tests.support.speaking import Speaker, encoded, speaking
from tests.support.waiting import until

ARITIES = ("Say", "Sum", "Count", "Echo")
ENDS = (grpc.RpcError, grpc.FutureCancelledError, ConnectionClosedError)


@pytest.fixture
def core(channels: Channels, speaker: Speaker) -> Iterator[Any]:
    with connected(channels, speaker.port, db_name="films") as one:
        yield one


@pytest.fixture
def channel(channels: Channels, core: Any) -> Any:
    return channels.channel(core)


def assert_cut_off(call: Any) -> None:
    with pytest.raises(BaseException) as ended:
        call.result(10)
    assert isinstance(ended.value, ENDS) or "Cancelled" in type(ended.value).__name__


# --- metadata and deadlines ---


@pytest.mark.parametrize("method", ARITIES)
def test_every_arity_carries_the_metadata_and_the_callers_win(channels: Channels, method: str, channel: Any) -> None:
    first, second = channels.call(channel, method)[0], channels.call(channel, method)[0]
    assert first["metadata"]["authorization"] == encoded(OLD)
    assert first["metadata"]["dbname"] == "films"
    assert first["metadata"]["client-request-id"] != second["metadata"]["client-request-id"]
    own = channels.call(channel, method, metadata=(("dbname", "other"), ("mine", "1")))[0]
    assert (own["metadata"]["dbname"], own["metadata"]["mine"]) == ("other", "1")
    stub = channels.stub(channel, method, _registered_method=True)  # as generated stubs make theirs
    lazy = channels.call(channel, method, stub=stub, metadata=(pair for pair in [("dbname", "lazy")]))[0]
    assert lazy["metadata"]["dbname"] == "lazy"


def test_streams_deliver_everything(channels: Channels, channel: Any) -> None:
    assert channels.call(channel, "Sum", b"ab")[0]["total"] == "ab"
    assert channels.call(channel, "Count")[1:] == [b"second"]
    assert channels.call(channel, "Echo", b"x")[1:] == [b"x"]


@pytest.mark.parametrize("method", ARITIES)
def test_a_call_without_a_deadline_gets_the_profiles(channels: Channels, method: str, speaker: Speaker) -> None:
    with connected(channels, speaker.port, call_timeout=30.0) as core:
        channel = channels.channel(core)
        assert 20 < channels.call(channel, method)[0]["left"] < 31
        assert 200 < channels.call(channel, method, timeout=300.0)[0]["left"] < 310  # grpc rounds up what it tells
    with connected(channels, speaker.port) as core:
        left = channels.call(channels.channel(core), method)[0]["left"]
        assert left is None or left > 10**6  # grpc tells "none" as more time than there is


# --- closed handles and what is in flight ---


def test_a_closed_handle_makes_no_call(channels: Channels, core: Any, speaker: Speaker) -> None:
    def gate() -> None:
        raise ConnectionClosedError("closed")

    channel = channels.channel(core, gate=gate)
    for method in ARITIES:
        with pytest.raises(ConnectionClosedError):
            channels.call(channel, method)
    with pytest.raises(ConnectionClosedError):
        channels.begin(channel, "Say").result(10)
    assert (speaker.calls, core.in_flight) == ([], 0)


@pytest.mark.parametrize("method", ["Hold", "Count"])
def test_calls_are_in_flight_until_they_end(
    channels: Channels, method: str, channel: Any, core: Any, speaker: Speaker
) -> None:
    speaker.hold.clear()
    with ThreadPoolExecutor(2) as threads:
        held = threads.submit(channels.call, channel, method)
        until(lambda: speaker.calls)
        assert core.in_flight == 1
        assert not channels.do(core.wait_idle(0.05))
        waiting = threads.submit(lambda: channels.do(core.wait_idle(30)))
        speaker.hold.set()
        held.result()
        assert waiting.result()
    assert core.in_flight == 0
    assert core.health.last_success is not None


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        *((method, wrong) for method in ARITIES for wrong in ({"timeout": -1.0}, {"nonsense": True})),
        ("Say", {"metadata": ((1, 2),)}),
    ],
)
def test_a_call_that_fails_or_cannot_be_made_is_not_in_flight(
    channels: Channels, method: str, wrong: dict[str, Any], channel: Any, core: Any
) -> None:
    with pytest.raises(Exception):  # noqa: B017  # what grpc says is grpc's
        channels.call(channel, method, **wrong)
    assert channels.do(core.wait_idle(10))


# What is said, and how often in a row the server was unavailable then: silence says nothing, any answer all.
HEALTH = [("UNAVAILABLE", 1), ("UNAVAILABLE", 2), ("CANCELLED", 2), ("DEADLINE_EXCEEDED", 2), ("PERMISSION_DENIED", 0)]


@pytest.mark.parametrize("method", ["Fail", "Count"])
def test_health_is_noted(channels: Channels, method: str, speaker: Speaker) -> None:
    if method == "Count":
        speaker.accepts = NEW  # streams are refused, which is an answer
    with connected(channels, speaker.port) as core:
        channel = channels.channel(core)
        for code, unavailable in HEALTH:
            with pytest.raises(grpc.RpcError):
                channels.call(channel, method, code.encode())
            seen = [0] if method == "Count" else [unavailable]
            until(lambda seen=seen: core.health.consecutive_unavailable in seen)  # type: ignore[misc]
            assert method == "Count" or (core.health.last_success is None) == (unavailable > 0)
        until(lambda: core.health.last_success is not None)
        assert core.health.consecutive_unavailable == 0


def test_closing_ends_what_is_in_flight_and_refuses_what_is_new(
    channels: Channels, channel: Any, core: Any, speaker: Speaker
) -> None:
    speaker.hold.clear()
    held = channels.begin(channel, "Hold")
    until(lambda: len(speaker.calls) == 1)
    channels.do(core.close())
    channels.do(core.close())
    assert_cut_off(held)
    for method in ARITIES:
        with pytest.raises(ConnectionClosedError):
            channels.call(channel, method)
    with pytest.raises(ConnectionClosedError):
        core.swap(channels.raw(1))
    assert channels.do(core.wait_idle(10))
    assert (core.is_closed, repr(channel)) == (True, f"<{type(channel).__name__}, closed>")


# --- tokens that the server refuses ---


class Source:
    """Gives one token after another, and counts who asked."""

    def __init__(self, *tokens: str | None, seconds: float = 0.0) -> None:
        self.left, self.asked, self._seconds = list(tokens), 0, seconds

    def __call__(self) -> SecretText | None:
        self.asked += 1
        time.sleep(self._seconds)
        token = self.left.pop(0)
        return SecretText(token) if token else None


@pytest.fixture
def refusing() -> Iterator[Speaker]:
    """A server that takes the new token only."""
    with speaking(accepts=NEW) as one:
        one.hold.set()
        yield one


def refused(channels: Channels, channel: Any, method: str = "Say", **named: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        channels.call(channel, method, **named)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    return caught.value


def test_refused_calls_look_once_and_are_made_once_more(channels: Channels, refusing: Speaker) -> None:
    source = Source(NEW, seconds=0.2)
    with connected(channels, refusing.port, refresh=source) as core, ThreadPoolExecutor(12) as threads:
        channel = channels.channel(core)
        answers = list(threads.map(lambda _: channels.call(channel, "Say", timeout=30)[0], range(12)))
        assert {answer["metadata"]["authorization"] for answer in answers} == {encoded(NEW)}
        assert source.asked == 1
        assert channels.do(core.wait_idle(10))
        before = len(refusing.calls)
        channels.call(channel, "Say")
        assert len(refusing.calls) == before + 1


def test_the_second_try_has_the_time_that_is_left(channels: Channels, refusing: Speaker) -> None:
    with connected(channels, refusing.port, refresh=Source(NEW, seconds=0.5)) as core:
        channels.call(channels.channel(core), "Say", timeout=5.0, metadata=iter([("x-mine", "1")]))
        first, second = refusing.calls
        assert second["left"] < first["left"] - 0.3
        assert second["metadata"]["x-mine"] == "1"


def test_when_no_time_is_left_the_refusal_stands(channels: Channels, refusing: Speaker) -> None:
    with connected(channels, refusing.port, refresh=Source(NEW, seconds=0.9)) as core:
        refused(channels, channels.channel(core), timeout=0.5)
        assert len(refusing.calls) == 1


@pytest.mark.parametrize("found", [OLD, None, "no source"])
def test_without_another_token_the_refusal_stands(channels: Channels, found: str | None, refusing: Speaker) -> None:
    source = Source(found)
    refresh = None if found == "no source" else source
    with connected(channels, refusing.port, refresh=refresh) as core:
        for _ in range(2):
            refused(channels, channels.channel(core))
        assert source.asked == (0 if refresh is None else 1)
        assert len(refusing.calls) == 2
        assert core.holder.has_token


def test_within_the_interval_nobody_looks_again(channels: Channels, refusing: Speaker) -> None:
    now = [100.0]
    asked: list[float] = []

    def refresh() -> SecretText:
        asked.append(now[0])
        return SecretText(OLD)

    with connected(channels, refusing.port, refresh=refresh, clock=lambda: now[0]) as core:
        for now[0] in (100.0, 101.0, 104.9, 105.0, 106.0):
            refused(channels, channels.channel(core))
        assert asked == [100.0, 105.0]


def test_streams_and_calls_with_their_own_credentials_are_never_repeated(channels: Channels, refusing: Speaker) -> None:
    source = Source()
    with connected(channels, refusing.port, refresh=source) as core:
        channel = channels.channel(core)
        for method in ("Sum", "Count", "Echo"):
            refused(channels, channel, method)
        refused(channels, channel, metadata=(("authorization", "mine"),))
        assert (source.asked, len(refusing.calls)) == (0, 4)


def test_why_no_token_was_to_be_had_is_the_cause(channels: Channels, refusing: Speaker) -> None:
    now = [0.0]
    reasons: list[Exception] = [SecretUnavailableError("the keyring is locked", hint="unlock it")]

    def refresh() -> SecretText:
        if reasons:
            raise reasons.pop()
        return SecretText(NEW)

    with connected(channels, refusing.port, refresh=refresh, clock=lambda: now[0]) as core:
        channel = channels.channel(core)
        cause = refused(channels, channel).__cause__
        assert isinstance(cause, SecretUnavailableError)
        assert core.refresh_failure is cause
        now[0] = 10.0
        assert channels.call(channel, "Say")
        assert core.refresh_failure is None


# --- another raw channel under the same stubs ---


def test_a_swap_moves_new_calls_and_leaves_the_others(
    channels: Channels, channel: Any, core: Any, speaker: Speaker
) -> None:
    speaker.hold.clear()
    stub = channels.stub(channel, "Say")
    channels.call(channel, "Say", stub=stub)
    with speaking("second") as other, ThreadPoolExecutor(1) as thread:
        held = thread.submit(channels.call, channel, "Hold")
        until(lambda: len(speaker.calls) == 2)
        old = core.swap(channels.raw(other.port), holding(NEW))
        [answer] = channels.call(channel, "Say", stub=stub)
        assert (answer["server"], answer["metadata"]["authorization"]) == ("second", encoded(NEW))
        assert not channels.do(core.wait_idle(0.05, old))
        assert core.in_flight == 1
        speaker.hold.set()
        assert channels.do(core.finish(old, 10.0))
        [answer] = held.result()
        assert (answer["server"], answer["metadata"]["authorization"]) == ("first", encoded(OLD))
        channels.do(core.close())


def test_calls_that_outlast_the_grace_are_cancelled(
    channels: Channels, channel: Any, core: Any, speaker: Speaker
) -> None:
    speaker.hold.clear()
    held = channels.begin(channel, "Hold")
    until(lambda: len(speaker.calls) == 1)
    with speaking("second") as other:
        old = core.swap(channels.raw(other.port))
        assert channels.do(core.finish(old, 0.05)) is False
        assert_cut_off(held)
        channels.do(core.close())
        channels.do(core.finish(old, 0.0))  # harmless afterwards


def test_swapping_under_load_loses_no_call(channels: Channels, channel: Any, core: Any, speaker: Speaker) -> None:
    over = threading.Event()

    def call() -> int:
        count, stub = 0, channels.stub(channel, "Say")
        while not over.is_set():
            assert channels.call(channel, "Say", stub=stub, timeout=10)
            count += 1
        return count

    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(call) for _ in range(4)]
        for _ in range(10):
            assert channels.do(core.finish(core.swap(channels.raw(speaker.port)), 10.0)) is True
        over.set()
        assert sum(each.result() for each in calls) > 0
    assert core.in_flight == 0
