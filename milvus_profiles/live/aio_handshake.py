"""The handshake over ``grpc.aio``: a driver of the plan that :mod:`.handshake` holds."""

from __future__ import annotations

from functools import partial

from ..background import in_executor
from ..channel.aio_core import AsyncChannelCore
from ..channel.grpc_import import grpc
from ..deadline import Deadline
from ..probe.context import ConnectContext
from ..probe.results import ProbeResults
from .handshake import Invoke, Probe, Reply, ServerInfo, handshake_plan, look, patience

__all__ = ["async_handshake", "async_look"]


async def async_look(context: ConnectContext, deadline: Deadline) -> ProbeResults | None:
    """Gather evidence on the server in a thread; where the caller is cancelled, it ends by its deadline on its own.

    Args:
        context: what is tried.
        deadline: when to give up.
    """
    return await in_executor(partial(look, context, deadline))


async def async_handshake(
    core: AsyncChannelCore, context: ConnectContext, deadline: Deadline, *, user: str | None = None
) -> ServerInfo:
    """Run the handshake; arguments and errors are those of :func:`.handshake.handshake`."""
    plan, calls_end = handshake_plan(core.holder, context, user=user), patience(deadline)
    reply: Reply | ProbeResults | None = None
    try:
        while True:
            step = plan.send(reply)
            if isinstance(step, Probe):
                reply = await async_look(context, deadline)
            else:
                reply = await _call(core.raw, step, calls_end.remaining)
    except StopIteration as done:
        info: ServerInfo = done.value
        return info


async def _call(raw: grpc.aio.Channel, call: Invoke, timeout: float) -> Reply:
    try:
        response = await raw.unary_unary(call.method.path, None, None)(
            call.request, timeout=timeout, metadata=call.metadata()
        )
    except grpc.aio.AioRpcError as error:
        return Reply(error.code(), details=error.details() or "")
    except BaseException as error:
        # grpc's frames hold the metadata.
        raise error.with_traceback(None) from None
    return Reply.to_call(response)
