"""``connect``, ``disconnect`` and the questions about what is open, for asyncio: what ``milvus_profiles.aio`` shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import Any

from ..background import in_executor
from ..config.profiles import Profiles
from .aio_connection import AsyncConnection
from .aio_opening import open_async_live
from .aio_registry import table
from .aio_shared_channel import AsyncSharedChannel
from .registry import ConnectionInfo
from .request import CallFields, Request, request
from .shared_base import weakly
from .spec import SpecKey

__all__ = ["connect", "disconnect", "disconnect_all", "has_connection", "list_connections"]


class _Connecting(Coroutine[Any, Any, AsyncConnection]):
    """What :func:`connect` returns: awaited it gives the connection, in ``async with`` it closes the handle too."""

    def __init__(self, connect: Callable[[], Coroutine[Any, Any, AsyncConnection]]) -> None:
        self._connect = connect
        self._coroutine: Coroutine[Any, Any, AsyncConnection] | None = None
        self._connection: AsyncConnection | None = None

    def _started(self) -> Coroutine[Any, Any, AsyncConnection]:
        if self._coroutine is None:
            self._coroutine = self._connect()
        return self._coroutine

    def __await__(self) -> Generator[Any, Any, AsyncConnection]:
        return self._started().__await__()

    # As a coroutine it can be made a task.

    def send(self, value: Any) -> Any:
        return self._started().send(value)

    def throw(self, *arguments: Any) -> Any:
        return self._started().throw(*arguments)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    async def __aenter__(self) -> AsyncConnection:
        self._connection = await self
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()


def connect(
    alias: str | None = None,
    *,
    profiles: Profiles | None = None,
    dedicated: bool = False,
    wait_ready: float | None = None,
    timeout: float | None = None,
    **fields: Any,
) -> _Connecting:
    """Open a connection of a profile in the running event loop, or share the one that is open there.

        conn = await mp.aio.connect("prod")
        async with mp.aio.connect("prod") as conn: ...

    Each call returns a handle of its own on the one live channel that the profile has in this event loop, which is
    opened on demand, checked by a handshake, and lives until :func:`disconnect` or the end of the loop.  What blocks
    (files, a keyring, the start of Milvus Lite) runs in a thread.  Cancelled, it leaves nothing open.

    Arguments are those of :func:`milvus_profiles.connect`.

    Returns:
        An :class:`~milvus_profiles.aio.AsyncConnection`, when it is awaited or entered.

    Raises:
        ForkError: the parent of this forked process used asyncio connections.
        MilvusProfilesError: what :func:`milvus_profiles.connect` raises.
    """
    given = CallFields(fields)
    find = partial(request, alias, profiles=profiles, dedicated=dedicated, timeout=timeout, fields=given)
    return _Connecting(partial(_connect, find, wait_ready))


async def _connect(find: Callable[[], Request], wait_ready: float | None) -> AsyncConnection:
    here = table()
    await here.end_with_loop()
    asked = await in_executor(find)
    asked.warn(stacklevel=2)
    resolved, known = asked.resolved, asked.profiles
    forget = weakly(here.forget)  # the table holds what calls it

    def opener(old: AsyncSharedChannel | None) -> Awaitable[AsyncSharedChannel]:
        return open_async_live(resolved, known, wait_ready=wait_ready, forget=forget, old=old)

    while True:
        if asked.key is None:
            live = await open_async_live(resolved, known, wait_ready=wait_ready, dedicated=True, forget=forget)
            here.add_dedicated(live)
        else:
            live = await here.shared(asked.key, SpecKey.of(resolved.profile), opener)
        connection = live.handle(AsyncConnection, resolved.profile)
        if connection is not None:
            return connection
        # It was disconnected between being found and being taken: open anew.


async def disconnect(alias: str, *, grace: float = 5.0) -> None:
    """Close all connections that a profile has in this event loop, as :func:`milvus_profiles.disconnect` does."""
    await table().disconnect(alias, grace)


async def disconnect_all(*, grace: float = 5.0) -> None:
    """Close all connections of this event loop, as :func:`milvus_profiles.disconnect_all` does."""
    await table().disconnect(None, grace)


def list_connections() -> list[ConnectionInfo]:
    """The channels that are open in the running event loop, sorted by alias."""
    return table().infos()


def has_connection(alias: str) -> bool:
    """Whether a channel of the profile is open in the running event loop."""
    return table().has(alias)
