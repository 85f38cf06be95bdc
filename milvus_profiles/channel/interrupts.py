"""What is left of gRPC when an interrupt comes in the middle of it.

gRPC guards a channel by a ``threading.Condition``, whose ``with`` goes through Python code: an interrupt in there
leaves the lock held, and every other call on the channel, and closing it, then waits for ever (grpcio 1.85, seen by an
interrupt at each place of a call, in 6 of 129).  Elsewhere it may lose sight of a call, or believe that a thread runs
which was never started.  So a lock that is held is let go of, and the channel is given up for another.
"""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType

from .grpc_import import grpc

__all__ = ["let_go"]

_GRPC = os.path.dirname(grpc.__file__) + os.sep
_THREADING = threading.__file__
_COMPILED = (".pyx", ".pxi")
_RLOCK = type(threading.RLock())


def let_go(error: BaseException) -> bool:
    """Let go of the locks that an exception has left behind in gRPC.

    Args:
        error: it, with its traceback; in the thread that it was raised in.

    Returns:
        Whether it came from outside, as an interrupt does, so that gRPC may have been left in any state.
    """
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
