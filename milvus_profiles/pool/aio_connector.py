"""What a pool leads to, for asyncio: what :mod:`.links` is for threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..background import in_executor
from ..errors import ConnectionClosedError, MilvusProfilesError
from ..live.aio_connection import AsyncConnection
from ..live.aio_opening import open_async_live
from ..live.aio_registry import LoopTable, table
from ..live.aio_shared_channel import AsyncSharedChannel
from ..live.request import CallFields, request
from ..profile import PoolSettings, Profile
from .connector import TEST_TIMEOUT, HealthJudged, introduce
from .state import Lease

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = [
    "AsyncConnector",
    "AsyncMilvusChannel",
    "AsyncMilvusConnector",
    "AsyncPooledChannel",
    "AsyncPooledConnection",
]


class AsyncPooledChannel(Protocol):
    """An open channel, as the pool sees it."""

    def is_suspect(self, now: float) -> bool:
        """Whether it is worth a test: calls failed, or none has succeeded lately."""
        ...

    async def is_good(self, timeout: float) -> bool:
        """Ask the server.

        Args:
            timeout: seconds to wait for its answer at most.
        """
        ...

    async def close(self, grace: float) -> None:
        """Wait for calls in flight, then close; cancelled, close at once.

        Args:
            grace: seconds to wait at most; calls that take longer are cut off.
        """
        ...

    def abandon(self) -> None:
        """In a forked child: it is the parent's, to be neither used nor closed."""
        ...


class AsyncConnector(Protocol):
    """Opens channels.

    Attributes:
        lease: makes an empty lease; the pool sets its ``_pool`` and ``_link``.
    """

    lease: Callable[[], Lease]

    async def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        """What a key is called, however it is spelled, and the settings that it brings along.

        Raises:
            MilvusProfilesError: there is no such key.
        """
        ...

    async def open(self, key: str) -> AsyncPooledChannel:
        """Open a channel; cancelled, leave none behind.

        Raises:
            MilvusProfilesError: it cannot be had.
        """
        ...


class _Lender(Protocol):
    def _give_back(self, lease: Lease) -> None: ...


class AsyncPooledConnection(Lease, AsyncConnection):
    """A connection on lease from a pool: closing it gives it back, and then it can be used no longer."""

    _channel = None
    _link: AsyncMilvusChannel
    _pool: _Lender

    # Made for every lease, so it sets nothing: the pool sets _link and _pool, and the link has the rest.
    def __init__(self) -> None:
        pass

    @property
    def _closed(self) -> bool:  # type: ignore[override]
        return self.member is None

    @property
    def _live(self) -> AsyncSharedChannel:  # type: ignore[override]
        return self._link.live

    @property
    def _profile(self) -> Profile:  # type: ignore[override]
        return self._link.profile

    def _gate(self) -> None:
        if self._closed:
            raise ConnectionClosedError(
                f"the connection of {self.alias!r} was returned to its pool", hint="take another one from the pool"
            )
        super()._gate()

    async def close(self) -> None:
        """Give it back to the pool.  Idempotent."""
        if self.member is not None:
            self._pool._give_back(self)


class AsyncMilvusChannel(HealthJudged):
    """A live connection to a Milvus, with nobody but the pool's borrowers on it.

    Args:
        live: the connection.
        kept: what must live as long.
    """

    __slots__ = ("_kept", "core", "live", "profile")

    def __init__(self, live: AsyncSharedChannel, kept: object) -> None:
        self.live = live
        self.profile = live.profile
        self.core = live.core
        self._kept = kept

    async def is_good(self, timeout: float) -> bool:
        channel = self.live.channel(lambda: None, _nothing)
        try:
            await self.live.ping(channel, min(timeout, TEST_TIMEOUT, self.profile.timeout))
        except MilvusProfilesError:
            return False
        return True

    async def close(self, grace: float) -> None:
        await self.live.disconnect(grace)

    def abandon(self) -> None:
        self.live.abandoned = True


class AsyncMilvusConnector:
    """Opens connections of profiles.

    Args:
        profiles: where they come from; None reads the files and the environment each time.
    """

    lease: staticmethod[[], Lease] = staticmethod(AsyncPooledConnection)

    def __init__(self, profiles: Profiles | None) -> None:
        self._profiles = profiles

    async def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        table()  # raises in a forked child that cannot use asyncio's gRPC
        return await in_executor(partial(introduce, key, self._profiles))

    async def open(self, key: str) -> AsyncMilvusChannel:
        kept: LoopTable = table()
        asked = await in_executor(partial(request, key, profiles=self._profiles, dedicated=True, fields=CallFields({})))
        # Not dedicated: that would close it with a handle, and the pool's leases are no handles of it.
        live = await open_async_live(asked.resolved, asked.profiles, wait_ready=None, dedicated=False, forget=_forget)
        return AsyncMilvusChannel(live, kept)


async def _nothing() -> None:
    pass


def _forget(live: Any) -> None:
    """A pool's channels are in no registry."""
