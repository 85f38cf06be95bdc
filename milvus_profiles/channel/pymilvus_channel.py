"""Our channel, as pymilvus's handlers take it.

A handler does to its channel what only an owner should do, and repeats what must not be repeated.  So what it is given
is a view of a channel of ours.  Closing it closes nothing, and a copy of it is the same one (up to 2.6 arguments are
copied deeply).  An error for which pymilvus would make the call again, a write too and 75 times, comes as an exception
for which it does not: what is to be repeated is said by the profile's ``retry``, and the channel does it.  pymilvus's
``identifier`` and its empty request id are left out, so that those of the channel are sent, which move with it.  Let
go, it keeps nothing of gRPC alive, whoever holds its stubs.

Source: pymilvus 2.5.18, 2.6.17 and 3.0.2: ``client/grpc_handler.py``, ``client/async_grpc_handler.py``,
``client/call_context.py``, ``decorators.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import ConnectionClosedError
from .grpc_process import grpc
from .metadata import MetadataLike
from .pymilvus_import import import_with_pymilvus

if TYPE_CHECKING:
    from typing_extensions import Self

_CONNECT = "/milvus.proto.milvus.MilvusService/Connect"


class _Method:
    """A method of a stub.  What makes its calls belongs to the view, which may let go of it."""

    __slots__ = ("_arguments", "_kind", "_named", "_path", "_view")

    def __init__(self, view: ViewBase, kind: str, path: str, arguments: Any, named: Any) -> None:
        self._view = view
        self._kind = kind
        self._path = path
        self._arguments = arguments
        self._named = named

    def _made(self) -> Any:
        return self._view.made(self._kind, self._path, self._arguments, self._named)

    @property
    def _is_answered_here(self) -> bool:
        return self._view.is_introducing and self._path == _CONNECT

    def _introduction(self) -> Any:
        """An answer to Connect that says nothing: the channel has made its handshake."""
        read = self._named["response_deserializer"] if "response_deserializer" in self._named else self._arguments[1]
        return read(b"")


class _Stream(_Method):
    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, **named: Any) -> Any:
        return self._made()(request, timeout=timeout, metadata=self._view.sent(metadata), **named)


class _UnaryUnary(_Method):
    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any
    ) -> Any:
        if self._is_answered_here:
            return self._introduction()
        try:
            return self._made()(request, timeout, self._view.sent(metadata), *rest, **named)
        except grpc.RpcError as error:
            failure = error
        return _raised(_final(failure))

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any
    ) -> Any:
        if self._is_answered_here:
            return self._introduction(), None
        try:
            return self._made().with_call(request, timeout, self._view.sent(metadata), *rest, **named)
        except grpc.RpcError as error:
            failure = error
        return _raised(_final(failure))

    def future(self, request: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any) -> Any:
        made, sent = self._made(), self._view.sent(metadata)
        until = None if timeout is None else time.monotonic() + timeout

        def again() -> Any:
            left = None if until is None else max(0.0, until - time.monotonic())
            return made(request, left, sent, *rest, **named)

        return _Future(made.future(request, timeout, sent, *rest, **named), None if self._view.closes else again)


class _Future:
    """A call under way.  pymilvus waits for most at once, so a refused token is mended as for calls that wait."""

    def __init__(self, rpc: Any, again: Callable[[], Any] | None) -> None:
        self._rpc = rpc
        self._again = again

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._rpc.result(timeout)
        except grpc.RpcError as error:
            failure = error
        if failure.code() is grpc.StatusCode.UNAUTHENTICATED and self._again is not None:
            # A write too: the server refused it before it did anything.
            again, self._again = self._again, None
            try:
                return again()
            except grpc.RpcError as error:
                failure = error
        return _raised(_final(failure))

    def exception(self, timeout: float | None = None) -> Any:
        try:
            self.result(timeout)
        except (grpc.FutureTimeoutError, grpc.FutureCancelledError):
            raise
        except Exception as error:
            return error
        return None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)


class _AsyncUnaryUnary(_Method):
    def __call__(self, request: Any, timeout: float | None = None, metadata: Any = None, **named: Any) -> Any:
        view = self._view
        if interceptors := view._unary_unary_interceptors:
            metadata = _intercepted(interceptors, self._path, timeout, metadata, request)
        return _Call(self._made()(request, timeout=timeout, metadata=view.sent(metadata), **named))


class _Call:
    """A call under way, awaited."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.RpcError as error:
            failure = error
        return _raised(_final(failure))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _raised(failure: Exception | None) -> NoReturn:
    assert failure is not None
    try:
        raise failure
    finally:
        failure = None  # no circle; not deleted, as reporters look for the arguments of a frame


