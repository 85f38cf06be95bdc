"""The functions of pymilvus's ``connections`` on our own connections: ``from milvus_profiles import connections``.

They take pymilvus's arguments and give back its shapes, so that a program changes its import line only.  An alias that
a file or the environment declares is that profile; any other is what ``connect`` or ``add_connection`` was told, in
this process.  Nothing here opens a channel by a way of its own, and nothing but :func:`orm` imports pymilvus; where the
program does, its ORM finds the aliases that are connected here, and uses their connections.

Source of the arguments: pymilvus 2.0 to 3.0, ``orm/connections.py``; of ``handler`` and ``pool`` the Milvus
documentation ("Manage Milvus Connections"), and pymilvus 1.1 for the names of pools.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .background import in_executor
from .channel.pymilvus_client import client_class
from .channel.pymilvus_orm import ShownAlias, hide, hide_all, show
from .config.loading import load, load_with_warning
from .config.profiles import Profiles
from .errors import ParamError
from .interop.pymilvus import CREDENTIALS, DEFAULT_HOST, ListedConnection, address_of, hidden, profile_fields
from .live.api import Connection, opened
from .live.api import disconnect as disconnect_profile
from .live.request import CallFields, Request, has_address, request
from .masked import as_given
from .names import fold_alias
from .profile import Profile

__all__ = [
    "ListedConnection",
    "add_connection",
    "async_disconnect",
    "async_remove_connection",
    "connect",
    "disconnect",
    "get_connection_addr",
    "has_connection",
    "list_connections",
    "orm",
    "remove_connection",
]

_DEFAULT_ALIAS = "default"


@dataclass(slots=True)
class _Entry:
    """What is known of an alias, as it was first spelled: the fields that calls gave, and what they amount to."""

    alias: str
    fields: CallFields
    profile: Profile
    connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that this process can use."""
        found = self.connection
        return found is not None and not found.is_closed and not found._shared.abandoned


