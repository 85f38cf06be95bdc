"""From a resolved profile to a shared channel of the running event loop: the plans of :mod:`.opening`, awaited.

What blocks (a keyring, a command, the start of Milvus Lite, socket probes) runs in a thread of the loop's executor.
Cancelled at any await, nothing stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..background import in_executor
from ..channel.aio_core import AsyncChannelCore
from ..channel.metadata import TokenHolder
from ..channel.options import open_async_channel
from ..connectable import Connectable
from ..errors import MilvusProfilesError
from ..masked import SecretText
from .aio_shared_channel import AsyncOpenedChannel, AsyncSharedChannel, give_back, release_soon
from .driving import async_drive
from .failure import told
from .handshake import Plan, ServerInfo
from .limit import OPEN_CONNECTIONS
from .opening import OpeningBase, OpeningPlan, lite_of, spec_of
from .spec import context_of

if TYPE_CHECKING:
    from ..channel.lite import LiteLease
    from ..config.profiles import Profiles
    from ..config.resolved import Resolved

__all__ = ["open_async_live"]

T = TypeVar("T")


async def _lite(profile: Connectable) -> LiteLease | None:
    if profile.endpoint.kind != "lite":
        return None
    starting = in_executor(partial(lite_of, profile))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_release_unseen)
        raise


def _release_unseen(starting: asyncio.Future[LiteLease | None]) -> None:
    if not starting.cancelled() and starting.exception() is None and (lease := starting.result()) is not None:
        release_soon(lease)


class _Opening(OpeningBase[AsyncOpenedChannel]):
    """Each step is to be awaited."""

    def find(self) -> Awaitable[SecretText | None]:
        return in_executor(partial(self.spec.find, False))

    async def begin(self) -> None:
        with contextlib.suppress(MilvusProfilesError):
            opened = await self.open(None)
            opened.core.raw.get_state(try_to_connect=True)

    async def open(self, token: SecretText | None, addresses: Sequence[str] = ()) -> AsyncOpenedChannel:
        if self.opened is not None and not addresses:
            self.opened = self.opened.given(token, self.spec)
            return self.opened
        profile = self.spec.profile
        lite = await _lite(profile)
        try:
            raw = open_async_channel(profile, lite_port=lite.port if lite else None, addresses=addresses)
        except BaseException:
            await give_back(lite)
            raise
        holder = TokenHolder(token, db_name=profile.db_name)
        core = AsyncChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=self.spec.refresh)
        self.opened = AsyncOpenedChannel(core, lite, context_of(profile, token, lite))
        return self.opened

    async def shake_hands(self, plan: Plan[ServerInfo], *rest: Any) -> ServerInfo:
        return await async_drive(plan, *rest)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        if self.opened is not None:
            await self.opened.close()

    async def run(self, plan: OpeningPlan[T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    answer = await step
                except MilvusProfilesError as error:  # noqa: PERF203
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException:
            await self.close()
            raise


async def open_async_live(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[AsyncSharedChannel], None],
    dedicated: bool = False,
    old: AsyncSharedChannel | None = None,
) -> AsyncSharedChannel:
    """:func:`.opening.open_live`, awaited."""
    with told(resolved.connectable.alias):
        spec = spec_of(resolved, profiles)
        if old is not None:
            opening = _Opening(spec, wait_ready)
            if await opening.run(opening.moving(old)):
                return old
        slot = OPEN_CONNECTIONS.take(profiles.settings.max_connections)
        opening = _Opening(spec, wait_ready)
        try:
            ready = await opening.run(opening.plan())
        except BaseException:
            slot.release()
            raise
    return AsyncSharedChannel(ready, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


async def _renew(live: AsyncSharedChannel) -> None:
    with contextlib.suppress(MilvusProfilesError):
        opening = _Opening(live.spec)
        await opening.run(opening.renewing(live))
