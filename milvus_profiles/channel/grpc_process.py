"""gRPC in this process: imported quietly, given threads, kept out of forks, and rid of what an interrupt left.

Nothing else in the package may import it: gRPC writes what a server says as it closes a connection, unescaped, to
standard error, at the level INFO; only the variable ``GRPC_VERBOSITY`` sets the level, which is read once (from 1.76 at
the import, before at the first channel).  It is set for that moment only, and not where the user set it or asked for
traces.  Where somebody else imported grpc first, the level is what that read.

An interrupt in the middle of gRPC may leave a lock of its held: it guards a channel by a ``threading.Condition``, whose
``with`` goes through Python code, and every other call on the channel, and closing it, then waits for ever (seen by an
interrupt at each place of a call, in 6 of 129).  Elsewhere it may lose sight of a call, or believe that a thread runs
which was never started.  So the locks of a channel and of its calls are entered without Python code, one that is held
is let go of, and the channel is given up for another.  Closing may wait for ever even so, and gRPC closes a dropped
channel, too, in whatever thread the garbage collector runs just then: a thread of ours does it instead.

Source: grpcio 1.66 to 1.85, measured.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakSet

from ..background import start, start_new
from ..errors import ThreadStartError
from ..masked import even_half_made
from ..thread_limits import require

_VARIABLE, _LEVEL = "GRPC_VERBOSITY", "ERROR"
_ASKED_FOR = (_VARIABLE, "GRPC_TRACE")
_guard = threading.Lock()
_was_read = False


@contextmanager
def quietly() -> Iterator[None]:
    """Have gRPC read its level as ERROR, the next above INFO that it knows; nothing where it was read already."""
    global _was_read
    if _was_read or any(name in os.environ for name in _ASKED_FOR):
        yield
        return
    with _guard:
        os.environ[_VARIABLE] = _LEVEL
        try:
            yield
        finally:
            os.environ.pop(_VARIABLE, None)
            _was_read = True


with quietly():
    import grpc as grpc
    import grpc.aio

_was_read = tuple(int(part) for part in grpc.__version__.split(".")[:2]) >= (1, 76)


_LONGEST_WAIT = 0.2
"""Seconds that a fork waits for calls to end; most take a few milliseconds."""

_LOOK = 0.0005  # seconds between two looks whether the fork has happened


class Pausable(Protocol):
    """What calls go through; none begins while a fork is pending."""

    def wait_for_fork(self, timeout: float) -> None:
        """Wait until no call is under way, so many seconds at most."""

    def forked(self) -> None:
        """In the child: whoever held a lock is not here to let go of it."""


class ForkPause:
    """Has a fork wait for the calls that are under way, and calls that begin for the fork.

    gRPC prepares itself for a fork, but not while a thread is inside one of its functions ("skipping fork() handlers").
    The child then goes on with the parent's epoll set, and each takes events of the other: calls of the parent failed,
    and now and then gRPC aborted a process (measured with four threads calling, on a busy machine: 1 in 20).

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


PAUSE = ForkPause()  # that of the process


C = TypeVar("C")

# gRPC ends its poller as the last channel of grpc.aio is freed, which a closed one is with the last call on it, or with
# the error of one, whose frames hold the call.  It then waits for the poller's thread, which no forked child has: for
# ever, and no other thread runs meanwhile (grpcio 1.66 to 1.85, measured).  So a child frees nothing of it.

_POLLER = "(_poll_wrapper)"  # how the name of its thread ends, which Python makes from its function's

_kept: list[Any] = []
_is_polling = False


def _before_fork() -> None:
    global _is_polling
    _is_polling = any(thread.name.endswith(_POLLER) for thread in threading.enumerate())


def _after_fork_in_child() -> None:
    if _is_polling:
        # They take no weak references, so they cannot be remembered when they are made.
        _kept.extend(each for each in gc.get_objects() if type(each).__name__ == "AioChannel")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


_FURTHER: Final = 8
"""Threads that gRPC starts beside those for work, of which there is one for each processor, from 2 to 16; and some to
spare for who else starts threads just now."""

_Ground = tuple[int, tuple[Any, ...]]

_GOOD_FOR: Final = 1.0
"""Seconds for which a look that found threads is believed, as long as this process has the same limits and no more
threads than then: it takes 2 ms, half as long as connecting, and a program may open one channel after the other."""

_looked: dict[bool, tuple[float, _Ground | None]] = {}  # when they were found, for asyncio or not, and on what ground