class _Connections:
    """The aliases of the process.  The lock guards the table; nothing is opened or closed under it."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._after_fork()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        hide_all()

    def add_connection(self, **connections: Mapping[str, Any]) -> None:
        """Say how aliases are reached, without connecting.

        All that is given is kept, credentials and TLS too, for every later ``connect``.

        Args:
            connections: for each alias a dictionary of what :func:`connect` takes.

        Raises:
            ParamError: an argument is unknown or wrong, or the alias is connected to another address.
            ConfigError: they make no valid profile.  Then none of the aliases is added.
        """
        wrong = [alias for alias, given in connections.items() if not isinstance(given, Mapping)]
        told = {alias: CallFields(given) for alias, given in connections.items() if alias not in wrong}
        connections = {}  # so that no frame of a traceback has a secret among its locals
        if wrong:
            raise ParamError(
                f"{as_given(str(wrong[0]))!r} needs a dictionary of arguments, such as {{'host': 'localhost'}}"
            )
        known = load()
        entries = []
        for alias, arguments in told.items():
            fields = profile_fields(arguments)
            if not has_address(fields) and alias not in known:
                fields["host"] = DEFAULT_HOST
            asked = _asked(alias, fields, known)
            self._check_address(alias, asked)
            entries.append(_Entry(alias, fields, asked.resolved.profile))
        with self._lock:
            for entry in entries:
                old = self._entries.get(fold_alias(entry.alias))
                if old is not None:
                    entry.alias, entry.connection = old.alias, old.connection
                self._entries[fold_alias(entry.alias)] = entry

    def connect(
        self,
        alias: str | None = None,
        user: str = "",
        password: str = "",  # empty as in pymilvus, which then has none
        db_name: str = "",
        token: str = "",
        **arguments: Any,
    ) -> Connection:
        """Connect, and keep the connection under an alias until :func:`disconnect`.

        The address is, in this order: ``address``, ``uri``, ``host`` and ``port``; what ``add_connection`` or an
        earlier ``connect`` said; the profile of this alias; for the default alias ``localhost:19530``.  Arguments that
        are empty or None count as not given.

        Args:
            alias: its name; None takes ``MILVUS_CONN_ALIAS``, else ``"default"``.  Compared as aliases of profiles are:
                without case, with ``-``, ``_`` and ``.`` equal.
            user: name of the user; without ``password`` the keyring has it.
            password: of the user.
            db_name: the database; none takes the profile's or the server's default.
            token: an API key or ``user:password``; beats ``user`` and ``password``.
            arguments: ``address`` (``host:port``), ``uri``, ``host`` (default localhost), ``port`` (default 19530);
                ``secure``, ``server_pem_path`` or ``ca_pem_path`` (certificates to trust), ``client_pem_path`` and
                ``client_key_path``, ``server_name`` (each of them turns TLS on); ``timeout`` in seconds (default 10);
                ``handler="GRPC"``; ``pool``, one of QueuePool, SingletonThread and Singleton, and ``keep_alive``, which
                change nothing; and any other field of a profile, such as ``allow_insecure`` or ``call_timeout``.

        pymilvus's own ORM (``Collection``, ``utility``, ``db``, ``Role`` …) knows the alias from now on, and works on
        this connection, whether the program imports it before or after.

        Returns:
            The connection.

        Raises:
            NotImplementedError: ``handler`` is not ``"GRPC"``.
            ParamError: ``pool`` is not supported, an argument is unknown or wrong, or the alias is connected to
                another address.
            UnknownProfileError: nothing says where the alias leads.
            ServerNotReadyError: the server is starting or unhealthy.
            MilvusProfilesError: all else that :func:`milvus_profiles.connect` raises.
        """
        # First of all, so that no frame of a traceback has a secret among its locals.
        given, arguments = CallFields(arguments), {}
        password, token = hidden(password), hidden(token)
        given.update({"user": user, "password": password, "db_name": db_name, "token": token})
        fields = profile_fields(given)
        if alias is None:
            alias = os.environ.get("MILVUS_CONN_ALIAS") or _DEFAULT_ALIAS
        spelling, key = alias, fold_alias(_checked(alias))
        known = load_with_warning(alias, stacklevel=2)
        with self._lock:
            entry = self._entries.get(key)
        if entry is not None:
            alias = entry.alias
        if not has_address(fields):
            fields = _with_what_is_known(entry, alias, fields, known)
        return self.connected(alias, fields, _asked(alias, fields, known), spelling)

    def connected(self, alias: str, fields: CallFields, asked: Request, spelling: str) -> Connection:
        """Connect as a request says, and keep the connection under its alias."""
        self._check_address(alias, asked)
        asked.warn(stacklevel=3)
        connection = self._kept(_Entry(alias, fields, asked.resolved.profile, opened(asked)))
        profile = connection.profile
        told, key = (*dict.fromkeys((spelling, alias)),), fold_alias(alias)
        show(key, ShownAlias(told, connection.channel, profile.endpoint.authority, profile.user or "", profile.db_name))
        return connection

    def _kept(self, new: _Entry) -> Connection:
        """Put an entry with an open connection into the table; what the alias has from now on."""
        connection = new.connection
        assert connection is not None
        with self._lock:
            before = self._entries.get(fold_alias(new.alias))
            old = before.connection if before is not None and before.is_open else None
            if old is not None and old._shared is connection._shared and old.profile == connection.profile:
                new.connection = old
            self._entries[fold_alias(new.alias)] = new
        if old is None:
            return connection
        if new.connection is old:
            connection.close()
            return old
        # Who holds a handle on the same channel may go on with it; another channel takes the place of the one before.
        if old._shared is not connection._shared:
            old.close()
        return connection

    def _check_address(self, alias: str, asked: Request) -> None:
        """One alias leads to one place at a time, as in pymilvus: another one is asked for by disconnecting first."""
        with self._lock:
            entry = self._entries.get(fold_alias(alias))
            connection = entry.connection if entry is not None and entry.is_open else None
        given = any(path[0] in ("uri", "host") and value.origin.layer == "call" for path, value in _values(asked))
        if connection is not None and given and connection.endpoint != asked.resolved.profile.endpoint:
            raise ParamError(
                f"the alias {alias!r} is connected to {connection.endpoint}, "
                f"and {asked.resolved.profile.endpoint} was given",
                hint=f"call connections.disconnect({alias!r}) first, or take another alias",
            )

    def disconnect(self, alias: str) -> None:
        """Close the connections of an alias, waiting up to 5 s for calls in flight; what is known of it is kept.

        Args:
            alias: does nothing if it is not connected.

        Raises:
            ParamError: it is no text.
        """
        key = fold_alias(_checked(alias))
        with self._lock:
            entry = self._entries.get(key)
            is_open = entry is not None and entry.is_open
            if entry is not None:
                entry.connection = None
        hide(key)
        if is_open:
            disconnect_profile(alias)

    def remove_connection(self, alias: str) -> None:
        """Close the connections of an alias, and forget what ``connect`` and ``add_connection`` said about it.

        Args:
            alias: does nothing if it is not known.

        Raises:
            ParamError: it is no text.
        """
        hide(fold_alias(_checked(alias)), forget=True)
        self.disconnect(alias)
        with self._lock:
            self._entries.pop(fold_alias(alias), None)

    async def async_disconnect(self, alias: str) -> None:
        """:func:`disconnect`, without blocking the event loop."""
        await in_executor(partial(self.disconnect, alias))

    async def async_remove_connection(self, alias: str) -> None:
        """:func:`remove_connection`, without blocking the event loop."""
        await in_executor(partial(self.remove_connection, alias))

    def list_connections(self) -> list[ListedConnection]:
        """The aliases that ``connect`` and ``add_connection`` know.

        Returns:
            Pairs ``(alias, connection)``, the connection None where it is not open, with ``address`` and ``db_name``
            as attributes.
        """
        with self._lock:
            entries = list(self._entries.values())
        return [ListedConnection(e.alias, e.connection if e.is_open else None, e.profile) for e in entries]

    def get_connection_addr(self, alias: str) -> dict[str, Any]:
        """How an alias is reached.

        Args:
            alias: its name.

        Returns:
            ``address`` (``host:port``, or a path), ``user``, ``db_name`` and, with TLS, ``secure`` and the paths of
            the certificates, under the names of :func:`connect`; no secret.  Empty if it is not known.

        Raises:
            ParamError: it is no text.
        """
        key = fold_alias(_checked(alias))
        with self._lock:
            entry = self._entries.get(key)
        return {} if entry is None else address_of(entry.profile)

    def has_connection(self, alias: str) -> bool:
        """Whether an alias is connected.

        Args:
            alias: its name.

        Raises:
            ParamError: it is no text.
        """
        key = fold_alias(_checked(alias))
        with self._lock:
            entry = self._entries.get(key)
            return entry is not None and entry.is_open


# --- where an alias leads ---


def _with_what_is_known(entry: _Entry | None, alias: str, fields: CallFields, known: Profiles) -> CallFields:
    """The fields of a call that names no address, with those that were given before."""
    before = CallFields({} if entry is None else entry.fields)
    if any(name in fields for name in CREDENTIALS):
        # One credential at a time: a password must not meet the token of another call.
        before = CallFields({name: value for name, value in before.items() if name not in CREDENTIALS})
    merged = CallFields({**before, **fields})
    default = known.env.get("MILVUS_CONN_ALIAS") or _DEFAULT_ALIAS
    if not has_address(merged) and alias not in known and fold_alias(alias) == fold_alias(default):
        merged["host"] = DEFAULT_HOST
    return merged


def _asked(alias: str, fields: CallFields, known: Profiles) -> Request:
    """The profile of an alias: a declared one with the fields over it, or one of the fields alone."""
    if alias in known or not has_address(fields):
        return request(alias, profiles=known, fields=fields)
    return request(None, profiles=known, fields=fields, name=alias)


def _values(asked: Request) -> Any:
    return asked.resolved.raw.values.items()


def _checked(alias: Any) -> str:
    if not isinstance(alias, str):
        raise ParamError(f"the alias must be text, not {type(alias).__name__}")
    return alias


_CONNECTIONS = _Connections()

add_connection = _CONNECTIONS.add_connection
connect = _CONNECTIONS.connect
disconnect = _CONNECTIONS.disconnect
remove_connection = _CONNECTIONS.remove_connection
async_disconnect = _CONNECTIONS.async_disconnect
async_remove_connection = _CONNECTIONS.async_remove_connection
list_connections = _CONNECTIONS.list_connections
get_connection_addr = _CONNECTIONS.get_connection_addr
has_connection = _CONNECTIONS.has_connection


def orm(alias: str | Profile | None = None, **arguments: Any) -> Connection:
    """Connect a profile for pymilvus's ORM (extra: ``pymilvus``).

        mp.orm("prod")
        films = Collection("films", using="prod")

    It is :func:`connect` for who is about to use ``Collection``, ``utility``, ``db``, ``Role`` … of pymilvus; the alias
    is taken away again by :func:`disconnect` and :func:`remove_connection`.

    Args:
        alias: the profile, or its name; None takes the selected one, as :func:`milvus_profiles.connect` does.
        arguments: as for :func:`connect`.

    Returns:
        The connection.

    Raises:
        ConfigError: pymilvus is not installed.
        MilvusProfilesError: all else that :func:`connect` raises.
    """
    given, arguments = CallFields(arguments), {}
    client_class("MilvusClient")
    if isinstance(alias, Profile):
        fields = profile_fields(given)
        asked, name = request(alias, fields=fields), alias.alias
        if alias.source is None:  # what is known of it stands nowhere else
            fields = CallFields({**alias.fields(), **fields})
        return _CONNECTIONS.connected(name, fields, asked, name)
    return _CONNECTIONS.connect(load().select().alias if alias is None else alias, **given)
