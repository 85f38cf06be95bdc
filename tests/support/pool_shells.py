"""The two pools in one shape, for tests that hold for both: what blocks a thread runs in one, and is awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import milvus_profiles as mp
from milvus_profiles.pool_settings import PoolSettings

from .pool_outside import AsyncOutside, Outside, exclusive
from .waiting import eventually


class Threads:
    """`milvus_profiles.ConnectionPool`."""

    pool_class = mp.ConnectionPool
    connection_class = mp.Connection
    outside_class: Any = Outside
    event: Any = threading.Event

    def __init__(self) -> None:
        self._before = set(threading.enumerate())

    async def do(self, method: Any, *arguments: Any, **named: Any) -> Any:
        """Call a method of a pool or of a connection."""
        return await asyncio.to_thread(method, *arguments, **named)

    @asynccontextmanager
    async def entered(self, context: Any) -> AsyncIterator[Any]:
        """A `with` block of a pool, a lease or a connection."""
        entered = await self.do(context.__enter__)
        try:
            yield entered
        finally:
            await self.do(context.__exit__, None, None, None)

    def borrow_here(self, pool: Any) -> Any:
        """Take a lease in a function whose name a stack shows."""
        return pool.get_client("a")

    def is_at_rest(self) -> bool:
        """Whether no thread, or task, of a pool is left."""
        return not [
            each for each in set(threading.enumerate()) - self._before if each.name.startswith("milvus-profiles")
        ]


class Asyncio:
    """`milvus_profiles.aio.ConnectionPool`."""

    pool_class = mp.aio.ConnectionPool
    connection_class = mp.aio.AsyncConnection
    outside_class: Any = AsyncOutside
    event: Any = asyncio.Event

    def __init__(self) -> None:
        self._before = asyncio.all_tasks()

    async def do(self, method: Any, *arguments: Any, **named: Any) -> Any:
        return await method(*arguments, **named)

    @asynccontextmanager
    async def entered(self, context: Any) -> AsyncIterator[Any]:
        async with context as entered:
            yield entered

    async def borrow_here(self, pool: Any) -> Any:
        return await pool.get_client("a")

    def is_at_rest(self) -> bool:
        return not asyncio.all_tasks() - self._before - {asyncio.current_task()}


class Shell:
    """What tests of both pools work with; `do`, `entered` and the rest are those of one pool.

    Attributes:
        outside: what the pools of a test lead to.
    """

    def __init__(self, kind: type[Threads | Asyncio]) -> None:
        self.kind = kind()
        self.do, self.entered = self.kind.do, self.kind.entered
        self.outside: Outside = self.kind.outside_class()

    def pool(self, settings: PoolSettings | None = None) -> Any:
        return self.kind.pool_class(settings, connector=self.outside)  # type: ignore[arg-type]

    @asynccontextmanager
    async def exclusive(self, **settings: Any) -> AsyncIterator[Any]:
        """An open pool in exclusive mode, closed at the end."""
        async with self.entered(self.pool(exclusive(**settings))) as pool:
            yield pool

    async def get(self, pool: Any, key: str = "a", **named: Any) -> Any:
        """Take a lease."""
        return await self.do(pool.get_client, key, **named)

    def getting(self, pool: Any, key: str = "a") -> asyncio.Task[Any]:
        """Take a lease, beside the test."""
        return asyncio.create_task(self.get(pool, key))

    async def use(self, pool: Any, key: str = "a") -> None:
        """Take a lease and give it back."""
        await self.do((await self.get(pool, key)).close)

    def slow(self, key: str) -> Any:
        """Have channels of a key open no sooner than the event is set, which is returned."""
        event = self.outside.slow[key] = self.kind.event()
        return event


async def waiting(pool: Any, count: int) -> None:
    """Until so many wait."""
    await eventually(lambda: pool.stats().requests_waiting == count)