_open: weakref.WeakSet[Any] = weakref.WeakSet()
"""Channels because of which gRPC's threads run.  What others opened is not among them, and then the look is for
nothing."""


def need_threads(*, for_asyncio: bool = False) -> None:
    """See, before gRPC starts its threads, that there are some to be had; ThreadStartError where there are too few.

    It starts them with the first open channel of a process and ends them with the last one.  Where it cannot, it ends
    the process ("Failed to start lifeguard thread", grpcio 1.85), so nobody would learn why.
    """
    ground = _ground()
    if for_asyncio and not _holds(True, ground):  # which waits in a thread of Python's besides
        start_new(lambda: None, "milvus-profiles look")
        _looked[True] = time.monotonic(), ground
    if not _open and not _holds(False, ground):
        require(max(2, min(16, os.cpu_count() or 1)) + _FURTHER)
        _looked[False] = time.monotonic(), ground


def _ground() -> _Ground | None:
    """What a look depends on in this process: how many threads run, and its limits; None where that is not known."""
    if sys.platform == "win32":
        return None
    import resource

    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return None
    return threads, (os.getpid(), resource.getrlimit(resource.RLIMIT_NPROC), resource.getrlimit(resource.RLIMIT_AS))


def _holds(for_asyncio: bool, ground: _Ground | None) -> bool:
    """Whether what the last look found still holds."""
    at, last = _looked.get(for_asyncio, (0.0, None))
    if last is None or ground is None:
        return False
    return ground[1] == last[1] and ground[0] <= last[0] and time.monotonic() - at < _GOOD_FOR


def opened(channel: C) -> C:
    """Note a channel, and return it."""
    _open.add(channel)
    return channel


def closing(channel: object) -> None:
    """Note that a channel is closed now; it need not be known."""
    _open.discard(channel)


def open_channels() -> list[Any]:
    """Those that are open, for a forked child to keep: where they are dropped, gRPC closes what is the parent's."""
    return list(_open)


_GRPC = os.path.dirname(grpc.__file__) + os.sep
_THREADING = threading.__file__
_RLOCK = type(threading.RLock())

_TRIES = 100  # to let go, begun again after yet another interrupt


@even_half_made
class _EnteredAtOnce(threading.Condition):
    """Its ``with`` calls the methods of its lock, and no Python code is run on the way."""

    __enter__ = property(attrgetter("_lock.__enter__"))  # pyright: ignore[reportAssignmentType]
    __exit__ = property(attrgetter("_lock.__exit__"))  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return super().__repr__()


_dropped: deque[Any] = deque()  # of channels that were dropped without being closed, what gRPC closes them by


def enter_at_once(channel: grpc.Channel) -> grpc.Channel:
    """Have no interrupt leave the lock of a channel held; returns it.

    What of gRPC's insides is not as it is known to be is left as it is, here and in the following.

    Args:
        channel: nobody holds its lock, for nothing has been called on it yet.
    """
    for condition in _hidden(getattr(channel, "_channel", None), "_ChannelState"):
        _set_at_once(condition)
    return channel


def _hidden(part: object, kind: str) -> list[Any]:
    """What a compiled part of gRPC's holds in what it has of this kind."""
    return gc.get_referents(*(inner for inner in gc.get_referents(part) if type(inner).__name__ == kind))


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


class _Due(set[Any]):
    """What gRPC waits for on a call, which is over once nothing of it is under way in gRPC's core.

    gRPC notes that a message is due, then asks for it.  After an interrupt in between, its thread waits for what nobody
    asked for, and closing the channel takes away what it waits on: a segmentation fault now and then.
    """

    under_way: set[Any]
    remove = set.discard  # an error would end the thread that the calls of all need

    def __bool__(self) -> bool:
        return bool(self.under_way)


def prepare_call(rpc: Any) -> None:
    """Have an interrupt do less harm to a call that was begun: gRPC has one thread for those of all."""
    state: Any = getattr(rpc, "_state", None)
    if type(condition := getattr(state, "condition", None)) is threading.Condition:
        _set_at_once(condition)
        for under_way in _hidden(getattr(rpc, "_call", None), "_CallState"):
            if type(under_way) is set and type(getattr(state, "due", None)) is set:
                with condition:
                    due = _Due(state.due)
                    due.under_way = under_way
                    state.due = due


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
    if not inside or innermost.endswith((".pyx", ".pxi")):
        return False  # gRPC's own complaint, or an interrupt while it waited, for which it is prepared
    return not isinstance(error, Exception) or not innermost.startswith(_GRPC)
