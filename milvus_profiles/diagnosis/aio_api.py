"""``diagnose`` of the face for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..background import start
from ..live.opening import secret_context
from .api import selected
from .report import Report, Stage
from .stages import ProfileTest, diagnose_declared
from .test_run import Cancellation, Cancelled

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["diagnose"]


async def diagnose(
    alias: str | None = None,
    *,
    profiles: Profiles | None = None,
    timeout: float | None = None,  # of the test, as for connect; a cancelled task ends it besides
    wait_ready: float | None = None,
    on_stage: Callable[[Stage], None] | None = None,
) -> Report:
    """Test a profile without blocking the event loop; arguments, report and errors are those of
    :func:`milvus_profiles.diagnose`.

    The test runs in a thread of its own: keyrings, name resolution and probes block.  When the task is cancelled the
    thread is told, what waits for the server is closed, and nobody waits for the rest, which its deadlines end.
    ``on_stage`` is called in the event loop.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Report] = loop.create_future()
    cancellation = Cancellation()

    def tell(stage: Stage) -> None:
        notify = on_stage
        if notify is not None:
            _call_soon(loop, lambda: None if outcome.done() else notify(stage))

    def settle(report: Report | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        elif report is not None:
            outcome.set_result(report)

    def run() -> None:
        report: Report | None = None
        failure: BaseException | None = None
        try:
            known, name = selected(alias, profiles)
            test = ProfileTest(secret_context(known, name), timeout, wait_ready, tell, cancellation)
            report = diagnose_declared(known, name, test)
        except Cancelled:
            return
        except BaseException as error:
            failure = error
        _call_soon(loop, lambda: settle(report, failure))

    # Not the loop's own executor: asyncio.run waits for its threads, a cancelled test's among them.
    start(run, "milvus-profiles diagnose")
    try:
        return await outcome
    finally:
        cancellation.cancel()


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        return  # the loop was closed meanwhile: nobody waits
