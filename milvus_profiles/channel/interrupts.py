"""What is left of gRPC when an interrupt comes in the middle of it.

gRPC guards a channel by a ``threading.Condition``, whose ``with`` goes through Python code: an interrupt in there
leaves the lock held, and every other call on the channel, and closing it, then waits for ever (grpcio 1.85, seen by an
interrupt at each place of a call, in 6 of 129).  Elsewhere it may lose sight of a call, or believe that a thread runs
which was never started.  So the locks of a channel and of its calls are entered without Python code, one that is held
is let go of, and the channel is given up for another.

Closing may wait for ever even so, and gRPC closes a channel that is dropped, too: in whatever thread the garbage
collector runs just then.  So that is done in a thread of ours instead.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import threading
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from types import TracebackType
from typing import Any

from ..background import start
from ..errors import ThreadStartError
from ..masked import even_half_made
from .grpc_process import grpc

__all__ = ["close_dropped", "closed", "enter_at_once", "let_go", "prepare", "prepare_call"]

_GRPC = os.path.dirname(grpc.__file__) + os.sep
_THREADING = threading.__file__
_COMPILED = (".pyx", ".pxi")
_RLOCK = type(threading.RLock())

_TRIES = 100
"""How often letting go is begun again after yet another interrupt."""


@even_half_made
class _EnteredAtOnce(threading.Condition):
    """Its ``with`` calls the methods of its lock, and no Python code is run on the way."""

    __enter__ = property(attrgetter("_lock.__enter__"))  # pyright: ignore[reportAssignmentType]
    __exit__ = property(attrgetter("_lock.__exit__"))  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return super().__repr__()


_dropped: deque[Any] = deque()
"""Of channels that were dropped without being closed, what gRPC closes them by."""


def enter_at_once(channel: grpc.Channel) -> grpc.Channel:
    """Have no interrupt leave the lock of a channel held; returns it.

    What of gRPC's insides is not as it is known to be is left as it is, here and in the following.

    Args:
        channel: nobody holds its lock, for nothing has been called on it yet.
    """
    for inner in gc.get_referents(getattr(channel, "_channel", None)):
        for condition in gc.get_referents(inner) if type(inner).__name__ == "_ChannelState" else ():
            _set_at_once(condition)
    return channel


def _set_at_once(condition: Any) -> None:
    if type(condition) is threading.Condition:
        condition.__class__ = _EnteredAtOnce


def prepare(channel: grpc.Channel) -> None:
    """Have an interrupt do no lasting harm to a channel: as :func:`enter_at_once`, and when it is dropped.

    Args:
        channel: nothing has been called on it yet, or it is prepared already.
    """
    enter_at_once(channel)
    state = getattr(channel, "_call_state", None)
    if state is not None and not hasattr(type(state), "pid"):
        state.__class__ = _left_to_us(type(state))  # type: ignore[arg-type]
        state.pid = os.getpid()  # a forked child does not close what is its parent's


def prepare_call(rpc: Any) -> None:
    """Have an interrupt do less harm to a call that was begun: gRPC's thread needs its lock for those of all."""
    _set_at_once(getattr(getattr(rpc, "_state", None), "condition", None))


@functools.cache
def _left_to_us(kind: type[Any]) -> type[Any]:
    """gRPC's class of what closes a channel when it is dropped, which leaves that to :func:`close_dropped`."""

    def leave(
        self: Any, process: Callable[[], int] = os.getpid, append: Callable[[Any], None] = _dropped.append
    ) -> None:
        if self.pid == process():
            append(self)

    return type(kind.__name__, (kind,), {"__del__": leave, "__module__": kind.__module__, "pid": 0})


def closed(channel: grpc.Channel) -> None:
    """Note that a channel has closed."""
    if (state := getattr(channel, "_call_state", None)) is not None:
        state.pid = 0


def close_dropped() -> None:
    """Close the channels that were dropped; returns at once."""
    if _dropped:
        with contextlib.suppress(ThreadStartError):  # the next does it
            start(_close_dropped, "milvus-profiles close")


def _close_dropped() -> None:
    with contextlib.suppress(IndexError):  # another thread was first
        while True:
            state = _dropped.popleft()
            super(type(state), state).__del__()  # pyright: ignore  # for ever, it may be; the next thread has the others


def let_go(error: BaseException) -> bool:
    """Let go of the locks that an exception has left behind in gRPC.

    Args:
        error: it, with its traceback; in the thread that it was raised in.

    Returns:
        Whether it came from outside, as an interrupt does, so that gRPC may have been left in any state.
    """
    # An interrupt in here leaves the lock held, too: so it is begun again, and another is an exception as good.
    for _ in range(_TRIES):
        try:
            return _let_go(error)
        except BaseException:  # noqa: S112, PERF203
            continue  # not by suppress(), which would run code of its own in between
    return True


def _let_go(error: BaseException) -> bool:
    inside, innermost = False, ""
    step: TracebackType | None = error.__traceback__
    while step is not None:
        innermost = step.tb_frame.f_code.co_filename
        if innermost.startswith(_GRPC):
            inside = True
        elif inside and innermost == _THREADING:
            owner = step.tb_frame.f_locals.get("self")
            if isinstance(owner, threading.Condition) and isinstance(getattr(owner, "_lock", None), _RLOCK):
                with contextlib.suppress(RuntimeError):  # it is not held by this thread, or not any more
                    while True:
                        owner.release()
        step = step.tb_next
    if not inside or innermost.endswith(_COMPILED):
        return False  # gRPC's own complaint, or an interrupt while it waited, for which it is prepared
    return not isinstance(error, Exception) or not innermost.startswith(_GRPC)
