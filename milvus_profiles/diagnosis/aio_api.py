"""``diagnose`` of the public API for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..background import start
from ..errors import MilvusProfilesError
from .test_run import Cancellation, Cancelled

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..profile import Profile
    from .report import Report, Stage


async def diagnose(
    alias: str | Profile | None = None,
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

    def in_loop(callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(lambda: None if outcome.done() else callback())

    def tell(stage: Stage) -> None:
        if on_stage is not None:
            in_loop(partial(on_stage, stage))

    def run() -> None:
        try:
            # Here, since it takes half a second and more the first time.
            from ..live.opening import secret_context
            from .api import selected
            from .stages import ProfileTest, diagnose_declared

            known, name = selected(alias, profiles)
            test = ProfileTest(secret_context(known, name), timeout, wait_ready, tell, cancellation)
            in_loop(partial(outcome.set_result, diagnose_declared(known, name, test)))
        except Cancelled:
            return
        except BaseException as error:
            in_loop(partial(outcome.set_exception, error))

    # Not the loop's own executor: asyncio.run waits for its threads, a cancelled test's among them.
    start(run, "milvus-profiles diagnose")
    try:
        return await outcome
    except MilvusProfilesError as error:
        error.__traceback__ = None
        raise error
    finally:
        cancellation.cancel()
