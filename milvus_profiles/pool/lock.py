"""Keeping threads from queueing up at a lock that is held for a microsecond at a time.

A thread that blocks on a lock is woken when the lock is let go of, and owns it before it has the interpreter: until it
does, whoever runs meanwhile finds the lock taken and blocks in turn, and from then on every use of the lock costs a
switch of threads, some ten times of what the use itself does (a lock convoy).  So nobody blocks on a lock of which
he can see that it is held: its holder was most likely put aside in the middle of it, and needs the interpreter, not
company.  What is seen is a hint; the lock alone guards.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType

__all__ = ["ContentionGuard"]

_PAUSES = (0.0, 0.0, 20e-6, 20e-6, 50e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3)
"""Seconds between looks; whoever had no luck after all of them blocks."""


class ContentionGuard:
    """Who is at a lock, and a lock that avoids convoys by it; within it as a context manager one may block on the lock.

    Attributes:
        lock: the lock.
        contended: true where it is better to :meth:`back_off` first.  Whoever holds the lock makes it True, and at the
            end the set ``blocked``, which is true as long as there is somebody in it.  It may stay True after an
            interrupt, which does no harm but to the speed of the next.
        blocked: the threads that may be blocking on the lock.
    """

    __slots__ = ("blocked", "contended", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocked: set[int] = set()
        self.contended: bool | set[int] = self.blocked

    def back_off(self) -> None:
        """Let those who are there go first; after that the lock is most likely free."""
        for pause in _PAUSES:
            time.sleep(pause)
            if not self.contended:
                return
        with self, self.lock:
            # An interrupt may have left either behind.  Who does wait there just goes unseen.
            self.blocked.clear()
            self.contended = self.blocked

    def __enter__(self) -> None:
        self.blocked.add(threading.get_ident())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.blocked.discard(threading.get_ident())
