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

_PATIENCE = 0.2
"""Seconds that a fork waits for calls to end; most take a few milliseconds."""


class Held(Protocol):
    """What calls go through."""

    def hold(self, timeout: float) -> bool:
        """Let no call begin from now on, if none is under way.

        Args:
            timeout: seconds to wait for those that are.

        Returns:
            Whether it is held, so that :meth:`let_go` is to be called.
        """

    def let_go(self) -> None:
        """Let calls begin again."""


class ForkPause:
    """Keeps calls and forks apart.

    Attributes:
        pending: a fork is about to happen: who begins a call is to :meth:`wait` first.
    """

    def __init__(self) -> None:
        self.pending = False
        self._over = threading.Event()
        self._members: WeakSet[Held] = WeakSet()
        self._held: list[Held] = []
        self._forking: int | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before, after_in_parent=self._after_in_parent, after_in_child=self._after_in_child
            )

    def add(self, member: Held) -> None:
        """Have a fork wait for the calls through this, as long as it lives."""
        self._members.add(member)

    def wait(self) -> None:
        """Wait until the fork has happened."""
        self._over.wait(2 * _PATIENCE)

    def _before(self) -> None:
        if self._forking is not None:
            return  # another thread's fork waits already
        self._forking = threading.get_ident()
        self._over.clear()
        self.pending = True
        until = time.monotonic() + _PATIENCE
        for member in self._all():
            if member.hold(max(0.0, until - time.monotonic())):
                self._held.append(member)

    def _all(self) -> list[Held]:
        with contextlib.suppress(RuntimeError):  # another thread has added one meanwhile
            return list(self._members)
        return self._all()

    def _after_in_parent(self) -> None:
        if self._forking == threading.get_ident():
            self._let_go()

    def _after_in_child(self) -> None:
        # Whoever else was forking is not here to do it.
        self._over = threading.Event()
        self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for member in held:
            member.let_go()
        self._forking = None
        self.pending = False
        self._over.set()


PAUSE = ForkPause()
"""That of the process."""
