"""A gRPC server with a method of each arity, which answers with what it was sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from .scripted_grpc import serving


def encoded(token: str) -> str:
    return base64.b64encode(token.encode()).decode()


@dataclass
class Speaker:
    """Answers with what it was sent: metadata and time left, as JSON. Its name tells which server answered."""

    name: str = "first"
    port: int = 0
    accepts: str | None = None
    """The only token that it lets in; None lets all in."""
    calls: list[dict[str, Any]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    """`Hold` and the second message of `Count` wait for it."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    def seen(self, context: grpc.ServicerContext) -> bytes:
        metadata = dict(context.invocation_metadata())
        call = {"server": self.name, "metadata": metadata, "left": context.time_remaining()}
        self.calls.append(call)
        if self.accepts is not None and metadata.get("authorization") != encoded(self.accepts):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        return json.dumps(call).encode()

    def say(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        return self.seen(context)

    def held(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        answer = self.seen(context)
        context.add_callback(lambda: None if self.hold.is_set() else self.cancelled.set())
        self.hold.wait(10)
        return answer

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.seen(context)
        return context.abort(grpc.StatusCode[request.decode()], "as you wish")

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(lambda: None if self.hold.is_set() else self.cancelled.set())
        yield self.seen(context)
        self.hold.wait(10)
        yield b"second"

    def sum(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        total = b"".join(requests)
        return json.dumps({**json.loads(self.seen(context)), "total": total.decode()}).encode()

    def echo(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        # All first: grpc.aio says INTERNAL, now and then, where it sends on a call that was refused meanwhile.
        said = list(requests)
        yield self.seen(context)
        yield from said


@contextmanager
def speaking(name: str = "first", accepts: str | None = None) -> Iterator[Speaker]:
    speaker = Speaker(name, accepts=accepts)
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(speaker.say),
        "Hold": grpc.unary_unary_rpc_method_handler(speaker.held),
        "Fail": grpc.unary_unary_rpc_method_handler(speaker.fail),
        "Count": grpc.unary_stream_rpc_method_handler(speaker.count),
        "Sum": grpc.stream_unary_rpc_method_handler(speaker.sum),
        "Echo": grpc.stream_stream_rpc_method_handler(speaker.echo),
    }
    with serving(grpc.method_handlers_generic_handler("test", handlers)) as speaker.port:
        try:
            yield speaker
        finally:
            speaker.hold.set()
