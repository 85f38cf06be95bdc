"""What carries out the plans of :mod:`.handshake`: over a blocking channel, or over one of ``grpc.aio``.

A plan says what is called and what the answers mean; here calls are made, together where the plan says so, and sockets
are looked at, all of it by a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..background import Deadline, Pending, in_executor
from ..channel.grpc_process import grpc, let_go
from ..errors import MilvusProfilesError, ThreadStartError
from ..probe.context import ConnectContext
from ..probe.tls import ProbeResults, gather_results
from .handshake import Invoke, Plan, Probe, Reply, Together

T = TypeVar("T")

_RESERVE, _RESERVED_SHARE = 1.0, 0.1


def look(context: ConnectContext, deadline: Deadline) -> ProbeResults | None:
    """What a driver does for :class:`Probe`; it blocks.

    Returns:
        None where the search itself failed: what gRPC said has to do then.

    Raises:
        ConfigError, TLSError: a TLS file is wrong.
    """
    try:
        return gather_results(context.route, context.host, context.tls, deadline)
    except MilvusProfilesError:
        raise
    except Exception:
        return None


def calls_deadline(deadline: Deadline) -> Deadline:
    """The moment by which a handshake's calls have to end, so that time is left to look for the cause."""
    return Deadline(deadline.at - min(_RESERVE, deadline.remaining * _RESERVED_SHARE), deadline.clock)


def drive(plan: Plan[T], context: ConnectContext, channel: grpc.Channel, deadline: Deadline, calls_end: Deadline) -> T:
    """Run a plan over a blocking channel; all of it, probes included, is over by the deadline."""
    reply: Reply | tuple[Reply, ...] | ProbeResults | None = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Probe):
                reply = look(context, deadline.sooner(step.within))
            elif isinstance(step, Together):
                reply = _make_all(channel, step, calls_end)
            else:
                reply = make_call(channel, step, calls_end.remaining)
    except StopIteration as done:
        result: T = done.value
        return result


async def async_drive(
    plan: Plan[T], context: ConnectContext, channel: grpc.aio.Channel, deadline: Deadline, calls_end: Deadline
) -> T:
    """:func:`drive`, awaited; probes run in a thread, where they end by their deadline on their own."""
    reply: Reply | tuple[Reply, ...] | ProbeResults | None = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Together):
                reply = await _make_all_async(channel, step, calls_end)
            elif isinstance(step, Probe):
                reply = await in_executor(partial(look, context, deadline.sooner(step.within)))
            else:
                reply = await _make_async_call(channel, step, calls_end.remaining)
    except StopIteration as done:
        result: T = done.value
        return result


def _debug_string(error: grpc.RpcError) -> str:
    tell = getattr(error, "debug_error_string", None)
    return str(tell() or "") if tell is not None else ""


def make_call(channel: grpc.Channel, call: Invoke, timeout: float) -> Reply:
    """What a blocking driver does for :class:`Invoke`, within a timeout in seconds."""
    try:
        response = channel.unary_unary(call.method.path, None, None)(
            call.request, timeout=timeout, metadata=call.metadata()
        )
    except grpc.RpcError as error:
        return Reply(error.code(), details=error.details() or "", debug=_debug_string(error))
    except ValueError:
        # What grpc says to a call on a channel that was closed meanwhile.
        return Reply(grpc.StatusCode.CANCELLED)
    except BaseException as error:
        let_go(error)  # else closing the channel, or gRPC's finalizer of it, waits for ever
        # grpc's frames hold the metadata.
        raise error.with_traceback(None) from None
    return Reply.to_call(response)


_LATE = Reply(grpc.StatusCode.DEADLINE_EXCEEDED)
_NOT_WAITED_FOR = Reply(grpc.StatusCode.CANCELLED)


def _says_no(first: Reply) -> bool:
    """Whether the first of some calls failed, so that what the others come to does not matter."""
    return first.code not in (grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED)


def one_by_one(step: Together, make: Callable[[Invoke], Reply]) -> tuple[Reply, ...]:
    """The calls one after the other, for who measures each."""
    first = make(step.first)
    return first, *(_NOT_WAITED_FOR if _says_no(first) else make(call) for call in step.others)


def _make_all(channel: grpc.Channel, step: Together, end: Deadline) -> tuple[Reply, ...]:
    """What a blocking driver does for :class:`Together`: each call but the first is made in a thread of its own.

    A future of gRPC's takes one, too, and an interrupt while that is begun leaves the channel without it.
    """

    def make(call: Invoke) -> Reply:
        return make_call(channel, call, end.remaining)

    def begun(call: Invoke) -> Pending[Reply]:
        return Pending(lambda: make(call), lambda _: _NOT_WAITED_FOR, "milvus-profiles call")

    try:
        others = [begun(call) for call in step.others]
    except ThreadStartError:
        return one_by_one(step, make)
    first = make(step.first)
    return first, *(_NOT_WAITED_FOR if _says_no(first) else _waited_for(other, end) for other in others)


def _waited_for(call: Pending[Reply], end: Deadline) -> Reply:
    try:
        return call.wait(end.remaining + _RESERVE)
    except (TimeoutError, ThreadStartError):
        return _LATE


async def _make_all_async(channel: grpc.aio.Channel, step: Together, end: Deadline) -> tuple[Reply, ...]:
    others = [asyncio.ensure_future(_make_async_call(channel, call, end.remaining)) for call in step.others]
    try:
        first = await _make_async_call(channel, step.first, end.remaining)
        if _says_no(first):
            return first, *(_NOT_WAITED_FOR for _ in others)
        return first, *(await asyncio.gather(*others))
    finally:
        for other in others:
            other.cancel()
        await asyncio.wait(others)


async def _make_async_call(channel: grpc.aio.Channel, call: Invoke, timeout: float) -> Reply:
    try:
        response = await channel.unary_unary(call.method.path, None, None)(
            call.request, timeout=timeout, metadata=call.metadata()
        )
    except grpc.aio.AioRpcError as error:
        return Reply(error.code(), details=error.details() or "")
    except grpc.aio.UsageError:
        return Reply(grpc.StatusCode.CANCELLED)
    except BaseException as error:
        raise error.with_traceback(None) from None
    return Reply.to_call(response)
