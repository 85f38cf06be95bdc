"""Named connection profiles for Milvus: declared once, checked strictly, connected on demand.

    >>> import milvus_profiles as mp
    >>> with mp.connect("prod") as conn:  # doctest: +SKIP
    ...     conn.server_version, conn.ping()

This module is the public API and nothing else: a name is imported from its room when it is first used, so that
``import milvus_profiles`` costs a program next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
"""As type checkers take it by its name; importing typing takes five times as long as all of this."""

if TYPE_CHECKING:
    from typing import Any

    from . import aio as aio
    from . import connections as connections
    from .config.profiles import Profiles as Profiles
    from .connections import orm as orm
    from .diagnosis.api import diagnose as diagnose
    from .diagnosis.report import Report as Report
    from .diagnosis.report import Stage as Stage
    from .endpoint import Endpoint as Endpoint
    from .errors import AuthenticationError as AuthenticationError
    from .errors import ConfigError as ConfigError
    from .errors import ConnectFailedError as ConnectFailedError
    from .errors import ConnectionClosedError as ConnectionClosedError
    from .errors import ConnectionLimitError as ConnectionLimitError
    from .errors import ConnectTimeoutError as ConnectTimeoutError
    from .errors import DatabaseInUseError as DatabaseInUseError
    from .errors import DatabaseNotFoundError as DatabaseNotFoundError
    from .errors import ForkError as ForkError
    from .errors import InsecureTransportError as InsecureTransportError
    from .errors import MilvusProfilesError as MilvusProfilesError
    from .errors import MissingExtraError as MissingExtraError
    from .errors import NotMilvusError as NotMilvusError
    from .errors import ParamError as ParamError
    from .errors import PermissionDeniedError as PermissionDeniedError
    from .errors import PoolClosedError as PoolClosedError
    from .errors import PoolError as PoolError
    from .errors import PoolExhaustedError as PoolExhaustedError
    from .errors import PoolTimeoutError as PoolTimeoutError
    from .errors import SecretUnavailableError as SecretUnavailableError
    from .errors import ServerNotReadyError as ServerNotReadyError
    from .errors import ThreadStartError as ThreadStartError
    from .errors import TLSError as TLSError
    from .errors import UnknownProfileError as UnknownProfileError
    from .errors import UnreachableError as UnreachableError
    from .errors import UntrustedError as UntrustedError
    from .interop.pymilvus import connection_args as connection_args
    from .live.api import Connection as Connection
    from .live.api import connect as connect
    from .live.api import disconnect as disconnect
    from .live.api import disconnect_all as disconnect_all
    from .live.api import has_connection as has_connection
    from .live.api import list_connections as list_connections
    from .live.api import load as load
    from .live.request import InsecureFileWarning as InsecureFileWarning
    from .live.request import InsecureTransportWarning as InsecureTransportWarning
    from .live.shared_base import ConnectionInfo as ConnectionInfo
    from .pool.threads import ConnectionPool as ConnectionPool
    from .pool_settings import PoolSettings as PoolSettings
    from .pool_stats import KeyStats as KeyStats
    from .pool_stats import PoolStats as PoolStats
    from .profile import SSL as SSL
    from .profile import Keepalive as Keepalive
    from .profile import Profile as Profile
    from .profile import Retry as Retry
    from .version import __version__ as __version__

_ROOMS = {
    "config.profiles": ("Profiles",),
    "connections": ("orm",),
    "live.api": (
        "Connection",
        "connect",
        "disconnect",
        "disconnect_all",
        "has_connection",
        "list_connections",
        "load",
    ),
    "live.request": ("InsecureFileWarning", "InsecureTransportWarning"),
    "live.shared_base": ("ConnectionInfo",),
    "diagnosis.api": ("diagnose",),
    "diagnosis.report": ("Report", "Stage"),
    "endpoint": ("Endpoint",),
    "errors": (
        "AuthenticationError",
        "ConfigError",
        "ConnectFailedError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionLimitError",
        "DatabaseInUseError",
        "DatabaseNotFoundError",
        "ForkError",
        "InsecureTransportError",
        "MilvusProfilesError",
        "MissingExtraError",
        "NotMilvusError",
        "ParamError",
        "PermissionDeniedError",
        "PoolClosedError",
        "PoolError",
        "PoolExhaustedError",
        "PoolTimeoutError",
        "SecretUnavailableError",
        "ServerNotReadyError",
        "TLSError",
        "ThreadStartError",
        "UnknownProfileError",
        "UnreachableError",
        "UntrustedError",
    ),
    "interop.pymilvus": ("connection_args",),
    "pool_settings": ("PoolSettings",),
    "pool_stats": ("KeyStats", "PoolStats"),
    "pool.threads": ("ConnectionPool",),
    "profile": ("SSL", "Keepalive", "Profile", "Retry"),
    "version": ("__version__",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}
_MODULES = ("aio", "connections")

__all__ = sorted((*_MODULES, *_ROOM_OF))


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if (room := _ROOM_OF.get(name)) is None:
        from .names import no_attribute

        raise no_attribute(__name__, name, __all__)
    value = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
