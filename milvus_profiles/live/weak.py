"""What an open channel calls without holding it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["HolderReference", "reference_to", "weakly"]


class HolderReference(weakref.ref[Any]):
    """A weak reference that knows which object it was to, when that is no more."""

    __slots__ = ("key",)

    key: int


def reference_to(holder: object, gone: Callable[[HolderReference], None]) -> HolderReference:
    """A weak reference whose ``key`` is the ``id`` of an object.

    Args:
        holder: the object.
        gone: called when it is no more.
    """
    reference = HolderReference(holder, gone)
    reference.key = id(holder)
    return reference


def weakly(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of who holds the one that calls it; called when its object is no more, it gives None.

    What an open gRPC channel hangs on is in no reference cycle, since what the collector finds in a forked child it
    would close there: gRPC then waits for threads that did not come along (``grpc.aio``, for ever).
    """
    return _Weakly(method.__self__, method.__func__)  # type: ignore[attr-defined]  # a bound method


class _Weakly:
    """As :class:`weakref.WeakMethod`, in a sixth of the memory: every connection has one or two."""

    __slots__ = ("_function", "_reference")

    def __init__(self, owner: Any, function: Callable[..., Any]) -> None:
        self._reference = weakref.ref(owner)
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        owner = self._reference()
        return None if owner is None else self._function(owner, *arguments)
