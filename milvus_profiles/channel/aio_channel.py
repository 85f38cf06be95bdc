"""The channel that users of asyncio get: a ``grpc.aio.Channel`` on which any stub works.

As :mod:`.channel` does for threads, its multi-callables add metadata and a default deadline to those of the core's raw
channel, count the calls in flight, and make an awaited unary call once more where another token is to be had.

The core is used from one event loop only, so nothing here locks.  No secret may reach a traceback: grpc keeps the
metadata of a call in the locals of its frames, so an exception that comes out of starting a call is freed of those.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..background import in_executor
from ..errors import ConnectionClosedError
from ..log import log
from ..masked import even_half_made
from .channel import ChannelBase, MultiCallableBase
from .core_base import CoreBase, Generation, Refresh
from .grpc_process import closing, grpc
from .metadata import AUTHORIZATION, MetadataLike, TokenHolder

if TYPE_CHECKING:
    from typing_extensions import Self


class AsyncGeneration(Generation[grpc.aio.Channel]):
    """One raw channel of a core.

    Attributes:
        is_severed: it was closed with calls in flight: what ends them is not their caller's cancellation.
    """

    __slots__ = ("calls", "is_severed")

    def __init__(self, channel: grpc.aio.Channel, holder: TokenHolder, refresh: Refresh | None) -> None:
        super().__init__(channel, holder, refresh)
        self.is_severed = False
        self.calls = 0

    @property
    def in_flight(self) -> int:
        return self.calls

    async def close(self) -> None:
        """Close the raw channel; calls in flight end as CANCELLED."""
        self.is_severed = True
        closing(self.channel)
        await self.channel.close(None)


class AsyncChannelCore(CoreBase[AsyncGeneration]):
    """A core of the running event loop."""

    _generation = AsyncGeneration

    def _begin(self) -> None:
        self._guard = contextlib.nullcontext()
        self._idle_waiters: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    # --- calls ---

    def enter(self) -> AsyncGeneration:
        """Count a call that begins, and return the raw channel it goes to."""
        self._check_open()
        if self._watch is not None:
            self._watch.before_call(self.clock())
        generation = self._current
        generation.calls += 1
        return generation

    def leave(self, generation: AsyncGeneration) -> None:
        """Count a call that ended on the raw channel that :meth:`enter` returned."""
        generation.calls -= 1
        if generation.calls == 0 and self._idle_waiters:
            for waiter in self._idle_waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def note(self, code: grpc.StatusCode | None) -> None:
        """Remember how a call ended; None where there is no status."""
        now = self.clock()
        if failed := self.health.note(code, now):
            log("reconnected", failed=failed)
        if self._watch is not None and code is grpc.StatusCode.UNAVAILABLE:
            self._watch.after_unavailable(now)

    async def reauthenticate(self, refused: AsyncGeneration, used: int, timeout: float | None = None) -> bool:
        """:meth:`.core.ChannelCore.reauthenticate`, awaited; one task looks, and the others wait for what it finds."""
        deadline = None if timeout is None else self.clock() + timeout
        while not self._is_closed:
            if self._current is not refused:
                return True  # another channel with a token of its own was swapped in meanwhile
            if self._looking is None:
                decision = self._pace.decide(used, refused.holder.generation, self.clock())
                if decision != "refresh" or refused.refresh is None:
                    return decision == "again"
                # A task of its own: who asked first may be cancelled, and the others still wait for it.
                self._looking = asyncio.create_task(self._look(refused.holder, refused.refresh))
            left = None if deadline is None else max(0.0, deadline - self.clock())
            done, _ = await asyncio.wait({self._looking}, timeout=left)
            if not done:
                return False
        return False

    async def _look(self, holder: TokenHolder, refresh: Refresh) -> None:
        try:
            token = await in_executor(refresh)
            self._refresh_failure = None
            if token is not None and holder.set_token(token):
                log("token")
        except Exception as error:
            # The caller's news is that the server refused it; why no better token was to be had is the cause.
            self._refresh_failure = error.with_traceback(None)
        finally:
            self._looking = None

    # --- life ---

    async def wait_idle(self, grace: float, generation: AsyncGeneration | None = None) -> bool:
        """:meth:`.core.ChannelCore.wait_idle`, awaited."""
        deadline = self.clock() + grace

        def busy() -> bool:
            return (self.in_flight if generation is None else generation.in_flight) > 0

        while busy():
            left = deadline - self.clock()
            if left <= 0:
                return False
            waiter = asyncio.get_running_loop().create_future()
            self._idle_waiters.add(waiter)
            try:
                # The loop adds the time to its clock and hands it to the system: keep it within what that takes.
                await asyncio.wait({waiter}, timeout=min(left, 86_400.0))
            finally:
                self._idle_waiters.discard(waiter)
        return True

    async def finish(self, generation: AsyncGeneration, grace: float) -> bool:
        """Wait for the calls on a raw channel that was swapped out, then close it, whatever happens."""
        try:
            return await self.wait_idle(grace, generation)
        finally:
            self._dismiss(generation)
            await generation.close()

    async def close(self) -> None:
        """Close the raw channels; calls in flight end, new ones raise.  Closing again does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
        for generation in (*self._retired, self._current):
            await generation.close()


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
