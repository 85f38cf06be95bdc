"""``connect``, ``disconnect`` and the questions about what is open, for asyncio: what ``milvus_profiles.aio`` shows.

Importing this imports nothing that takes its time: see :mod:`.aio_connecting`.
"""

from __future__ import annotations

from asyncio import get_running_loop
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..background import in_executor
from ..errors import MilvusProfilesError
from ..masked import MaskedFields
from ..names import alias_of, seconds_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..config.profiles import Profiles
    from ..profile import Profile, ProfileFields
    from .aio_connecting import AsyncConnection
    from .aio_registry import LoopTable
    from .shared_base import ConnectionInfo


class _Connecting(Coroutine[Any, Any, "AsyncConnection"]):
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
        try:
            self._connection = await self
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection is not None:
            await self._connection.close()


def connect(
    alias: str | Profile | None = None,
    *,
    profiles: Profiles | None = None,
    dedicated: bool = False,
    wait_ready: float | None = None,
    timeout: float | None = None,
    **fields: Unpack[ProfileFields],
) -> _Connecting:
    """Open a connection of a profile in the running event loop, or share the one that is open there.

        conn = await mp.aio.connect("prod")
        async with mp.aio.connect("prod") as conn: ...

    Each call returns a handle of its own on the one live channel that the profile has in this event loop, which is
    opened on demand, checked by a handshake, and lives until :func:`disconnect` or the end of the loop.  What blocks
    (files, a keyring, the start of Milvus Lite) runs in a thread.  Cancelled, it leaves nothing open.

    Args:
        alias: the name of a profile, or one itself, which gets a channel of its own where a program made it; None takes
            the selected one.
        profiles: where profiles come from; None reads the files and the environment.
        dedicated: open a channel that is shared with nobody and closed with its handle.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        timeout: seconds for connecting and the handshake; None takes the profile's (10).
        fields: fields of a profile that override it, as for :func:`milvus_profiles.connect`.

    Returns:
        An :class:`~milvus_profiles.aio.AsyncConnection`, when it is awaited or entered.

    Raises:
        ForkError: the parent of this forked process used asyncio connections.
        MilvusProfilesError: what :func:`milvus_profiles.connect` raises.
    """
    given = MaskedFields(fields)
    return _Connecting(partial(_connect, alias, profiles, dedicated, wait_ready, timeout, given))


_connecting: Any = None
"""The module that connects, once it is imported."""


async def _connect(*asked: Any) -> AsyncConnection:
    global _connecting
    if _connecting is None:
        # With it gRPC is imported and much else, which takes half a second and more: the loop goes on meanwhile.
        _connecting = await in_executor(partial(import_module, ".aio_connecting", __package__))
    try:
        connection: AsyncConnection = await _connecting.connect(*asked)
    except MilvusProfilesError as error:
        error.__traceback__ = None
        raise error
    return connection


def _table() -> LoopTable | None:
    """That of the running event loop; None where nothing was ever opened."""
    if _connecting is None:
        get_running_loop()  # to want one is an error in any case
        return None
    table: LoopTable = _connecting.table()
    return table


async def disconnect(alias: str | Profile, *, grace: float = 5.0) -> None:
    """Close all connections that a profile has in this event loop; does nothing when none is open.

    Args:
        alias: the profile, or its name.
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    name, seconds = alias_of(alias), seconds_of("grace=", grace)
    if (table := _table()) is not None:
        await table.disconnect(name, seconds)


async def disconnect_all(*, grace: float = 5.0) -> None:
    """Close all connections of this event loop.

    Args:
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    seconds = seconds_of("grace=", grace)
    if (table := _table()) is not None:
        await table.disconnect(None, seconds)


def list_connections() -> list[ConnectionInfo]:
    """The channels that are open in the running event loop, sorted by alias."""
    table = _table()
    return [] if table is None else table.infos()


def has_connection(alias: str | Profile) -> bool:
    """Whether a channel of the profile is open in the running event loop.

    Args:
        alias: the profile, or its name.
    """
    name, table = alias_of(alias), _table()
    return table is not None and table.has(name)
