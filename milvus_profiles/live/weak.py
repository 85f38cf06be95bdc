"""What an open channel calls without holding it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["weakly"]


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of who holds the one that calls it; called when its object is no more, it gives None.

    What an open gRPC channel hangs on is in no reference cycle, since what the collector finds in a forked child it
    would close there: gRPC then waits for threads that did not come along (``grpc.aio``, for ever).
    """
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> Any:
        found = reference()
        return None if found is None else found(*arguments)

    return call
