"""What a pool for threads does apart from its borrowers: it makes the core's plans and carries them out.

One worker thread per pool makes the plans; each channel is opened, tested and closed in a thread of its own, so that a
dead address delays nobody else.  A program may throw an exception into any of them, and then goes by what exists: an
action without a job is begun again, a job whose thread is gone counts as failed, and the core counts anew.  The worker
runs while there are channels or somebody waits; it knows the core but not the pool, which can be dropped.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from ..background import Latch, start
from ..errors import PoolError, ThreadStartError
from .core import Core, Event
from .reports import leak_message, tell_leak
from .state import Action, CheckHealth, Close, Leak, Open, PoolEntry, Wake, Work

if TYPE_CHECKING:
    from .connector import PooledChannel
    from .reports import Telemetry

_LOST = 1.0
"""Seconds after which a job that has not begun is taken to have lost its thread."""


class Result(NamedTuple):
    """What came of an action; see :meth:`Core.done`."""

    value: Any = None
    error: BaseException | None = None


class Job:
    """An action that a thread of its own carries out by ``work``; the inbox, the worker's, is woken at the end."""

    __slots__ = ("_asked", "_begun", "_inbox", "_result", "_running", "_work", "action")

    def __init__(self, action: Work, work: Callable[[Work], Result], inbox: SimpleQueue[None]) -> None:
        self.action = action
        self._begun = False  # its thread runs, or ran
        self._work = work
        self._inbox = inbox
        self._running = threading.Lock()
        self._result: Result | None = None
        self._asked = time.monotonic()

    def run(self) -> None:
        """Carry it out; once, however often it is begun."""
        try:
            with self._running:
                if not self._begun:
                    self._begun = True
                    self._result = self._work(self.action)
        finally:
            self._inbox.put(None)

    def is_lost(self) -> bool:
        """Whether it is to be begun again: its thread was ended before it began, or before it had closed a channel."""
        if self._result is not None or self._running.locked() or time.monotonic() < self._asked + _LOST:
            return False
        if self._begun and not isinstance(self.action, Close):
            return False
        self._asked = time.monotonic()
        self._begun = False
        return self._result is None

    def not_started(self, error: ThreadStartError) -> None:
        # Without a health check it is as good as it was.
        self._result = Result(True) if isinstance(self.action, CheckHealth) else Result(error=error)
        self._begun = True
        self._inbox.put(None)

    def result(self) -> Result | None:
        """What came of it; None as long as it goes on."""
        if not self._begun or self._running.locked() or self._result is not None:
            return self._result
        # Its thread ended without a word: it failed, or somebody threw an exception into it.
        if isinstance(self.action, Close):
            return None  # it is begun again
        return Result(error=PoolError("opening the connection was interrupted", hint="try again"))


class CoreCall:
    """An event that the worker tells the core on behalf of another thread."""

    def __init__(self, event: Event) -> None:
        self.ended = Latch()
        self._event = event
        self._answer: Any = None
        self._error: Exception | None = None

    def run(self, core: Core, now: float) -> bool:
        """Tell the core, whose lock is held; False if that did not come to its end."""
        try:
            self._answer = self._event(core, now)
        except Exception as error:
            self._error = error
            return False
        return True

    def result(self) -> Any:
        """What the core answered; None if it was not told."""
        if self._error is not None:
            raise self._error
        return self._answer


_LAST_MOMENTS = 2.0
"""Seconds that cutting off what is left may take after the deadline of a close."""

_ACCIDENTS = 5
"""Turns in a row that may be cut short; after that it is a fault of this code, and to be seen."""

_LOOK = 0.5
"""Seconds after which whoever waits for the worker sees whether there still is one."""


