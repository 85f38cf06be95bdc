"""Channels of threads and of an event loop behind one face: how a core is made, and called by every arity."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from milvus_profiles.channel.aio_channel import AsyncChannelCore, AsyncProfileChannel
from milvus_profiles.channel.channel import ProfileChannel
from milvus_profiles.channel.core import ChannelCore
from milvus_profiles.channel.metadata import TokenHolder
from milvus_profiles.masked import SecretText

from .connections import LoopThread, ThisThread
from .speaking import Speaker, speaking

OLD, NEW = "root:canary-old-7f3a", "root:canary-new-7f3a"
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
ARITIES = {"Say": "unary_unary", "Hold": "unary_unary", "Fail": "unary_unary", "Sum": "stream_unary",
           "Count": "unary_stream", "Echo": "stream_stream"}  # fmt: skip


def holding(token: str | None, db_name: str | None = None) -> TokenHolder:
    return TokenHolder(SecretText(token) if token else None, db_name=db_name)


class _Both:
    core_class: Any
    channel_class: Any
    open: Any
    here: Any

    def core(self, port: int, holder: TokenHolder, **settings: Any) -> Any:
        return self.here(lambda: self.core_class(self.open(f"127.0.0.1:{port}", OPTIONS), holder, **settings))

    def raw(self, port: int) -> Any:
        return self.here(self.open, f"127.0.0.1:{port}", OPTIONS)

    def channel(self, core: Any, **settings: Any) -> Any:
        return self.channel_class(core, **settings)

    def stub(self, channel: Any, method: str, **more: Any) -> Any:
        return getattr(channel, ARITIES[method])(f"/test/{method}", None, None, **more)


class ThreadChannels(ThisThread, _Both):
    core_class, channel_class = ChannelCore, ProfileChannel
    open = staticmethod(grpc.insecure_channel)

    def call(self, channel: Any, method: str, request: bytes = b"x", stub: Any = None, **named: Any) -> list[Any]:
        """All answers to a call, the first of them as JSON."""
        stub = self.stub(channel, method) if stub is None else stub
        streams = ARITIES[method].startswith("stream")
        answer = stub(iter([request]) if streams else request, **named)
        answers = list(answer) if ARITIES[method].endswith("stream") else [answer]
        return [json.loads(answers[0]), *answers[1:]]

    def begin(self, channel: Any, method: str) -> Any:
        """A call that is under way, with ``result`` and ``done``."""
        return self.stub(channel, method).future(b"x")


async def awaited(stub: Any, method: str, request: bytes, **named: Any) -> list[Any]:
    """All answers to a call, the first of them as JSON."""

    async def requests() -> AsyncIterator[bytes]:
        yield request

    answer = stub(requests() if ARITIES[method].startswith("stream") else request, **named)
    answers = [each async for each in answer] if ARITIES[method].endswith("stream") else [await answer]
    return [json.loads(answers[0]), *answers[1:]]


class LoopChannels(LoopThread, _Both):
    core_class, channel_class = AsyncChannelCore, AsyncProfileChannel
    open = staticmethod(grpc.aio.insecure_channel)

    def call(self, channel: Any, method: str, request: bytes = b"x", stub: Any = None, **named: Any) -> list[Any]:
        stub = self.stub(channel, method) if stub is None else stub
        return self.do(awaited(stub, method, request, **named))

    def begin(self, channel: Any, method: str) -> Any:
        return self.start(awaited(self.stub(channel, method), method, b"x"))


Channels = ThreadChannels | LoopChannels


@contextmanager
def connected(channels: Channels, port: int, token: str | None = OLD, **settings: Any) -> Iterator[Any]:
    core = channels.core(port, holding(token, settings.pop("db_name", None)), **settings)
    try:
        yield core
    finally:
        channels.do(core.close())


@pytest.fixture(name="channels", params=[ThreadChannels, LoopChannels])
def any_channels(request: pytest.FixtureRequest) -> Iterator[Channels]:
    one: Channels = request.param()
    yield one
    one.end()


@pytest.fixture(name="speaker")
def speaking_at_once() -> Iterator[Speaker]:
    """Answers without a wait, unless a test clears `hold`."""
    with speaking() as one:
        one.hold.set()
        yield one
