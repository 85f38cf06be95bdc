"""Threads for the server of Milvus Lite, which work to the very end of the process.

Python ends each ThreadPoolExecutor as soon as the main thread is through, and only then waits for the other threads.  A
server on such an executor answers nothing from then on: a thread that still uses it waits for ever, and so does whoever
stops the server.  These threads are daemons, so that nothing waits for them but who asks.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from ..background import none_left

__all__ = ["Workers"]

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


class Workers(Executor):
    """An executor whose threads are there from the start: at its end a process can start no new ones."""

    def __init__(self, number: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = False
        self._threads = [
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True) for _ in range(number)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            self.end(0.0)
            raise none_left("Milvus Lite gets too few threads") from None

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call a function; RuntimeError where they were told to end."""
        if self._ended:
            raise RuntimeError("the workers have ended")
        future: Future[T] = Future()
        self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def end(self, timeout: float) -> bool:
        """Take nothing new, and let each thread end with what it does; whether all have ended within these seconds."""
        self._ended = True
        for _ in self._threads:
            self._jobs.put(None)
        until = time.monotonic() + timeout
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in started)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, call = job
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:  # it is for whoever waits for the answer
                future.set_exception(error)
        del job, future, call  # nothing of a call stays alive until the next one
