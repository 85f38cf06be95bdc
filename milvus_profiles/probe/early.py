"""Looks at servers that begin before there is anybody to see what comes of them.

What a look waits for is the network, so it can wait while the program still imports what will judge it.  A look at a
numeric address costs a socket: it connects at once, without waiting, and one thread waits for all of them.  The system
waits itself for what it is asked about names, so these have a thread each.
"""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ..background import Deadline, start
from ..endpoint import is_numeric
from ..errors import ThreadStartError
from .sockets import (
    Resolution,
    Route,
    SocketAddress,
    TCPOutcome,
    connect_first,
    look_up_numeric,
    outcome_of,
    resolve,
)

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

_GRACE = 1.0
"""Seconds for a thread to say that its time is over, on a busy machine."""
_STALE = 5.0
"""Seconds after its end at which a look says nothing about now."""
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR)


class EarlyLook:
    """Name resolution and TCP on a route, within so many seconds; no byte is sent."""

    def __init__(self, route: Route, seconds: float) -> None:
        self.deadline = Deadline.after(seconds)
        self._for = route, seconds
        self._resolved: queue.SimpleQueue[Resolution | None] = queue.SimpleQueue()
        self._attempted: queue.SimpleQueue[tuple[TCPOutcome, ...] | None] = queue.SimpleQueue()

    def fits(self, route: Route, seconds: float) -> bool:
        """Whether it is the look that somebody wants now who allows it so many seconds."""
        return self._for == (route, seconds) and self.deadline.clock() < self.deadline.at + _STALE

    def resolution(self) -> Resolution | None:
        """What the name resolution said, given once; None where nothing is known."""
        return self._given(self._resolved)

    def attempts(self) -> tuple[TCPOutcome, ...] | None:
        """What became of the attempts to connect, given once; None where nothing is known."""
        return self._given(self._attempted)

    def _given(self, answers: queue.SimpleQueue[T | None]) -> T | None:
        with suppress(queue.Empty):
            return answers.get(timeout=self.deadline.remaining + _GRACE)
        return None

    def answer(self, *, resolution: Resolution | None = None, attempts: tuple[TCPOutcome, ...] | None = None) -> None:
        """Give what whoever waits for it is to get; without anything, that nothing is known."""
        if resolution is not None or attempts is None:
            self._resolved.put(resolution)
        if attempts is not None or resolution is None:
            self._attempted.put(attempts)

    def run(self) -> None:
        try:
            # Anew: while much is imported a thread may wait for its turn, and that takes nothing from anybody's time.
            deadline = self.deadline = Deadline.after(self._for[1])
            found = resolve(self._for[0], deadline)
            self.answer(resolution=found)
            self.answer(attempts=connect_first(found.addresses, deadline))
        finally:
            self.answer()  # comes second where there was something to say


class EarlyLooks:
    """Looks side by side, each under way from when it is asked for.

    At the end of a ``with`` statement a thread takes over what has no answer yet; where an exception ends it, or there
    is no thread, nothing is known of those.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._connecting: dict[socket.socket, tuple[EarlyLook, SocketAddress, float]] = {}

    def begin(self, route: Route, seconds: float) -> EarlyLook:
        """Begin a look; ThreadStartError where it needs a thread, and none can be started."""
        look = EarlyLook(route, seconds)
        if route.path or route.tunnel is not None or not is_numeric(route.host):
            start(look.run, "milvus-profiles look")
            return look
        found = look_up_numeric(route)
        look.answer(resolution=found)
        if found.addresses:  # one, as it is numeric
            self._connect(look, found.addresses[0])
        else:
            look.answer(attempts=())
        self._judge(0.0)  # on the same machine most have an answer by now
        return look

    def _connect(self, look: EarlyLook, address: SocketAddress) -> None:
        began = look.deadline.clock()
        try:
            opened = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as error:
            look.answer(attempts=(outcome_of(address, error, 0.0),))
            return
        self._connecting[opened] = look, address, began
        opened.setblocking(False)
        number = opened.connect_ex((address.host, address.port))
        if number in _UNDER_WAY:
            self._selector.register(opened, selectors.EVENT_WRITE)
        else:
            self._settle(opened, _refusal(number))

    def _judge(self, seconds: float) -> None:
        """Answer for those of which something is known within so many seconds."""
        for key, _ in self._selector.select(seconds):
            opened = key.fileobj
            assert isinstance(opened, socket.socket)
            self._selector.unregister(opened)
            self._settle(opened, _refusal(opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def _settle(self, opened: socket.socket, refusal: OSError | None) -> None:
        look, address, began = self._connecting.pop(opened)
        opened.close()
        look.answer(attempts=(outcome_of(address, refusal, look.deadline.clock() - began),))

    def _watch(self) -> None:
        try:
            while self._connecting:
                # Before the selector is asked: what has an answer by then gets it, however late this thread comes.
                over = [opened for opened, (look, _, _) in self._connecting.items() if look.deadline.has_passed]
                first = min(look.deadline.remaining for look, _, _ in self._connecting.values())
                self._judge(first)
                for opened in over:
                    if opened in self._connecting:
                        self._selector.unregister(opened)
                        self._settle(opened, TimeoutError())
        finally:
            self._close()

    def _close(self) -> None:
        for opened, (look, _, _) in self._connecting.items():
            opened.close()
            look.answer()
        self._connecting.clear()
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._connecting:
            with suppress(ThreadStartError):
                start(self._watch, "milvus-profiles look")
                return
        self._close()


def _refusal(number: int) -> OSError | None:
    return OSError(number, os.strerror(number)) if number else None
