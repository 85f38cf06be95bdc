"""What a pool leads to, under a test's control: channels that open late, fail, go bad and hang, without a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from milvus_profiles.errors import UnknownProfileError, UnreachableError
from milvus_profiles.pool.aio_connector import AsyncPooledConnection
from milvus_profiles.pool.connector import PooledConnection
from milvus_profiles.pool.state import Lease
from milvus_profiles.pool_settings import PoolSettings
from milvus_profiles.profile import Profile


def exclusive(**settings: Any) -> PoolSettings:
    return PoolSettings(mode="exclusive", **settings)


class Link:
    """An open channel; closing and testing it is counted."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.profile = Profile(alias=key, uri="http://h")
        self.shared: Any = self
        self.lock = threading.Lock()
        self.suspect = False
        self.good = True
        self.closed = 0
        self.tests = 0
        self.abandoned = False

    def needs_check(self, now: float) -> bool:
        return self.suspect

    def abandon(self) -> None:
        self.abandoned = True

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> Any:
        """What a lease has as its channel: called, it raises where the lease is over."""
        call: Any = partial(gate)
        call.link = self
        return call

    def _tested(self) -> bool:
        self.tests += 1
        self.suspect = self.suspect and not self.good
        return self.good


class SyncLink(Link):
    def is_healthy(self, timeout: float) -> bool:
        return self._tested()

    def close(self, grace: float) -> None:
        self.closed += 1


class AsyncLink(Link):
    async def is_healthy(self, timeout: float) -> bool:
        await asyncio.sleep(0)
        return self._tested()

    async def close(self, grace: float) -> None:
        self.closed += 1
        await asyncio.sleep(0)


L = TypeVar("L", bound=Link)


class _Outside:
    def __init__(self) -> None:
        self.settings: dict[str, PoolSettings] = {}
        self.slow: dict[str, Any] = {}
        """Keys whose channels open when the event is set."""
        self.guard = threading.Lock()
        self.links: list[Any] = []
        self.broken: set[str] = set()
        """Keys that cannot be connected to."""
        self.opening = 0
        self.most_opening = 0

    def _introduced(self, key: str) -> tuple[str, PoolSettings | None]:
        if key == "unknown":
            raise UnknownProfileError("there is no profile 'unknown'")
        return key.lower(), self.settings.get(key.lower())

    def _began(self) -> None:
        with self.guard:
            self.opening += 1
            self.most_opening = max(self.most_opening, self.opening)

    def _ended(self, key: str, kind: type[L]) -> L:
        with self.guard:
            self.opening -= 1
            if key in self.broken:
                raise UnreachableError(f"{key} refuses", hint="start it")
            link = kind(key)
            self.links.append(link)
        return link


class Outside(_Outside):
    """For the pool of threads."""

    lease: Callable[[], Lease] = PooledConnection

    def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        return self._introduced(key)

    def open(self, key: str) -> SyncLink:
        self._began()
        if key in self.slow:
            assert self.slow[key].wait(30)
        return self._ended(key, SyncLink)


class AsyncOutside(_Outside):
    """For the pool of asyncio."""

    lease: Callable[[], Lease] = AsyncPooledConnection

    async def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        await asyncio.sleep(0)
        return self._introduced(key)

    async def open(self, key: str) -> AsyncLink:
        self._began()
        try:
            if key in self.slow:
                await self.slow[key].wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.opening -= 1
            raise
        return self._ended(key, AsyncLink)
