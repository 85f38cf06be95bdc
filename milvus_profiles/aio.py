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
    from .diagnosis.aio_api import diagnose as diagnose
    from .live.aio_api import connect as connect
    from .live.aio_api import disconnect as disconnect
    from .live.aio_api import disconnect_all as disconnect_all
    from .live.aio_api import has_connection as has_connection
    from .live.aio_api import list_connections as list_connections
    from .live.aio_connecting import AsyncConnection as AsyncConnection
    from .pool.aio import ConnectionPool as ConnectionPool

_ROOM_OF = {
    "AsyncConnection": "live.aio_connecting",
    "ConnectionPool": "pool.aio",
    "connect": "live.aio_api",
    "diagnose": "diagnosis.aio_api",
    "disconnect": "live.aio_api",
    "disconnect_all": "live.aio_api",
    "has_connection": "live.aio_api",
    "list_connections": "live.aio_api",
}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if (room := _ROOM_OF.get(name)) is None:
        from .names import no_attribute

        raise no_attribute(__name__, name, __all__)
    value = getattr(import_module(f".{room}", __package__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
