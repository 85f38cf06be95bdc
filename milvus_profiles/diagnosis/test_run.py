"""A test as it runs: the stages so far, each with its time, and the end that a failure or its caller makes.

It knows no network and no profile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from ..background import Deadline, RetryUntilReady
from ..errors import MilvusProfilesError, ServerNotReadyError, UnreachableError
from .report import INFORMATION, STAGES, Report, Stage, StageName, Status


class Cancelled(Exception):
    """Whoever asked for the test wants it no more."""


class Cancellation:
    """Ends a test from another thread: nothing new begins, and what waits for the server is closed."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._close: Callable[[], None] | None = None

    def cancel(self) -> None:
        self._wanted.set()
        with self._guard:
            close, self._close = self._close, None
        if close is not None:
            close()

    def check(self) -> None:
        if self._wanted.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Wait; raise Cancelled if somebody cancels meanwhile."""
        self._wanted.wait(seconds)
        self.check()

    @contextmanager
    def closing(self, close: Callable[[], None]) -> Iterator[None]:
        """Have something closed at once when the test is cancelled, beside the one who ends it in order."""
        with self._guard:
            self._close = close
        try:
            self.check()
            yield
        finally:
            with self._guard:
                self._close = None


T = TypeVar("T")

_MORE = 0.75
"""Seconds after the time of a try for everything that only tells more."""


class StageFailed(Exception):
    """A stage failed; the rest is skipped."""


def broken(error: Exception) -> MilvusProfilesError:
    """A finding like others of an error that nobody raised on purpose; only its type is told.

    Whoever keeps it keeps no frames, his own among them, and what is open in those.
    """
    if isinstance(error, MilvusProfilesError):
        return error.with_traceback(None)
    return MilvusProfilesError(
        f"the examination itself failed: {type(error).__name__}",
        hint="run it again with --verbose; if it stays, this is a bug of milvus-profiles: report it",
    )


class RetryBudget:
    """Tries a step of connecting as ``connect`` does: within so many seconds, and again while there is time to wait.

    ``first`` is the end of a first try that has begun already.
    """

    def __init__(
        self, limit: float, wait: float | None, cancellation: Cancellation, first: Deadline | None = None
    ) -> None:
        self._limit = limit
        self._waiting = RetryUntilReady(wait)
        self._cancellation = cancellation
        self._deadline = Deadline.after(limit) if first is None else first

    def renew(self) -> None:
        """Give what comes next the whole time of a try."""
        self._deadline = Deadline.after(self._limit)

    def rest(self, seconds: float) -> Deadline:
        """When something has to be done that only tells more: so soon, and all of it little after the time of a try."""
        return Deadline(self._deadline.at + _MORE, self._deadline.clock).sooner(seconds)

    def __call__(self, step: Callable[[Deadline], T]) -> T:
        """Try a step, with its deadline; the error is that of the last try, or Cancelled."""
        while True:
            self._cancellation.check()
            try:
                return step(self._deadline)
            except (ServerNotReadyError, UnreachableError) as error:
                if (pause := self._waiting.pause_after(error)) is None:
                    raise
            self._cancellation.pause(pause)
            self.renew()


@dataclass
class StageDraft:
    """A stage while it runs; a time in ``ms`` is shown in place of the one that it took."""

    detail: str = ""
    status: Status = "ok"
    hint: str | None = None
    notes: list[str] = field(default_factory=list)
    ms: float | None = None

    def warn(self, message: str, hint: str | None = None) -> None:
        """Have the stage pass with a warning, in addition to what it says already."""
        self.status = "warning"
        self.detail = f"{self.detail}; {message}" if self.detail else message
        self.advise(hint)

    def advise(self, hint: str | None) -> None:
        if hint:
            self.hint = f"{self.hint}; {hint}" if self.hint else hint

    def skip(self, why: str) -> None:
        self.status, self.detail, self.ms = "skipped", why, 0.0


class TestRun:
    """The stages of one test as they end; ``on_stage`` is called with each."""

    def __init__(self, alias: str, on_stage: Callable[[Stage], None] | None, cancellation: Cancellation) -> None:
        self.alias = alias
        self.version: str | None = None
        self.cancellation = cancellation
        self._exit_code = 0
        self._on_stage = on_stage
        self._stages: list[Stage] = []

    @contextmanager
    def stage(self, name: StageName, remedy: str | None = None) -> Iterator[StageDraft]:
        """Time a stage; an error in its body fails it, and with it the test, whatever raised it.

        A stage that only informs passes with a warning then.  ``remedy`` is for an error that has none of its own.

        Raises:
            StageFailed, Cancelled: nothing comes after it.
        """
        self.cancellation.check()
        stage, began = StageDraft(), time.perf_counter()
        failure: MilvusProfilesError | None = None
        try:
            yield stage
        except (StageFailed, Cancelled):
            raise
        except Exception as error:
            failure = broken(error)
        # A channel that was closed under a call fails it; that is not the server's fault.
        self.cancellation.check()
        ms = (time.perf_counter() - began) * 1000 if stage.ms is None else stage.ms
        if failure is not None and name in INFORMATION:
            stage.warn(failure.message, failure.hint)
            failure = None
        if failure is None:
            self._add(Stage(name, stage.status, ms, stage.detail, stage.hint, notes=tuple(stage.notes)))
            return
        stage.detail = f"{failure.location}: {failure.message}" if failure.location else failure.message
        hint = "; ".join(part for part in (failure.hint, stage.hint) if part) or remedy
        self._skip_until(name)
        self._exit_code = failure.exit_status
        self._add(Stage(name, "failed", ms, stage.detail, hint, failure.code, tuple(stage.notes)))
        # Not the error itself as the cause: whoever holds this one must not hold its frames.
        raise StageFailed from None

    def _add(self, stage: Stage) -> None:
        self._stages.append(stage)
        if self._on_stage is not None:
            self._on_stage(stage)

    def _skip_until(self, name: StageName | None) -> None:
        seen = {stage.name for stage in self._stages}
        for other in STAGES:
            if other == name:
                return
            if other not in seen:
                self._add(Stage(other, "skipped"))

    def report(self) -> Report:
        self._skip_until(None)
        return Report(self.alias, self._exit_code, self.version, tuple(self._stages))
