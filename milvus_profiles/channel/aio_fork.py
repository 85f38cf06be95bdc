"""What is left of asyncio's gRPC is never freed in a forked child.

gRPC ends its poller as the last channel of ``grpc.aio`` is freed, which a closed one is with the last call on it, or
with the error of one, whose frames hold the call.  It then waits for the poller's thread, which no forked child has:
for ever, and no other thread runs meanwhile (grpcio 1.66 to 1.85, measured).  So a child keeps what there is.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

_POLLER = "(_poll_wrapper)"
"""How the name of the poller's thread ends, as Python makes it from its function."""

_kept: list[Any] = []
_is_polling = False


def _before() -> None:
    global _is_polling
    _is_polling = any(thread.name.endswith(_POLLER) for thread in threading.enumerate())


def _after_in_child() -> None:
    if _is_polling:
        # They take no weak references, so they cannot be remembered when they are made.
        _kept.extend(each for each in gc.get_objects() if type(each).__name__ == "AioChannel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_child=_after_in_child)
