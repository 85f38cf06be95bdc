"""Threads of our own: how they are started, waited for, and given up; and the moment by which all has to be done.

Everything that starts a thread in the middle of a user's call starts it here, because three things go wrong elsewhere.
There may be none to be had (a limit of the system, the end of the interpreter), which is to be an error with a remedy.
``Thread.start`` and ``Event.wait`` go through locks in Python code, and an interrupt in there leaves one held for ever:
the new thread never begins, or whoever sets the event never returns.  And what runs in a pool of threads is waited for
when the interpreter ends.  So threads here are daemons, are started by a thread that no signal reaches, and tell by
locks of the interpreter's own, which an interrupt leaves either taken by the ``with`` or not.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import copy
import math
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import DatabaseInUseError, ServerNotReadyError, ThreadStartError, UnreachableError
from .thread_limits import none_left

if TYPE_CHECKING:
    import asyncio


Clock = Callable[[], float]
"""Tells seconds from an arbitrary beginning, never backwards: ``time.monotonic``, or a test's own."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on a monotonic clock.

    Attributes:
        at: the moment, in seconds of ``clock``.
        clock: what tells the time.
    """

    at: float
    clock: Clock = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The moment some seconds from now."""
        return cls(clock() + seconds, clock)

    @property
    def remaining(self) -> float:
        """Seconds that are left; 0 once it has passed, never below."""
        return max(0.0, self.at - self.clock())

    @property
    def has_passed(self) -> bool:
        """Whether nothing is left."""
        return self.remaining == 0.0

    def sooner(self, seconds: float) -> Deadline:
        """This moment, or the one some seconds from now if that comes before it."""
        return Deadline(min(self.at, self.clock() + seconds), self.clock)


_PAUSE, _PAUSE_MAX = 0.1, 1.0


class RetryUntilReady:
    """When to try again while a server is starting, or cannot be reached yet, and there is time to wait.

    Args:
        wait_ready: seconds to wait; None or 0 tries once.
        clock: monotonic seconds.
    """

    def __init__(self, wait_ready: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._wait_ready = wait_ready
        self._clock = clock
        self._until = clock() + (wait_ready or 0.0)
        self._pause = _PAUSE

    def pause_after(self, error: ServerNotReadyError | UnreachableError) -> float | None:
        """Seconds until the next try; None if this one was the last, and then ``error`` says how long was waited."""
        pause = self._pause
        if isinstance(error, DatabaseInUseError) or self._clock() + pause >= self._until:
            if self._wait_ready:
                error.message = f"{error.message} (waited {self._wait_ready:g} s)"
            return None
        self._pause = min(pause * 1.6, _PAUSE_MAX)
        return pause


T = TypeVar("T")

_STARTING = 5.0
"""Seconds that a thread may take to begin; one for which there is no memory never does."""

_thread_of = threading.local()


def start(work: Callable[[], object], name: str) -> None:
    """Run something in a daemon thread; who is interrupted here has started it or not, and nothing is left half done.

    Args:
        work: what to call.
        name: the thread's name.

    Raises:
        ThreadStartError: no thread can be started.
    """
    if sys.is_finalizing():  # there are none any more, and waiting for one would take its time
        raise ThreadStartError("no thread can be started", hint="the interpreter is ending: close what is open before")
    try:
        _idle.pop().put((work, name))
    except IndexError:
        start_new(work, name)


_Work = tuple[Callable[[], object], str]

_idle: deque[queue.SimpleQueue[_Work]] = deque()
"""Where a thread that has done its work waits for more: one at most, and not for long.

Who opens and closes one connection after the other starts no thread for each, which takes a fifth as long as that.
"""

_IDLE_NAME, _IDLE = "milvus-profiles idle", 0.25
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)


def start_new(work: Callable[[], object], name: str) -> None:
    """:func:`start` in a thread that did not run before."""
    answers: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    given: list[_Work] = [(work, name)]

    def run() -> None:
        _thread_of.ours = True
        while given:
            given.pop()[0]()
            if (more := _more()) is not None:
                given.append(more)

    def launch() -> None:
        try:
            threading.Thread(target=run, name=name, daemon=True).start()
        except BaseException as error:
            answers.put(error)
        else:
            answers.put(None)

    failure: BaseException | None
    try:
        _thread.start_new_thread(launch, ())
        failure = answers.get(timeout=_STARTING)
    except (RuntimeError, MemoryError, queue.Empty) as error:
        failure = error
    if failure is not None:
        raise none_left("no thread can be started")


def _more() -> _Work | None:
    """Further work for this thread; None where it is to end."""
    if _idle:
        return None
    mine: queue.SimpleQueue[_Work] = queue.SimpleQueue()
    thread = threading.current_thread()
    thread.name = _IDLE_NAME
    _idle.append(mine)
    try:
        work, thread.name = mine.get(timeout=_IDLE)
    except queue.Empty:
        try:
            _idle.remove(mine)
        except ValueError:  # somebody is about to give it work, unless an interrupt came to him
            try:
                work, thread.name = mine.get(timeout=_STARTING)
            except queue.Empty:
                return None
        else:
            return None
    return work, thread.name


def is_ours() -> bool:
    """Whether this thread was started here, so that no interrupt comes to it."""
    return getattr(_thread_of, "ours", False)


