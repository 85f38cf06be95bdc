"""A call that may never return, kept from taking its caller along.

It runs in a daemon thread, which a thread pool does not offer: a pool joins its threads when the interpreter ends.
Exceptions do not cross: their tracebacks hold the frames of whoever raised them, secrets included.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from ..errors import SecretUnavailableError

__all__ = ["Pending"]

T = TypeVar("T")


class Pending(Generic[T]):
    """A call under way in a thread of its own.

    Args:
        work: what to call.
        explain: what is answered instead of an exception, made from it; called in the thread.
        name: the thread's name.

    Raises:
        SecretUnavailableError: no thread can be started.
    """

    def __init__(self, work: Callable[[], T], explain: Callable[[BaseException], T], name: str) -> None:
        self._answer: queue.SimpleQueue[T] = queue.SimpleQueue()

        def run() -> None:
            try:
                answer = work()
            except BaseException as error:
                answer = explain(error)
            self._answer.put(answer)

        self._thread = threading.Thread(target=run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            raise SecretUnavailableError(
                "no thread can be started to fetch the secret",
                hint="fetch it before the interpreter ends, or see whether the system is out of threads or memory",
            ) from None

    @property
    def running(self) -> bool:
        """Whether the call has not returned."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> T:
        """The answer; it is given once.

        Raises:
            TimeoutError: there was none within this time.
        """
        try:
            return self._answer.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError from None