class Worker:
    """Makes the plans of a pool and carries them out; guard and lock are held for no I/O."""

    def __init__(
        self,
        core: Core,
        guard: AbstractContextManager[object],
        lock: AbstractContextManager[object],
        open_channel: Callable[[str], PooledChannel],
        clock: Callable[[], float],
    ) -> None:
        self.recorder: Telemetry | None = None
        self._core = core
        self._guard = guard
        self._lock = lock
        self._open_channel = open_channel
        self._clock = clock
        self._calls: deque[CoreCall] = deque()
        # Its put() is safe in signal handlers and finalizers, too.
        self._inbox: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        # Held by the worker's thread as long as it runs, whatever ends it.
        self._working = threading.Lock()
        self._is_leaving = False
        self._needs_repair = False
        self._accidents = 0
        self._jobs: dict[PoolEntry, Job] = {}
        self._ended = Latch()
        # A lease keeps a channel, and a channel the thread: there is somebody to read this.
        core.dropped.notify = partial(self._inbox.put, None)
        _WORKERS.add(self)

    # --- for the pool --------------------------------------------------------------------------------------------

    def notify(self) -> None:
        """Have a plan made, if there is anything to plan; a ThreadStartError says that nobody is there to make it."""
        if self._core.dirty or self._core.dropped:
            self._inbox.put(None)
            self._ensure_thread()

    def notify_if_possible(self) -> None:
        """As `notify`; where there is no thread, the plan is left to the next who notifies."""
        with contextlib.suppress(ThreadStartError):
            self.notify()

    def call(self, event: Event, seconds: float = math.inf) -> Any:
        """Tell the core something, in the worker's thread, and return what it answers; None where that takes longer.

        The event is called with the lock held; again, where an exception was thrown into it.

        Raises:
            ThreadStartError: there is no thread to do so.
        """
        call = CoreCall(event)
        self._calls.append(call)
        until = time.monotonic() + seconds
        while True:
            self._inbox.put(None)
            self._ensure_thread()
            left = until - time.monotonic()
            if call.ended.wait(min(left, _LOOK)) or left <= 0:
                return call.result()

    def close(self, timeout: float) -> None:
        """Close the core, and wait until no channel is left; after the timeout everything is cut off."""
        began, deadline = time.monotonic(), self._clock() + timeout
        try:
            self.call(lambda core, _: core.close(deadline), timeout + _LAST_MOMENTS)
        except ThreadStartError:
            # Without a thread there is no channel either.
            with self._guard, self._lock:
                self._core.close(deadline)
        while self._core.total and not self._ended.is_set:
            left = timeout + _LAST_MOMENTS - (time.monotonic() - began)
            if self._ended.wait(min(left, _LOOK)) or left <= 0:
                return
            self._inbox.put(None)
            with contextlib.suppress(ThreadStartError):
                self._ensure_thread()

    def orphan(self) -> bool:
        """The pool is no more: close all channels, if there are any.  For a finalizer, so it takes no lock."""
        if self._core.is_closed or not self._core.total:
            return False
        self._calls.append(CoreCall(lambda core, now: core.close(now)))
        self._inbox.put(None)
        return True

    def abandon(self) -> None:
        _WORKERS.discard(self)

    # --- the thread ----------------------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        """To be called after what is to be done was put in: a worker that leaves looks for that last."""
        if self._is_there():
            return
        with self._starting:
            if not self._is_there():
                begun = Latch()
                start(partial(self._run, begun), "milvus-profiles pool")
                begun.wait(_LOOK)

    def _is_there(self) -> bool:
        with self._guard, self._lock:
            return self._working.locked() and not self._is_leaving

    def _run(self, begun: Latch) -> None:
        with self._working:
            self._is_leaving = False
            self._needs_repair = bool(self._core.total)  # the one before was killed
            begun.set()
            while True:
                try:
                    while (wake_at := self._turn()) is not None:
                        self._accidents = 0
                        self._sleep(wake_at)
                    return
                except BaseException:  # noqa: PERF203
                    # Somebody threw it in, most likely; what it cut short is found by what exists.
                    self._needs_repair = True
                    self._accidents += 1
                    if self._accidents >= _ACCIDENTS:
                        raise

    def _sleep(self, wake_at: float) -> None:
        with contextlib.suppress(Empty):
            if wake_at == math.inf:
                self._inbox.get()
            else:
                self._inbox.get(timeout=min(max(0.0, wake_at - self._clock()), threading.TIMEOUT_MAX))

    def _turn(self) -> float | None:
        """Tell the core, make a plan, carry it out; returns until when to sleep, None where nothing is left to do."""
        core = self._core
        self._answer_calls()
        self._gather()
        if self._needs_repair:
            self._repair()
        while True:
            with self._guard, self._lock:
                actions = core.plan(self._clock())
                again = bool(core.dirty)
            for action in actions:
                self._perform(action)
            if not again:
                break
        with self._guard, self._lock:
            if core.is_closed and not core.total:
                self._ended.set()
            if self._calls or core.dirty or core.dropped:
                return -math.inf
            if self._jobs:
                return min(core.wake_at, self._clock() + _LOST)
            if core.total:
                return core.wake_at
            self._is_leaving = True
            return None

    def _answer_calls(self) -> None:
        while self._calls:
            call = self._calls[0]
            with self._guard, self._lock:
                self._needs_repair |= not call.run(self._core, self._clock())
            call.ended.set()
            # Last, so that none is lost; told twice, the core does not mind.
            self._calls.popleft()

    def _gather(self) -> None:
        for entry, job in list(self._jobs.items()):
            if job.is_lost():
                self._begin(job)
            elif (result := job.result()) is not None:
                with self._guard, self._lock:
                    self._core.done(job.action, *result, self._clock())
                self._jobs.pop(entry, None)

    def _repair(self) -> None:
        with self._guard, self._lock:
            lost = [action for action in self._core.recount(self._clock()) if action.entry not in self._jobs]
        for action in lost:
            self._perform(action)
        self._needs_repair = False

    def _perform(self, action: Action) -> None:
        if isinstance(action, Wake):
            with contextlib.suppress(RuntimeError):  # he was woken before
                action.signal.release()
        elif isinstance(action, Leak):
            tell_leak(action)
            _warn(leak_message(action))
        else:
            job = Job(action, self._work, self._inbox)
            self._jobs[action.entry] = job
            self._begin(job)

    def _begin(self, job: Job) -> None:
        try:
            start(job.run, "milvus-profiles pool job")
        except ThreadStartError as error:
            if isinstance(job.action, Close):
                job.run()
            else:
                job.not_started(error.with_traceback(None))

    # --- jobs ----------------------------------------------------------------------------------------------------

    def _work(self, action: Work) -> Result:
        entry = action.entry
        if isinstance(action, Open):
            return self._open(entry)
        if isinstance(action, CheckHealth):
            return Result(entry.channel.is_healthy(math.inf))
        try:
            entry.channel.close(max(0.0, action.deadline - self._clock()))
        except Exception as error:  # there is nobody to raise it to, and no more to be done
            sys.excepthook(type(error), error, error.__traceback__)
        return Result()

    def _open(self, entry: PoolEntry) -> Result:
        try:
            channel = self._open_channel(entry.key.name)
        except BaseException as error:
            return Result(error=error.with_traceback(None))
        _close_first_at_exit()
        if self.recorder is not None:
            self.recorder.took("create_time", entry.key.name, self._clock() - entry.born)
        return Result(channel)

    def close_at_exit(self) -> None:
        for entry in self._core.open_entries():
            entry.channel.close(0.0)


def _warn(message: str) -> None:
    try:
        warnings.warn(message, ResourceWarning, stacklevel=2)
    except ResourceWarning as error:
        # Where warnings are errors, there is nobody here to raise it to: the borrower is elsewhere.
        threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))


_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()


def _at_exit() -> None:
    for worker in list(_WORKERS):
        worker.close_at_exit()


def _close_first_at_exit() -> None:
    """Close channels before what they lead to: Milvus Lite's stop, registered later, would run before."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
