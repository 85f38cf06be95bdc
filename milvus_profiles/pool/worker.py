"""What a pool for threads does apart from its borrowers: it makes the core's plans and carries them out.

One worker thread per pool makes the plans; each channel is opened, tested and closed in a thread of its own, so that a
dead address delays nobody else.  No signal is handled in these threads, so nothing here is cut short.  The worker runs
while there are channels or somebody waits; it knows the core but not the pool, which can be dropped.
"""

from __future__ import annotations

import atexit
import math
import threading
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .base import Recorder, leak_message
from .core import Core
from .crowd import Crowd
from .state import Action, Close, Leak, Member, Open, Test, Wake

if TYPE_CHECKING:
    from .links import Link

__all__ = ["Event", "Worker"]

Event = Callable[[Core, float], Any]
"""Tells the core something; the second argument is the time."""

_LAST_MOMENTS = 2.0
"""Seconds that cutting off what is left may take after the deadline of a close."""


class Worker:
    """Makes the plans of a pool and carries them out.

    Args:
        core: of the pool.
        crowd: its lock guards the core; it is held for no I/O.
        open_link: opens a channel of a key.
        clock: monotonic seconds.

    Attributes:
        recorder: what is told how long opening took; None for nobody.
    """

    def __init__(self, core: Core, crowd: Crowd, open_link: Callable[[str], Link], clock: Callable[[], float]) -> None:
        self.recorder: Recorder | None = None
        self._core = core
        self._crowd = crowd
        self._lock = crowd.lock
        self._open_link = open_link
        self._clock = clock
        # Its put() is safe in signal handlers and finalizers, too.
        self._inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._jobs: list[threading.Thread] = []
        self._ended = threading.Event()
        # A lease keeps a channel, and a channel the thread: there is somebody to read this.
        core.dropped.notify = partial(self._inbox.put, None)
        _WORKERS.add(self)

    # --- for the pool --------------------------------------------------------------------------------------------

    def poke(self) -> None:
        """Have a plan made, if there is anything to plan."""
        if self._core.dirty or self._core.dropped:
            self._inbox.put(None)
            self._ensure_thread()

    def call(self, event: Event) -> Any:
        """Tell the core something, in the worker's thread, and return what it answers.

        Args:
            event: called with the lock held.
        """
        call = _Call(event)
        self._inbox.put(call)
        self._ensure_thread()
        return call.result()

    def join(self, timeout: float) -> None:
        """After ``close``: wait until no channel and no thread is left.

        Args:
            timeout: seconds until everything is cut off.
        """
        until = self._clock() + timeout + _LAST_MOMENTS
        self._ended.wait(min(timeout + _LAST_MOMENTS, threading.TIMEOUT_MAX))
        thread = self._thread
        for each in (*self._jobs, *(() if thread is None else (thread,))):
            if each is not threading.current_thread():
                each.join(max(0.0, until - self._clock()))

    def orphan(self) -> bool:
        """The pool is no more: close all channels.  For a finalizer, so it takes no lock.

        Returns:
            Whether there were any.
        """
        if self._core.is_closed or not self._core.total:
            return False
        self._inbox.put(_Call(lambda core, now: core.close(now)))
        return True

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent."""
        _ABANDONED.append(self)  # kept, so that the garbage collector does not close the parent's channels
        _WORKERS.discard(self)
        for member in self._members():
            member.link.abandon()

    def _members(self) -> list[Member]:
        return [member for key in self._core.keys.values() for member in key.members if member.link is not None]

    # --- the thread ----------------------------------------------------------------------------------------------

    def _ensure_thread(self) -> None:
        with self._crowd, self._lock:
            if self._thread is not None:
                return
            thread = self._thread = threading.Thread(target=self._run, name="milvus-profiles pool", daemon=True)
        try:
            thread.start()
        except BaseException:
            if thread.ident is None:
                self._thread = None
            raise

    def _run(self) -> None:
        call: _Call | None = None
        try:
            while (wake_at := self._turn(call)) is not None:
                call = self._next(wake_at)
        finally:
            if self._thread is threading.current_thread():
                self._thread = None  # it failed: the next to come starts another

    def _next(self, wake_at: float) -> _Call | None:
        try:
            if wake_at == math.inf:
                return self._inbox.get()
            return self._inbox.get(timeout=min(max(0.0, wake_at - self._clock()), threading.TIMEOUT_MAX))
        except Empty:
            return None

    def _turn(self, call: _Call | None) -> float | None:
        """Tell the core, make a plan, carry it out; returns until when to sleep, None where nothing is left to do."""
        core = self._core
        if call is not None:
            with self._crowd, self._lock:
                call.run(core, self._clock())
        while True:
            with self._crowd, self._lock:
                actions = core.plan(self._clock())
                again = bool(core.dirty)
            for action in actions:
                self._perform(action)
            if not again:
                break
        with self._crowd, self._lock:
            if core.is_closed and not core.total:
                self._ended.set()
            if not core.total and self._inbox.empty():
                self._thread = None
                return None
            return core.wake_at

    def _perform(self, action: Action) -> None:
        if isinstance(action, Wake):
            action.waiter.signal.release()
        elif isinstance(action, Leak):
            _warn(leak_message(action))
        else:
            self._jobs = [job for job in self._jobs if job.is_alive()]
            job = threading.Thread(target=self._do, args=(action,), name="milvus-profiles pool job", daemon=True)
            try:
                job.start()
            except RuntimeError as error:  # there are too many threads
                self._not_started(action, error)
            else:
                self._jobs.append(job)

    # --- jobs ----------------------------------------------------------------------------------------------------

    def _do(self, action: Open | Close | Test) -> None:
        member = action.member
        if isinstance(action, Open):
            self._open(member)
        elif isinstance(action, Test):
            good = False
            try:
                good = member.link.is_good(math.inf)
            finally:
                self._tell(lambda core, now: core.tested(member, good, now))
        else:
            try:
                member.link.close(max(0.0, action.deadline - self._clock()))
            finally:
                self._tell(lambda core, _: core.closed(member))

    def _open(self, member: Member) -> None:
        try:
            link = self._open_link(member.key.name)
        except BaseException as error:
            cause = error.with_traceback(None)
            self._tell(lambda core, now: core.open_failed(member, cause, now))
            return
        _close_first_at_exit()
        if self.recorder is not None:
            self.recorder.created(member.key.name, self._clock() - member.born)
        self._tell(lambda core, now: core.opened(member, link, now))

    def _not_started(self, action: Open | Close | Test, error: RuntimeError) -> None:
        member = action.member
        if isinstance(action, Open):
            self._tell(lambda core, now: core.open_failed(member, error, now))
        elif isinstance(action, Test):
            self._tell(lambda core, now: core.tested(member, True, now))
        else:
            self._do(action)

    def _tell(self, event: Event) -> None:
        with self._crowd, self._lock:
            event(self._core, self._clock())
        self.poke()

    def close_at_exit(self) -> None:
        """Close what is left when the process ends."""
        for member in self._members():
            member.link.close(0.0)


class _Call:
    """An event that the worker tells the core on behalf of another thread."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def run(self, core: Core, now: float) -> None:
        """Tell the core; the lock is held."""
        try:
            self._outcome.put((self._event(core, now), None))
        except Exception as error:
            self._outcome.put((None, error))

    def result(self) -> Any:
        """Wait until it was told, and return what the core answered."""
        answer, error = self._outcome.get()
        if error is not None:
            raise error
        return answer


def _warn(message: str) -> None:
    try:
        warnings.warn(message, ResourceWarning, stacklevel=2)
    except ResourceWarning as error:
        # Where warnings are errors, there is nobody here to raise it to: the borrower is elsewhere.
        threading.excepthook(threading.ExceptHookArgs((type(error), error, None, threading.current_thread())))


_WORKERS: weakref.WeakSet[Worker] = weakref.WeakSet()
_ABANDONED: list[Worker] = []


def _at_exit() -> None:
    for worker in list(_WORKERS):
        worker.close_at_exit()


def _close_first_at_exit() -> None:
    """Close channels before what they lead to: Milvus Lite's stop, registered later, would run before."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)
