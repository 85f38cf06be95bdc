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
from .aio_shared_channel import AsyncOpenedChannel, AsyncSharedChannel, give_back
from .handshake import ServerInfo
from .limit import OPEN_CONNECTIONS
from .opening import RetryUntilReady, lite_of, recipe_of
from .spec import ChannelSpec, SpecKey, context_of

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
    forget: Callable[[AsyncSharedChannel], None],
) -> AsyncSharedChannel:
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
    slot = OPEN_CONNECTIONS.take(profiles.settings.max_connections)
    try:
        spec = recipe_of(resolved, profiles)
        key, started, server = await _connected(spec, await _found(spec), wait_ready)
    except BaseException:
        slot.release()
        raise
    return AsyncSharedChannel(spec, started, server, key, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


async def open_or_move_async(
    old: AsyncSharedChannel | None,
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[AsyncSharedChannel], None],
) -> AsyncSharedChannel:
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


async def _found(spec: ChannelSpec) -> SecretText | None:
    return await in_executor(partial(spec.find, False))


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


async def _start(profile: Profile, token: SecretText | None, spec: ChannelSpec) -> AsyncOpenedChannel:
    """Everything of connecting that comes before the first call."""
    lite = await _lite(profile)
    try:
        raw = open_async_channel(profile, lite_port=lite.port if lite else None)
    except BaseException:
        await give_back(lite)
        raise
    holder = TokenHolder(token, db_name=profile.db_name)
    core = AsyncChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=spec.refresh)
    return AsyncOpenedChannel(core, lite, context_of(profile, token, lite))


async def _connected(
    spec: ChannelSpec, token: SecretText | None, wait_ready: float | None
) -> tuple[SpecKey, AsyncOpenedChannel, ServerInfo]:
    """Open a channel and shake hands; the key is from before its files were read."""
    profile = spec.profile
    key = SpecKey.of(profile)
    started = await _start(profile, token, spec)
    try:
        server = await _patiently(lambda: _shake_hands(started, profile), wait_ready)
    except BaseException:
        await started.close()
        raise
    return key, started, server


def _shake_hands(started: AsyncOpenedChannel, profile: Profile) -> Awaitable[ServerInfo]:
    return async_handshake(started.core, started.context, Deadline.after(profile.timeout), user=profile.user)


async def _patiently(context: Callable[[], Awaitable[ServerInfo]], wait_ready: float | None) -> ServerInfo:
    waiting = RetryUntilReady(wait_ready)
    while True:
        try:
            return await context()
        except (ServerNotReadyError, UnreachableError) as error:
            if (pause := waiting.pause_after(error)) is None:
                raise
        await asyncio.sleep(pause)


async def _move(live: AsyncSharedChannel, spec: ChannelSpec, wait_ready: float | None) -> bool:
    """Have an open channel serve a profile that was read anew; False where that takes another channel."""
    before, after = live.fingerprint, SpecKey.of(spec.profile)
    change = before.change_to(after)
    if change == "identity":
        return False
    token = await _found(spec)
    if change == "way":
        return await _swap(live, spec, token, before, wait_ready)
    holder = TokenHolder(token, db_name=spec.profile.db_name)
    # The server has its say before the living calls get the new secret; the channel of the trial is the one in use.
    trial = AsyncOpenedChannel(
        AsyncChannelCore(live.core.raw, holder), None, context_of(spec.profile, token, live.lite)
    )
    await _patiently(lambda: _shake_hands(trial, spec.profile), wait_ready)
    return live.equip(spec, holder, after)


async def _swap(
    live: AsyncSharedChannel, spec: ChannelSpec, token: SecretText | None, before: SpecKey, wait_ready: float | None
) -> bool:
    key, started, server = await _connected(spec, token, wait_ready)
    moved = live.move(spec, started, server, before, key)
    if not moved:
        await started.close()
    return moved


async def _renew(live: AsyncSharedChannel) -> None:
    """Move a channel whose certificate files have changed over to one that was opened with the new ones."""
    try:
        await _swap(live, live.spec, live.token(), live.fingerprint, None)
    except MilvusProfilesError:
        # Half of the files may be written, or the server not be ready for them: the old channel goes on, and the
        # next look tries again.
        return
