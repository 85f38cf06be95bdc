"""pymilvus's clients of a handle: made on its channel, kept with it, closed with it.

A client may outlive the last reference to its handle, which many programs drop at once (``connect(…).client()``).  It
does not hold the handle, which would be a circle around a channel; it has a hold of its own on the open channel.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..errors import ConnectionClosedError, ForkError, MilvusProfilesError, ParamError
from ..masked import MaskedFields

_ON_THE_CHANNEL = frozenset({"db_name", "timeout"})
"""Arguments that need no connection of its own; the timeout is that of connecting, which is done."""


def forked_or_closed(handle: type[Any], alias: str, *, forked: bool) -> MilvusProfilesError:
    """What calls are refused with, of a handle of this class or of its client."""
    if forked:
        return ForkError(f"the connection of {alias!r} was opened before the fork", hint=handle._forked_hint)
    return ConnectionClosedError(f"the connection of {alias!r} is closed", hint=f"call {handle._again} again")


def gate_of(shared: weakref.ref[Any]) -> Callable[[], None]:
    """For the channel of all clients of an open channel: their own checks come before."""

    def gate() -> None:
        found = shared()
        if found is not None and found.abandoned:
            raise ForkError(f"the connection of {found.profile.alias!r} was opened before the fork")

    return gate


class ClientHold:
    """What a client belongs to.  It holds the open channel as a handle does, but counts only when that is gone.

    Attributes:
        own: the client, where it has a connection of its own.
    """

    __slots__ = ("__weakref__", "_alias", "_closed", "_handle", "_kind", "_shared", "own")

    def __init__(self, shared: Any, handle: Any) -> None:
        self._shared = shared
        self._handle = weakref.ref(handle)
        self._kind = type(handle)
        self._alias = handle.alias
        self._closed = False
        self.own: weakref.ref[Any] | None = None

    @property
    def counts(self) -> bool:
        """Whether no handle stands for it."""
        return self._handle() is None

    def check(self) -> None:
        """Raise where the client may call no more."""
        if self._closed or self._shared.abandoned:
            raise forked_or_closed(self._kind, self._alias, forked=self._shared.abandoned)

    def give_back(self) -> None:
        """The client was closed; the channel stays as the handle wants it."""
        self._closed = True
        self._shared.dropped(self)

    def disconnected(self) -> None:
        """The channel is about to close."""
        self._closed = True


def client_of(handle: Any, open_own: Callable[..., Any], arguments: MaskedFields) -> Any:
    """The client of a handle: the same for the same database, on its channel, as long as nobody closed it.

    Args:
        handle: from which it is asked.
        open_own: opens one with a connection of its own, for arguments that say another login or another way, and
            where the installed pymilvus takes no channel.
        arguments: those of the client.

    Raises:
        ConnectionClosedError, ForkError: the handle is closed, or from before a fork.
        ParamError: an argument leads elsewhere, or has no effect.
        ConfigError: pymilvus is not installed or too old.
    """
    handle._gate()
    if "uri" in arguments and "token" not in arguments:
        raise ParamError(
            "uri= leads elsewhere, and the secret of this connection does not go there",
            hint="connect there, `mp.connect(uri=…, token=…).client()`, or give token= beside it",
        )
    if wrong := [name for name in ("user", "password", "alias") if name in arguments]:
        raise ParamError(
            f"{wrong[0]}= has no effect on a client of this connection",
            hint="for another login give token='user:password'",
        )
    shared = handle._shared
    db_name = arguments.get("db_name")
    if db_name is None:
        db_name = shared.profile.db_name or ""
    if not arguments.keys() <= _ON_THE_CHANNEL or not isinstance(db_name, str):
        return _own(handle, open_own, arguments)
    clients: dict[str, Any] = vars(handle).setdefault("_clients", {})
    found = clients.get(db_name)
    if found is None or getattr(found, "_milvus_profiles_closed", False):
        made = shared.clients.client(db_name, handle._tie) or _own(handle, open_own, arguments)
        if found is not None:
            clients.pop(db_name, None)
        found = clients.setdefault(db_name, made)  # one for all threads that ask
        if handle._closed:  # meanwhile
            found._milvus_profiles.give_back()
            handle._gate()
    return found


def _own(handle: Any, open_own: Callable[..., Any], arguments: MaskedFields) -> Any:
    shared = handle._shared
    hold = shared.hold(handle)
    # The address may have changed since the handle was opened; what the call said of time has not.
    profile = shared.profile.validated().model_copy(update={"timeout": handle.profile.timeout})
    client = open_own(profile, shared.reach, shared.token(), arguments)
    client._milvus_profiles = hold
    hold.own = weakref.ref(client)
    vars(handle).setdefault("_own_clients", []).append(hold.own)
    return client


def taken_from(handle: Any) -> list[Any]:
    """End the clients of a handle that is closed.

    Returns:
        Those that have a connection of their own, to be closed by the caller.
    """
    for client in vars(handle).pop("_clients", {}).values():
        client._milvus_profiles.disconnected()
        handle._shared.let_go(client._milvus_profiles)
    own = [reference() for reference in vars(handle).pop("_own_clients", [])]
    clients = [client for client in own if client is not None]
    for client in clients:
        client._milvus_profiles.disconnected()
        handle._shared.let_go(client._milvus_profiles)
    return clients
