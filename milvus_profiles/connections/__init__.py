"""Live connections by alias.

The package itself is what ``from milvus_profiles import connections`` gives: it has the functions of pymilvus's
``connections``, imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pymilvus_face import ListedConnection as ListedConnection
    from .pymilvus_face import add_connection as add_connection
    from .pymilvus_face import async_disconnect as async_disconnect
    from .pymilvus_face import async_remove_connection as async_remove_connection
    from .pymilvus_face import connect as connect
    from .pymilvus_face import disconnect as disconnect
    from .pymilvus_face import get_connection_addr as get_connection_addr
    from .pymilvus_face import has_connection as has_connection
    from .pymilvus_face import list_connections as list_connections
    from .pymilvus_face import remove_connection as remove_connection

_FACE = (
    "ListedConnection",
    "add_connection",
    "async_disconnect",
    "async_remove_connection",
    "connect",
    "disconnect",
    "get_connection_addr",
    "has_connection",
    "list_connections",
    "remove_connection",
)


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(".pymilvus_face", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})
