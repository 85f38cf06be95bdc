"""The channel that users of asyncio get: a ``grpc.aio.Channel`` on which any stub works.

As :mod:`.channel` does for threads, its multi-callables add metadata and a default deadline to those of the core's raw
channel, count the calls in flight, and make an awaited unary call once more where another token is to be had.

No secret may reach a traceback: grpc keeps the metadata of a call in the locals of its frames, so an exception that
comes out of starting a call is freed of those frames.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..errors import ConnectionClosedError
from ..half_made import even_half_made
from .aio_core import AsyncChannelCore, AsyncGeneration
from .channel_base import ChannelBase, MultiCallableBase
from .grpc_import import grpc
from .metadata import AUTHORIZATION, MetadataLike

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncProfileChannel"]


_Started = tuple[AsyncGeneration, int, Any]
"""The raw channel that a call went to, the number of the token that it had, and the call."""


class _MultiCallable(MultiCallableBase[AsyncChannelCore]):
    def _start(
        self, request: Any, timeout: float | None, metadata: MetadataLike | None, named: dict[str, Any], note: bool
    ) -> _Started:
        """Begin a call, which counts as in flight until it is done; ``note``: whoever awaits it will not do so."""
        core = self._core
        generation = core.enter()
        try:
            if self._bound[0] is not generation:
                self._bound = generation, self._make(generation.channel)
            used = generation.holder.generation
            call = self._bound[1](request, timeout=timeout, metadata=generation.holder.merged(metadata), **named)
        except BaseException as error:
            core.leave(generation)
            failure = error.with_traceback(None)
        else:
            call.add_done_callback(lambda _: core.leave(generation))
            if note:
                call.add_done_callback(lambda ended: core.note(_code_of(ended)))
            return generation, used, call
        # Outside of the handler, whose frame it would keep.
        request = metadata = None
        named = {}
        try:
            raise failure
        finally:
            del failure


def _code_of(ended: Any) -> grpc.StatusCode | None:
    """The status of a call that is done: its coroutine has nothing to wait for any more."""
    asking = ended.code()
    try:
        asking.send(None)
    except StopIteration as answer:
        code: grpc.StatusCode = answer.value
        return code
    finally:
        asking.close()
    return None


def _passed_on(name: str) -> Callable[..., Any]:
    """A method of the call that was made last."""

    def method(self: Any) -> Any:
        return getattr(self._rpc, name)()

    return method


@even_half_made
class _UnaryUnaryCall(grpc.aio.UnaryUnaryCall):  # type: ignore[misc,type-arg,unused-ignore]
    """A call that is made once more, while it is awaited, if another token is to be had for it."""

    def __init__(
        self, core: AsyncChannelCore, started: _Started, again: Callable[[float | None], _Started] | None
    ) -> None:
        self._core = core
        self._generation, self._used, self._rpc = started
        self._again = again

    def __await__(self) -> Generator[Any, None, Any]:
        rpc, generation = self._rpc, self._generation
        failure: BaseException
        try:
            answer = yield from rpc.__await__()
        except grpc.aio.AioRpcError as error:
            self._core.note(error.code())
            refused = error.code() is grpc.StatusCode.UNAUTHENTICATED
            # Another who awaits the same call may have made it again already.
            if not refused or (self._again is None and self._rpc is rpc):
                raise
            failure = error
        except asyncio.CancelledError:
            if generation.is_severed and not _is_being_cancelled():
                raise ConnectionClosedError(
                    "the connection was closed before the call ended", hint="give disconnect() a longer grace"
                ) from None
            raise
        except BaseException as error:
            # It never went out, as for a metadata key that is none: grpc leaves it neither begun nor done, and the call
            # keeps the exception, so nobody who keeps the call is to be in the traceback.
            rpc.cancel()
            failure = error.with_traceback(None)
        else:
            self._core.note(grpc.StatusCode.OK)
            return answer
        if isinstance(failure, grpc.aio.AioRpcError):
            if (yield from self._make_again(rpc).__await__()):
                return (yield from self.__await__())
            failure.__cause__ = self._core.refresh_failure
        try:
            raise failure
        finally:
            del failure, rpc, self

    async def _make_again(self, refused: Any) -> bool:
        """Make the call once more with another token, if there is one; whether there is something to await."""
        left = refused.time_remaining()
        if not await self._core.reauthenticate(self._generation, self._used, left):
            return False
        again = self._again
        if self._rpc is refused and again is not None:
            remaining = refused.time_remaining()
            if remaining is not None and remaining <= 0:
                return False
            # A write too: the server refused it before it did anything.
            self._again = None
            self._generation, self._used, self._rpc = again(remaining)
        return True

    cancelled = _passed_on("cancelled")
    done = _passed_on("done")
    time_remaining = _passed_on("time_remaining")
    cancel = _passed_on("cancel")
    initial_metadata = _passed_on("initial_metadata")
    trailing_metadata = _passed_on("trailing_metadata")
    code = _passed_on("code")
    details = _passed_on("details")
    wait_for_connection = _passed_on("wait_for_connection")

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._rpc.add_done_callback(lambda _: callback(self))

    def __repr__(self) -> str:
        return repr(self._rpc)


def _is_being_cancelled() -> bool:
    """Whether somebody cancelled the running task; before Python 3.11 nothing tells, so it may be."""
    if sys.version_info < (3, 11):
        return True
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class _UnaryUnary(_MultiCallable, grpc.aio.UnaryUnaryMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    # The stubs of grpc's types let more than the request be given by place; grpc.aio itself does not.
    def __call__(  # type: ignore[override,unused-ignore]
        self, request: Any, timeout: float | None = None, metadata: Any = None, **named: Any
    ) -> Any:
        if metadata is not None:
            metadata = tuple(metadata)  # it may have to be read twice
        timeout = self._deadline(timeout)
        started = self._start(request, timeout, metadata, named, False)
        if metadata is not None and any(key == AUTHORIZATION for key, _ in metadata):
            return _UnaryUnaryCall(self._core, started, None)
        return _UnaryUnaryCall(self._core, started, lambda left: self._start(request, left, metadata, named, False))


class _UnaryStream(_MultiCallable, grpc.aio.UnaryStreamMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    def __call__(  # type: ignore[override,unused-ignore]
        self, request: Any, timeout: float | None = None, metadata: Any = None, **named: Any
    ) -> Any:
        return self._start(request, self._deadline(timeout), metadata, named, True)[2]


class _RequestStream(_MultiCallable):
    """What the two arities share that send a stream."""

    def __call__(
        self,
        request_iterator: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        named = {"credentials": credentials, "wait_for_ready": wait_for_ready, "compression": compression}
        return self._start(request_iterator, self._deadline(timeout), metadata, named, True)[2]


class _StreamUnary(_RequestStream, grpc.aio.StreamUnaryMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    pass


class _StreamStream(_RequestStream, grpc.aio.StreamStreamMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    pass


class AsyncProfileChannel(ChannelBase[AsyncChannelCore], grpc.aio.Channel):  # type: ignore[misc,unused-ignore]
    """One handle's view of a core, shaped as a ``grpc.aio.Channel``."""

    _unary_unary = _UnaryUnary
    _unary_stream = _UnaryStream
    _stream_unary = _StreamUnary
    _stream_stream = _StreamStream

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        state: grpc.ChannelConnectivity = self._core.raw.get_state(try_to_connect)
        return state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._core.raw.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._core.raw.channel_ready()

    async def close(self, grace: float | None = None) -> None:  # noqa: ARG002
        """Give the handle back; the connection goes on for the others, and so do the calls in flight."""
        if self._on_close is not None:
            await self._on_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
