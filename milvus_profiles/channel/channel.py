"""The channel that users get: a ``grpc.Channel`` on which any stub works.

Its multi-callables are thin wrappers around those of the core's raw channel; they add metadata and a default deadline,
count the calls in flight, and make a blocking unary call once more where another token is to be had.  (An interceptor
could do this too, at several times the cost, and its calls are other objects than users know.)  Nothing here knows
profiles, keyrings or how a raw channel is opened.

No secret may reach a traceback: grpc keeps the metadata of a call in the locals of its frames, so every exception is
freed of those frames on its way out.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar

from ..background import beside
from ..masked import even_half_made
from .core import ChannelCore, RawGeneration
from .grpc_process import grpc, prepare_call
from .metadata import AUTHORIZATION, MetadataLike

if TYPE_CHECKING:
    from typing_extensions import Self

    from .core_base import CoreBase


C = TypeVar("C", bound="CoreBase[Any]")


class OfThisProcess:
    """What hangs on a connection, which no other process can use, and has one owner here."""

    __slots__ = ()

    _elsewhere: ClassVar[str] = "milvus_profiles.connect(ALIAS)"
    """What another process is to call."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        name = type(self).__name__.lstrip("_")
        raise TypeError(
            f"{name} objects are neither pickled nor copied: give the other process the alias, and let it connect by "
            f"that name: {self._elsewhere}"
        )


class MultiCallableBase(OfThisProcess, Generic[C]):
    """What the wrappers of all four arities share; ``make`` makes the multi-callable of a raw channel."""

    def __init__(self, core: C, gate: Callable[[], None], make: Callable[[Any], Any]) -> None:
        self._core = core
        self._gate = gate
        self._make = make
        # One tuple, so that a swap of the raw channel in another thread cannot mix the two.
        self._bound: tuple[Any, Any] = (None, None)

    def _deadline(self, timeout: float | None) -> float | None:
        """Let the call pass the gate, and say how many seconds it has."""
        self._gate()
        return self._core.call_timeout if timeout is None else timeout


@even_half_made
class ChannelBase(OfThisProcess, Generic[C]):
    """One handle's view of a core.

    Args:
        core: what carries the calls, shared with other handles.
        gate: called before each call; raises where the handle is closed.
        on_close: called by ``close``, which itself closes nothing: the channel belongs to the core.
    """

    _unary_unary: ClassVar[Callable[..., Any]]
    _unary_stream: ClassVar[Callable[..., Any]]
    _stream_unary: ClassVar[Callable[..., Any]]
    _stream_stream: ClassVar[Callable[..., Any]]

    def __init__(
        self, core: C, *, gate: Callable[[], None] = lambda: None, on_close: Callable[[], Any] | None = None
    ) -> None:
        self._core = core
        self._gate = gate
        self._on_close = on_close

    # What a stub passes to these four (path, serializers, how to register the method) goes to the raw channel as it is.

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        return self._unary_unary(self._core, self._gate, lambda raw: raw.unary_unary(*arguments, **named))

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        return self._unary_stream(self._core, self._gate, lambda raw: raw.unary_stream(*arguments, **named))

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        return self._stream_unary(self._core, self._gate, lambda raw: raw.stream_unary(*arguments, **named))

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        return self._stream_stream(self._core, self._gate, lambda raw: raw.stream_stream(*arguments, **named))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'closed' if self._core.is_closed else 'open'}>"


_Outcome = tuple[Any, BaseException | None]
"""What a call gave, or the exception that ended it, without the frames it came through."""


def _raising(perform: Callable[..., _Outcome]) -> Callable[..., Any]:
    """The entry of a call: what it gave is returned or raised from here, where no metadata is held."""

    @functools.wraps(perform)
    def call(*arguments: Any, **named: Any) -> Any:
        answer: Any = None
        try:
            answer, failure = perform(*arguments, **named)
        except BaseException as error:
            failure = error.with_traceback(None)
        if failure is None:
            return answer
        # The caller's own metadata may hold a secret too, and an exception held here would be a reference cycle.
        arguments, named = (), {}
        try:
            raise failure
        finally:
            del failure

    return call


@functools.cache
def _minded(kind: type[Any]) -> type[Any]:
    """gRPC's class of streams, with an eye on interrupts while the next message is waited for.

    One that was interrupted is cancelled: gRPC cannot go on with it.  Asked for the next message, it complains of
    itself ("gRPC call error 8"), or its thread ends, without which no stream or future of the channel ever does.
    """

    def following(self: Any) -> Any:
        try:
            return kind.__next__(self)
        except (StopIteration, grpc.RpcError):
            raise
        except BaseException as error:
            self._minder(error)
            beside(self.cancel, "milvus-profiles cancel")
            raise

    return type(kind.__name__, (kind,), {"__next__": following, "__module__": kind.__module__})


