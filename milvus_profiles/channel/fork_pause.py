"""A fork waits for the calls that are under way, and calls that begin wait for the fork.

gRPC prepares itself for a fork, but not while a thread is inside one of its functions ("skipping fork() handlers").
The child then goes on with the parent's epoll set, and each takes events of the other: calls of the parent failed, and
now and then gRPC aborted a process (measured with four threads calling, on a busy machine: 1 in 20).  So calls are kept
out of gRPC while a fork happens.  A call that takes long is not waited for; then everything is as without this.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Protocol
from weakref import WeakSet

__all__ = ["PAUSE", "ForkPause"]

_LONGEST_WAIT = 0.2
"""Seconds that a fork waits for calls to end; most take a few milliseconds."""

_LOOK = 0.0005
"""Seconds between two looks whether the fork has happened."""


class Pausable(Protocol):
    """What calls go through; none begins while a fork is pending."""

    def wait_for_fork(self, timeout: float) -> None:
        """Wait until no call is under way, so many seconds at most."""

    def forked(self) -> None:
        """In the child: whoever held a lock is not here to let go of it."""


class ForkPause:
    """Keeps calls and forks apart.

    Nothing is held for that, which an interrupt could leave held: calls see that a fork is pending, and for how long it
    may be.

    Attributes:
        pending: a fork is about to happen: who begins a call is to :meth:`wait` first.
    """

    def __init__(self) -> None:
        self.pending = False
        self._until = 0.0
        self._members: WeakSet[Pausable] = WeakSet()
        self._forking: int | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
            )

    def add(self, member: Pausable) -> None:
        """Have a fork wait for the calls through this, as long as it lives."""
        self._members.add(member)

    def wait(self) -> None:
        """Wait until the fork has happened; not for one that never says so."""
        while self.pending:
            if time.monotonic() > self._until:
                self._forking = None
                self.pending = False
            time.sleep(_LOOK)

    def _before(self) -> None:
        now = time.monotonic()
        if self._forking is not None and now < self._until:
            return  # another thread's fork waits already
        self._until = now + 2 * _LONGEST_WAIT
        self._forking = threading.get_ident()
        self.pending = True
        for member in self._all():
            member.wait_for_fork(max(0.0, now + _LONGEST_WAIT - time.monotonic()))

    def _all(self) -> list[Pausable]:
        with contextlib.suppress(RuntimeError):  # another thread has added one meanwhile
            return list(self._members)
        return self._all()

    def _after_in_parent(self) -> None:
        if self._forking == threading.get_ident():
            self._forking = None
            self.pending = False

    def _after_in_child(self) -> None:
        # Whoever else was forking is not here to do it.
        self._forking = None
        self.pending = False
        for member in self._all():
            member.forked()


PAUSE = ForkPause()
"""That of the process."""