def _final(error: grpc.RpcError) -> Exception:
    """The error as pymilvus gives it in the end, where it would make the call again first."""
    code = error.code()
    if code in import_with_pymilvus("pymilvus.decorators").IGNORE_RETRY_CODES:
        return error
    make = import_with_pymilvus("pymilvus.exceptions").MilvusException
    failure: Exception = make(code=code, message=f"{code.name}: {error.details()}")
    failure.__cause__ = error
    return failure


def _sent(metadata: MetadataLike | None) -> MetadataLike | None:
    """What pymilvus says of a call, without what the channel knows better."""
    if not metadata:
        return None
    return [(key, value) for key, value in metadata if key != "identifier" and (value or key != "client-request-id")]


def _intercepted(
    interceptors: Iterable[Any], path: str, timeout: float | None, metadata: Any, request: Any
) -> MetadataLike | None:
    """The metadata as pymilvus's interceptors of asyncio make it, which wait for nothing."""
    details = grpc.aio.ClientCallDetails(path, timeout, metadata, None, None)
    for interceptor in interceptors:
        passed: list[Any] = []

        async def following(made: Any, _: Any, passed: list[Any] = passed) -> None:
            passed.append(made)

        running = interceptor.intercept_unary_unary(following, details, request)
        try:
            running.send(None)
        except StopIteration:
            details = passed[0]
        finally:
            running.close()
    found: MetadataLike | None = details.metadata
    return found


class ViewBase:
    """What the views for threads and for asyncio share.

    Args:
        channel: the view holds it until it is let go.
        closes: it is a raw channel that belongs to the view, and is closed with it.

    Attributes:
        sent: what is sent of pymilvus's metadata.
        is_introducing: a handler is being made, whose Connect is answered here.
    """

    _unary_unary: type[_Method]

    def __init__(self, channel: Any, *, closes: bool = False) -> None:
        self._channel: Any = channel
        self._methods: dict[str, Any] = {}
        self.closes = closes
        self.sent: Callable[[MetadataLike | None], MetadataLike | None] = (lambda theirs: theirs) if closes else _sent
        self.is_introducing = False
        # pymilvus's asyncio adds to it, as grpc.aio's channels have it.
        self._unary_unary_interceptors: list[Any] = []

    @contextmanager
    def introducing(self) -> Iterator[None]:
        """Answer Connect here, as long as a handler is being made."""
        self.is_introducing = True
        try:
            yield
        finally:
            self.is_introducing = False

    def made(self, kind: str, path: str, arguments: Any, named: Any) -> Any:
        """The multi-callable of the channel for a method."""
        found = self._methods.get(path)
        if found is None:
            channel = self._channel
            if channel is None:
                raise ConnectionClosedError("the connection is closed", hint="connect again")
            found = self._methods[path] = getattr(channel, kind)(path, *arguments, **named)
        return found

    def let_go(self) -> None:
        """Hold the channel no longer: it is closed."""
        self._channel = None
        self._methods = {}

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def unary_unary(self, path: str, *arguments: Any, **named: Any) -> Any:
        return self._unary_unary(self, "unary_unary", path, arguments, named)

    def unary_stream(self, path: str, *arguments: Any, **named: Any) -> Any:
        return _Stream(self, "unary_stream", path, arguments, named)

    def stream_unary(self, path: str, *arguments: Any, **named: Any) -> Any:
        return _Stream(self, "stream_unary", path, arguments, named)

    def stream_stream(self, path: str, *arguments: Any, **named: Any) -> Any:
        return _Stream(self, "stream_stream", path, arguments, named)


class PymilvusChannel(ViewBase, grpc.Channel):  # type: ignore[misc,unused-ignore]
    """The view for threads."""

    _unary_unary = _UnaryUnary

    def subscribe(
        self,
        callback: Callable[[grpc.ChannelConnectivity], None],
        try_to_connect: bool | None = False,  # noqa: ARG002
    ) -> None:
        # pymilvus 2.5 waits for this before it uses a channel, and gRPC would start a thread for it.
        callback(grpc.ChannelConnectivity.READY)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        pass

    def close(self) -> None:
        """Close what belongs to the view."""
        if self.closes and self._channel is not None:
            self._channel.close()
            self.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class AsyncPymilvusChannel(ViewBase, grpc.aio.Channel):  # type: ignore[misc,unused-ignore]
    """The view for asyncio."""

    _unary_unary = _AsyncUnaryUnary

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: ARG002
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        pass

    async def close(self, grace: float | None = None) -> None:
        """Close what belongs to the view."""
        if self.closes and self._channel is not None:
            channel = self._channel
            self.let_go()
            await channel.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        pass
