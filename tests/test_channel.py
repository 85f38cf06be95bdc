"""The channel that users get is a grpc.Channel in every way: what is of threads only, beside test_channel_contract."""

from __future__ import annotations

import gc
import json
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from milvus_profiles.channel.channel import ProfileChannel
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.masked import SecretText
from tests.support.channels import NEW, OLD, ThreadChannels, connected
from tests.support.speaking import Speaker, encoded, speaking
from tests.support.waiting import collector_off, interrupted_when, until

OWN = "canary-of-the-caller"


@pytest.fixture
def core(speaker: Speaker) -> Iterator[ChannelCore]:
    with connected(ThreadChannels(), speaker.port) as one:
        yield one


@pytest.fixture
def channel(core: ChannelCore) -> ProfileChannel:
    return ProfileChannel(core)


# --- any stub works --------------------------------------------------------------------------------------------------


def test_the_other_forms_of_a_call_carry_the_metadata(channel: ProfileChannel) -> None:
    say, total = channel.unary_unary("/test/Say"), channel.stream_unary("/test/Sum")
    answers = [
        say.with_call(b"")[0],
        say.future(b"").result(),
        total.with_call(iter([b"a", b"b"]))[0],
        total.future(iter([b"a", b"b"])).result(),
    ]
    for answer in answers:
        assert json.loads(answer)["metadata"]["authorization"] == encoded(OLD)


def test_arguments_may_be_given_by_place_or_by_name(channel: ProfileChannel) -> None:
    say = channel.unary_unary("/test/Say", lambda text: text.encode(), json.loads)
    metadata = (("x-mine", "1"),)
    by_place = say("", 5.0, metadata, None, True, grpc.Compression.Gzip)
    by_name = say(request="", timeout=5.0, metadata=metadata, credentials=None, wait_for_ready=True, compression=None)
    for answer in (by_place, by_name):
        assert answer["metadata"]["x-mine"] == "1"
        assert 0 < answer["left"] < 5.1
    echo = channel.stream_stream("/test/Echo", request_serializer=None, response_deserializer=None)
    assert list(echo(request_iterator=iter([b"x"]), timeout=5.0))[1:] == [b"x"]
    total = channel.stream_unary(method="/test/Sum")(request_iterator=iter([b"x"]))
    assert json.loads(total)["total"] == "x"


def test_interceptors_of_the_users_own_go_on_top(channel: ProfileChannel) -> None:
    class AddOne(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc, type-arg, unused-ignore]
        def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
            return continuation(details, request + b"!")

    intercepted = grpc.intercept_channel(channel, AddOne())
    answer = json.loads(intercepted.unary_unary("/test/Say", None, None)(b""))
    assert answer["metadata"]["authorization"] == encoded(OLD)
    assert intercepted.unary_unary("/test/Say", None, None).future(b"").result()


def test_it_is_a_context_manager_and_says_what_it_is(core: ChannelCore) -> None:
    closed: list[bool] = []
    with ProfileChannel(core, on_close=lambda: closed.append(True)) as channel:
        assert isinstance(channel, grpc.Channel)
        assert repr(channel) == "<ProfileChannel, open>"
    assert closed == [True]
    assert ProfileChannel(core).unary_unary("/test/Say")(b"")  # the other handle goes on
    core.close()
    assert repr(channel) == "<ProfileChannel, closed>"


# --- closed handles and what is in flight ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["future", "stream"])
def test_a_call_that_is_dropped_is_cancelled(
    core: ChannelCore, channel: ProfileChannel, speaker: Speaker, kind: str
) -> None:
    speaker.hold.clear()
    call = (
        channel.unary_unary("/test/Hold").future(b"") if kind == "future" else channel.unary_stream("/test/Count")(b"")
    )
    until(lambda: len(speaker.calls) == 1)
    del call
    gc.collect()
    assert speaker.cancelled.wait(10)
    assert core.wait_idle(10)


# --- tokens that the server refuses ----------------------------------------------------------------------------------


def test_futures_are_never_repeated() -> None:
    def refresh() -> SecretText:
        raise AssertionError("nobody asks")

    with speaking(accepts=NEW) as speaker, connected(ThreadChannels(), speaker.port, refresh=refresh) as core:
        refused = ProfileChannel(core).unary_unary("/test/Say").future(b"").exception(timeout=10)
        assert isinstance(refused, grpc.RpcError)
        assert refused.code() is grpc.StatusCode.UNAUTHENTICATED
        assert len(speaker.calls) == 1


