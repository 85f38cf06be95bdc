"""The same for asyncio: connections on ``grpc.aio``, a pool, the diagnosis.

    >>> import milvus_profiles as mp
    >>> async def main():
    ...     async with mp.aio.connect("prod") as conn:  # doctest: +SKIP
    ...         return await conn.ping()

Connections belong to the event loop that they were opened in; each loop has its own, and they end with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connections.aio_connection import AsyncConnection as AsyncConnection
    from .connections.aio_face import connect as connect
    from .connections.aio_face import disconnect as disconnect
    from .connections.aio_face import disconnect_all as disconnect_all
    from .connections.aio_face import has_connection as has_connection
    from .connections.aio_face import list_connections as list_connections
    from .diagnosis.aio_face import diagnose as diagnose
    from .pool.aio import ConnectionPool as ConnectionPool

_ROOM_OF = {
    "AsyncConnection": "connections.aio_connection",
    "ConnectionPool": "pool.aio",
    "connect": "connections.aio_face",
    "diagnose": "diagnosis.aio_face",
    "disconnect": "connections.aio_face",
    "disconnect_all": "connections.aio_face",
    "has_connection": "connections.aio_face",
    "list_connections": "connections.aio_face",
}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if (room := _ROOM_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{room}", __package__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
