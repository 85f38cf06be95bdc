"""What a pool for asyncio leads to: what :mod:`.connector` is for threads, awaited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ..background import in_executor
from ..errors import MilvusProfilesError
from ..live.aio_connecting import AsyncConnection, open_async_shared
from ..live.aio_registry import AsyncSharedChannel, LoopTable, table
from ..pool_settings import PoolSettings
from ..profile import Profile
from .connector import HEALTH_CHECK_TIMEOUT, LeasedHandle, MilvusChannelBase, ProfileKeys, forget
from .state import Lease


class AsyncPooledChannel(Protocol):
    """An open channel, as the pool sees it; ``close``, cancelled, closes at once."""

    def needs_check(self, now: float) -> bool: ...
    async def is_healthy(self, timeout: float) -> bool: ...
    async def close(self, grace: float) -> None: ...
    def abandon(self) -> None: ...


class AsyncConnector(Protocol):
    """Opens channels; ``open``, cancelled, leaves none behind."""

    lease: Callable[[], Lease]

    async def introduce(self, key: Any) -> tuple[str, PoolSettings | None]: ...
    async def open(self, key: str) -> AsyncPooledChannel: ...


class AsyncPooledConnection(LeasedHandle, AsyncConnection):
    """A connection on lease from a pool: closing it gives it back, and then it can be used no longer."""

    async def close(self) -> None:
        """Give it back to the pool.  Idempotent."""
        if self.entry is not None:
            self._pool._give_back(self)


class AsyncMilvusChannel(MilvusChannelBase):
    """One for asyncio; what is ``kept`` must live as long."""

    __slots__ = ("_kept",)

    shared: AsyncSharedChannel

    def __init__(self, shared: AsyncSharedChannel, kept: object) -> None:
        super().__init__(shared)
        self._kept = kept

    async def is_healthy(self, timeout: float) -> bool:
        channel = self.shared.channel(lambda: None, _nothing)
        try:
            await self.shared.ping(channel, min(timeout, HEALTH_CHECK_TIMEOUT, self.profile.timeout))
        except MilvusProfilesError:
            return False
        return True

    async def close(self, grace: float) -> None:
        await self.shared.disconnect(grace)


class AsyncMilvusConnector(ProfileKeys):
    """Opens connections of profiles."""

    lease: staticmethod[[], Lease] = staticmethod(AsyncPooledConnection)

    async def introduce(self, key: str | Profile) -> tuple[str, PoolSettings | None]:
        table()  # raises in a forked child that cannot use asyncio's gRPC
        return await in_executor(partial(self._introduced, key))

    async def open(self, key: str) -> AsyncMilvusChannel:
        kept: LoopTable = table()
        asked = await in_executor(partial(self._to_open, key))
        shared = await open_async_shared(
            asked.resolved, asked.profiles, wait_ready=None, dedicated=False, forget=forget
        )
        return AsyncMilvusChannel(shared, kept)


async def _nothing() -> None:
    pass
