"""How many connections the process has open, whoever opened them: threads, event loops, pools."""

from __future__ import annotations

import os
import threading
import weakref

from ..errors import ConnectionLimitError
from ..text import counted

__all__ = ["OPEN_CONNECTIONS", "ConnectionLimit", "Slot"]


class Slot:
    """The right to have one connection open; :meth:`release` gives it back, and so does being dropped."""

    __slots__ = ("__weakref__", "_reference", "_taken")

    def __init__(self, taken: set[weakref.ref[Slot]]) -> None:
        # No code of ours runs for that, so no interrupt can come between.
        reference: weakref.ref[Slot] = weakref.ref(self, taken.discard)
        self._taken = taken
        self._reference = reference
        taken.add(reference)

    def release(self) -> None:
        """Give it back; again does nothing."""
        self._taken.discard(self._reference)


class ConnectionLimit:
    """Counts what is open, so that ``max_connections`` holds for the process and not for each kind of connection."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # A slot that was taken before a fork is the parent's: given back in the child it counts for nothing.
        self._taken: set[weakref.ref[Slot]] = set()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Connections that are open or being opened."""
        return len(self._taken)

    def take(self, limit: int) -> Slot:
        """Take a slot before opening a connection.

        Args:
            limit: connections that may be open at once.

        Raises:
            ConnectionLimitError: that many are.
        """
        with self._lock:
            count = len(self._taken)
            if count < limit:
                return Slot(self._taken)
        raise ConnectionLimitError(
            f"{counted(count, 'connection')} {'is' if count == 1 else 'are'} open, and max_connections is {limit}",
            hint="close some with disconnect(), or raise max_connections (65,536 at most)",
        )


OPEN_CONNECTIONS = ConnectionLimit()
"""Those of this process."""