def test_who_cannot_wait_for_another_who_looks_gives_up(speaker: Speaker) -> None:
    looking, found = threading.Event(), threading.Event()

    def answer() -> SecretText:
        looking.set()
        found.wait(10)
        return SecretText(NEW)

    with connected(ThreadChannels(), speaker.port, refresh=answer) as core:
        call = core.enter(threading.Lock())
        other = threading.Thread(target=core.reauthenticate, args=(call, 0))
        other.start()
        assert looking.wait(10)
        assert core.reauthenticate(call, 0, 0.05) is False
        found.set()
        other.join()
        assert core.reauthenticate(call, 0, 1.0) is True


# --- health ----------------------------------------------------------------------------------------------------------


def test_calls_of_every_kind_are_counted_for_health(core: ChannelCore, channel: ProfileChannel) -> None:
    fail = channel.unary_unary("/test/Fail")
    with pytest.raises(grpc.RpcError):
        fail(b"UNAVAILABLE")
    fail.future(b"UNAVAILABLE").exception(timeout=10)
    assert core.wait_idle(10)
    assert (core.health.consecutive_unavailable, core.health.last_success) == (2, None)
    channel.unary_unary("/test/Say").future(b"").result(timeout=10)
    assert core.wait_idle(10)
    assert core.health.consecutive_unavailable == 0
    assert core.health.last_success is not None


# --- another raw channel under the same stubs ------------------------------------------------------------------------


def test_subscriptions_follow_a_swap(core: ChannelCore, channel: ProfileChannel) -> None:
    seen: list[grpc.ChannelConnectivity] = []
    channel.subscribe(seen.append, try_to_connect=True)
    until(lambda: grpc.ChannelConnectivity.READY in seen)
    with speaking("second") as second:
        before = len(seen)
        core.finish(core.swap(ThreadChannels().raw(second.port)), 5.0)
        until(lambda: grpc.ChannelConnectivity.READY in seen[before:])
        channel.unsubscribe(seen.append)
    channel.unsubscribe(seen.append)  # unknown: ignored, as grpc does


# --- nothing shows ---------------------------------------------------------------------------------------------------


def told_by(call: Callable[[], object]) -> str:
    try:
        call()
    except BaseException as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        return f"{error!r}{vars(error)}" + "".join(told)
    raise AssertionError("it did not fail")


@pytest.mark.parametrize(
    "method",
    ["call", "with_call", "future", "result", "stream", "sum", "bad metadata", "bad future", "refused", "own metadata"],
)
def test_no_traceback_holds_the_token(core: ChannelCore, channel: ProfileChannel, method: str) -> None:
    fail = channel.unary_unary("/test/Fail")
    extra = (("x-extra", "1"), (object(), "2"))
    calls: dict[str, Callable[[], object]] = {
        "call": lambda: fail(b"INTERNAL"),
        "with_call": lambda: fail.with_call(b"INTERNAL"),
        "future": lambda: fail.future("not bytes", metadata=extra),
        "result": lambda: fail.future(b"INTERNAL").result(),
        "stream": lambda: list(channel.unary_stream("/test/Fail")(b"INTERNAL")),
        "sum": lambda: channel.stream_unary("/test/Nothing")(iter([])),
        "bad metadata": lambda: fail(b"INTERNAL", metadata=extra),
        "bad future": lambda: fail.future(b"INTERNAL", metadata=extra),
        "refused": lambda: fail(b"UNAUTHENTICATED"),
        "own metadata": lambda: fail(b"INTERNAL", metadata=(("authorization", OWN),)),
    }
    told = told_by(calls[method])
    assert encoded(OLD) not in told
    assert "canary" not in told


def test_an_interrupt_in_the_middle_of_a_call_holds_nothing(speaker: Speaker, core: ChannelCore) -> None:
    speaker.hold.clear()
    hold = ProfileChannel(core).unary_unary("/test/Hold")
    with interrupted_when(lambda: speaker.calls):
        told = told_by(lambda: hold(b"", timeout=20))
    assert "KeyboardInterrupt" in told
    assert encoded(OLD) not in told
    assert core.in_flight == 0


def test_an_error_is_no_reference_cycle(channel: ProfileChannel) -> None:
    with collector_off():
        try:
            channel.unary_unary("/test/Fail")(b"INTERNAL")
        except grpc.RpcError as error:
            alive = weakref.ref(error)
        assert alive() is None


def test_vars_and_repr_of_the_channel_hold_nothing(channel: ProfileChannel, core: ChannelCore) -> None:
    say = channel.unary_unary("/test/Say")
    say(b"")
    shown = f"{vars(channel)} {vars(core)} {vars(say)} {core.holder}"
    assert "canary" not in shown
    assert encoded(OLD) not in shown