def in_executor(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run something that blocks in a thread of the running event loop's executor.

    Raises:
        ThreadStartError: there is no thread for it.
    """
    import asyncio

    wanted = [contextvars.copy_context()]

    def run() -> T:
        return wanted.pop().run(work)

    try:
        return asyncio.get_running_loop().run_in_executor(None, run)
    except RuntimeError:  # the executor's, when it has to start a thread; the work stays in its queue
        wanted.clear()
    raise none_left("no thread can be started")


_LOOK = 0.5
"""Seconds between two looks whether a thread still runs whose answer is waited for."""


class Latch:
    """Something that happens once, for any number of threads to wait for."""

    __slots__ = ("_waiting", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._waiting: deque[_thread.LockType] = deque()

    def set(self) -> None:
        """It has happened."""
        self.is_set = True
        with contextlib.suppress(IndexError):  # at the end, or where another thread is setting it too
            while True:
                self._waiting.pop().release()

    def wait(self, seconds: float) -> bool:
        """Wait for it, so many seconds at most; whether it has happened."""
        mine = threading.Lock()
        mine.acquire()
        self._waiting.append(mine)
        if not self.is_set:
            mine.acquire(timeout=min(max(0.0, seconds), threading.TIMEOUT_MAX))
            with contextlib.suppress(ValueError):  # it was let go of
                self._waiting.remove(mine)
        return self.is_set


class Pending(Generic[T]):
    """A call that may never return, under way in a thread of its own, so that it does not take its caller along.

    Exceptions do not cross: their tracebacks hold the frames of whoever raised them, secrets included.

    Args:
        work: what to call.
        explain: what is answered instead of an exception, made from it; called in the thread.
        name: the thread's name.

    Raises:
        ThreadStartError: no thread can be started.
    """

    def __init__(self, work: Callable[[], T], explain: Callable[[BaseException], T], name: str) -> None:
        answers: queue.SimpleQueue[T] = queue.SimpleQueue()
        running = threading.Lock()
        begun = Latch()
        self._answers, self._running, self._begun = answers, running, begun

        def run() -> None:
            with running:
                begun.set()
                try:
                    answer = work()
                except BaseException as error:
                    answer = explain(error)
                answers.put(answer)

        start(run, name)

    @property
    def running(self) -> bool:
        """Whether the call has not returned."""
        return self._running.locked() or not self._begun.is_set

    def wait(self, seconds: float) -> T:
        """The answer; it is given once.

        Raises:
            TimeoutError: there was none within this time.
            ThreadStartError: there will be none: somebody has ended the thread.
        """
        until = time.monotonic() + seconds
        begin_by = min(until, time.monotonic() + _STARTING)
        while True:
            try:
                return self._answers.get(timeout=min(max(0.0, until - time.monotonic()), _LOOK))
            except queue.Empty:
                pass
            now = time.monotonic()
            is_dead = not self.running or (not self._begun.is_set and begin_by < now < until)
            if is_dead and self._answers.empty():
                raise ThreadStartError("a thread of this package was ended from outside", hint="try again")
            if not is_dead and now >= until:
                raise TimeoutError


def beside(work: Callable[[], T], name: str, *, again: bool = True) -> T:
    """Do something in a thread of its own and wait for it: an interrupt ends the waiting, and the work goes on.

    Args:
        work: what to call; where there is no thread, or not to its end, it is called here.
        name: the thread's name.
        again: whether it may be called here though it was begun there.

    Raises:
        ThreadStartError: somebody has ended the thread, and it may not.
        BaseException: what it raises, without the frames that it came through.
    """
    failures: list[BaseException] = []
    answers: list[T] = []

    def run() -> None:
        answers.append(work())

    try:
        pending = Pending(run, lambda error: failures.append(error.with_traceback(None)), name)
    except ThreadStartError:
        return work()
    try:
        pending.wait(math.inf)
    except ThreadStartError:
        if not again:
            raise
        return work()
    if failures:
        raise failures.pop()  # the traceback holds this frame
    return answers[0]


class Flight(Generic[T]):
    """Work for several, and what came of it; who does it holds ``turn``, then it is the turn of the next."""

    __slots__ = ("answers", "error", "turn")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.answers: list[T] = []
        self.error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was done, and did not only begin: an interrupt may have ended it."""
        return bool(self.answers) or self.error is not None


class SingleFlight(Generic[T]):
    """Has one thread at a time do for each key what several ask for, and all of them get what came of it.

    Args:
        guard: held, for a moment, while the table of what is under way is changed; never while work is done.
    """

    def __init__(self, guard: AbstractContextManager[object]) -> None:
        self._guard = guard
        self._under_way: dict[Hashable, Flight[T]] = {}

    def join(self, key: Hashable) -> Flight[T]:
        """What is under way for a key, or a beginning; the guard is held."""
        flight = self._under_way.get(key)
        if flight is None or flight.is_over:
            flight = self._under_way[key] = Flight()
        return flight

    def land(self, key: Hashable, flight: Flight[T], work: Callable[[], T]) -> T:
        """The answer of the work, done here unless another thread has done it meanwhile.

        Raises:
            Exception: what the work raised, a copy in each thread: a shared one would gather everybody's traceback.
        """
        with flight.turn:
            if not flight.is_over:
                try:
                    flight.answers.append(work())
                    return flight.answers[0]
                except Exception as error:
                    with contextlib.suppress(Exception):  # of another's class, perhaps none that can be copied
                        flight.error = copy.copy(error)
                    raise
                finally:
                    with self._guard:
                        if flight.is_over and self._under_way.get(key) is flight:
                            del self._under_way[key]
        if flight.error is not None:
            raise copy.copy(flight.error) from None
        return flight.answers[0]
