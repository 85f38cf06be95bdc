"""From a resolved profile to a live channel of the running event loop: the steps of :mod:`.opening`, awaited.

What blocks (a keyring, a command, the start of Milvus Lite, socket probes) runs in a thread of the loop's executor.
Cancelled at any await, nothing stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from ..background import in_executor, start
from ..channel.aio_core import AsyncChannelCore
from ..channel.metadata import TokenHolder
from ..channel.options import open_async_channel
from ..deadline import Deadline
from ..errors import MilvusProfilesError, ServerNotReadyError, ThreadStartError, UnreachableError
from ..masked import SecretText
from ..profile import Profile
from .aio_handshake import async_handshake
from .aio_shared_channel import AsyncLive, AsyncStarted, give_back
from .handshake import ServerInfo
from .limit import SLOTS
from .opening import Waiting, lite_of, recipe_of
from .recipe import Recipe, attempt_of
from .spec import Footing

if TYPE_CHECKING:
    from ..channel.lite import LiteLease
    from ..config.profiles import Profiles, Resolved

__all__ = ["open_async_live", "open_or_move_async"]


async def open_async_live(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    dedicated: bool,
    forget: Callable[[AsyncLive], None],
) -> AsyncLive:
    """Open a channel and shake hands.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        dedicated: close the channel with its handle.
        forget: called when the channel has closed by itself.

    Raises:
        ConnectionLimitError: ``max_connections`` are open.
        MilvusProfilesError: what is wrong, classified.
    """
    slot = SLOTS.take(profiles.settings.max_connections)
    try:
        recipe = recipe_of(resolved, profiles)
        footing, started, server = await _connected(recipe, await _found(recipe), wait_ready)
    except BaseException:
        slot.release()
        raise
    return AsyncLive(recipe, started, server, footing, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


async def open_or_move_async(
    old: AsyncLive | None,
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[AsyncLive], None],
) -> AsyncLive:
    """The channel for a profile that was read anew: the old one moved, or another.

    Args:
        old: the open channel of the same key, which stands on something else than the profile says now.
        resolved: the profile.
        profiles: as for :func:`open_async_live`, like the others.

    Raises:
        MilvusProfilesError: as :func:`open_async_live`; ``old`` then goes on as it is.
    """
    if old is not None and await _move(old, recipe_of(resolved, profiles), wait_ready):
        return old
    return await open_async_live(resolved, profiles, wait_ready=wait_ready, dedicated=False, forget=forget)


async def _found(recipe: Recipe) -> SecretText | None:
    return await in_executor(partial(recipe.find, False))


async def _lite(profile: Profile) -> LiteLease | None:
    """The Milvus Lite of a profile, started in a thread; if the caller is cancelled, the lease is given back."""
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
        with contextlib.suppress(ThreadStartError):  # the end of the process stops it
            start(lease.release, "milvus-profiles close")


async def _start(profile: Profile, token: SecretText | None, recipe: Recipe) -> AsyncStarted:
    """Everything of connecting that comes before the first call."""
    lite = await _lite(profile)
    try:
        raw = open_async_channel(profile, lite_port=lite.port if lite else None)
    except BaseException:
        await give_back(lite)
        raise
    holder = TokenHolder(token, db_name=profile.db_name)
    core = AsyncChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=recipe.refresh)
    return AsyncStarted(core, lite, attempt_of(profile, token, lite))


async def _connected(
    recipe: Recipe, token: SecretText | None, wait_ready: float | None
) -> tuple[Footing, AsyncStarted, ServerInfo]:
    """Open a channel and shake hands; the footing is from before its files were read."""
    profile = recipe.profile
    footing = Footing.of(profile)
    started = await _start(profile, token, recipe)
    try:
        server = await _patiently(lambda: _shake_hands(started, profile), wait_ready)
    except BaseException:
        await started.close()
        raise
    return footing, started, server


def _shake_hands(started: AsyncStarted, profile: Profile) -> Awaitable[ServerInfo]:
    return async_handshake(started.core, started.attempt, Deadline.after(profile.timeout), user=profile.user)


async def _patiently(attempt: Callable[[], Awaitable[ServerInfo]], wait_ready: float | None) -> ServerInfo:
    waiting = Waiting(wait_ready)
    while True:
        try:
            return await attempt()
        except (ServerNotReadyError, UnreachableError) as error:
            if (pause := waiting.pause_after(error)) is None:
                raise
        await asyncio.sleep(pause)


async def _move(live: AsyncLive, recipe: Recipe, wait_ready: float | None) -> bool:
    """Have an open channel serve a profile that was read anew; False where that takes another channel."""
    before, after = live.fingerprint, Footing.of(recipe.profile)
    change = before.change_to(after)
    if change == "identity":
        return False
    token = await _found(recipe)
    if change == "way":
        return await _swap(live, recipe, token, before, wait_ready)
    holder = TokenHolder(token, db_name=recipe.profile.db_name)
    # The server has its say before the living calls get the new secret; the channel of the trial is the one in use.
    trial = AsyncStarted(AsyncChannelCore(live.core.raw, holder), None, attempt_of(recipe.profile, token, live.lite))
    await _patiently(lambda: _shake_hands(trial, recipe.profile), wait_ready)
    return live.equip(recipe, holder, after)


async def _swap(
    live: AsyncLive, recipe: Recipe, token: SecretText | None, before: Footing, wait_ready: float | None
) -> bool:
    footing, started, server = await _connected(recipe, token, wait_ready)
    moved = live.move(recipe, started, server, before, footing)
    if not moved:
        await started.close()
    return moved


async def _renew(live: AsyncLive) -> None:
    """Move a channel whose certificate files have changed over to one that was opened with the new ones."""
    try:
        await _swap(live, live.recipe, live.token(), live.fingerprint, None)
    except MilvusProfilesError:
        # Half of the files may be written, or the server not be ready for them: the old channel goes on, and the
        # next look tries again.
        return