class _MultiCallable(MultiCallableBase[ChannelCore]):
    def _raw(self, generation: RawGeneration) -> Any:
        bound = self._bound
        if bound[0] is not generation:
            # grpc says that registering a method is not thread-safe.
            with self._core.binding:
                bound = self._bound = (generation, self._make(generation.channel))
        return bound[1]

    def _finish(
        self, kind: str, request: Any, timeout: float | None, metadata: MetadataLike | None, rest: Any, named: Any
    ) -> tuple[_Outcome, RawGeneration, int]:
        """Make a call by a method of the raw multi-callable, and wait for its end.

        Returns:
            Besides what it gave, the raw channel that it went to, and the generation of the token that it had.
        """
        core = self._core
        code: grpc.StatusCode | None = None
        answer: Any = None
        failure: BaseException | None = None
        mark = threading.Lock()
        with mark:
            generation = core.enter(mark)
            used = generation.holder.generation
            try:
                call = getattr(self._raw(generation), kind)
                # The merged metadata stands in no variable here: an exception on its way out would show it.
                answer = call(request, timeout, generation.holder.merged(metadata), *rest, **named)
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
                failure = error.with_traceback(None)
            except BaseException as error:
                core.interrupted(generation, error)
                failure = error.with_traceback(None)
        core.leave(generation, mark, code)
        return (answer, failure), generation, used

    def _once(self, *arguments: Any) -> _Outcome:
        return self._finish(*arguments)[0]

    def _start(
        self, kind: str, request: Any, timeout: float | None, metadata: MetadataLike | None, rest: Any, named: Any
    ) -> _Outcome:
        """Begin a call that counts as in flight until it is done; ``kind`` is the raw multi-callable's method."""
        core = self._core
        mark = threading.Lock()
        with mark:
            generation = core.enter(mark)
            try:
                call = getattr(self._raw(generation), kind)
                run = contextvars.copy_context().run
                # An interrupt within would leave gRPC without the thread that all streams and futures need.
                rpc = beside(
                    lambda: run(call, request, timeout, generation.holder.merged(metadata), *rest, **named),
                    "milvus-profiles begin",
                    again=False,
                )
            except BaseException as error:
                core.interrupted(generation, error)
                core.leave(generation, mark, None)
                return None, error.with_traceback(None)
            prepare_call(rpc)
            if hasattr(rpc, "__next__"):
                rpc.__class__ = _minded(type(rpc))  # type: ignore[arg-type]
                rpc._minder = functools.partial(core.interrupted, generation)
            core.follow(generation, mark, rpc)
        return rpc, None


def _with_request(make: Callable[..., _Outcome], kind: str) -> Callable[..., Any]:
    """The entry of a call with one request; ``kind`` is the raw multi-callable's method."""

    @_raising
    def call(
        self: Any, request: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any
    ) -> _Outcome:
        return make(self, kind, request, self._deadline(timeout), metadata, rest, named)

    return call


def _with_requests(make: Callable[..., _Outcome], kind: str) -> Callable[..., Any]:
    """The entry of a call with a stream of them, which callers name as gRPC does: ``request_iterator=``."""

    @_raising
    def call(
        self: Any, request_iterator: Any, timeout: float | None = None, metadata: Any = None, *rest: Any, **named: Any
    ) -> _Outcome:
        return make(self, kind, request_iterator, self._deadline(timeout), metadata, rest, named)

    return call


class _UnaryUnary(_MultiCallable, grpc.UnaryUnaryMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    def _settle(
        self, kind: str, request: Any, timeout: float | None, metadata: MetadataLike | None, rest: Any, named: Any
    ) -> _Outcome:
        """Make a call, and make it once more if it was refused for a token that another has replaced."""
        core = self._core
        if metadata is not None:
            metadata = tuple(metadata)  # it may have to be read twice
        began = core.clock()
        (answer, failure), generation, used = self._finish(kind, request, timeout, metadata, rest, named)
        if (
            not isinstance(failure, grpc.RpcError)
            or failure.code() is not grpc.StatusCode.UNAUTHENTICATED
            or any(key == AUTHORIZATION for key, _ in metadata or ())
        ):
            return answer, failure

        def left() -> float | None:
            return None if timeout is None else max(0.0, timeout - (core.clock() - began))

        if core.reauthenticate(generation, used, left()) and (remaining := left()) != 0.0:
            # A write too: the server refused it before it did anything.
            return self._finish(kind, request, remaining, metadata, rest, named)[0]
        failure.__cause__ = core.refresh_failure
        return answer, failure

    __call__ = _with_request(_settle, "__call__")
    with_call = _with_request(_settle, "with_call")
    future = _with_request(_MultiCallable._start, "future")


class _StreamUnary(_MultiCallable, grpc.StreamUnaryMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    __call__ = _with_requests(_MultiCallable._once, "__call__")
    with_call = _with_requests(_MultiCallable._once, "with_call")
    future = _with_requests(_MultiCallable._start, "future")


class _UnaryStream(_MultiCallable, grpc.UnaryStreamMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    __call__ = _with_request(_MultiCallable._start, "__call__")


class _StreamStream(_MultiCallable, grpc.StreamStreamMultiCallable):  # type: ignore[misc,type-arg,unused-ignore]
    __call__ = _with_requests(_MultiCallable._start, "__call__")


class ProfileChannel(ChannelBase[ChannelCore], grpc.Channel):  # type: ignore[misc,type-arg,unused-ignore]
    """One handle's view of a core, shaped as a ``grpc.Channel``."""

    _unary_unary = _UnaryUnary
    _unary_stream = _UnaryStream
    _stream_unary = _StreamUnary
    _stream_stream = _StreamStream

    def subscribe(
        self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool | None = False
    ) -> None:
        self._core.subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._core.unsubscribe(callback)

    def close(self) -> None:
        """Give the handle back; the connection goes on for the others."""
        if self._on_close is not None:
            self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
