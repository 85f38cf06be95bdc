"""``load``, ``connect``, ``disconnect`` and the questions about what is open: the functions of the public face."""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable, Mapping
from typing import Any

from ..config.fields import FIELDS, SECRET_FIELDS
from ..config.permissions import file_warnings
from ..config.plaintext import check_plaintext
from ..config.profiles import Profiles, Resolved
from ..config.profiles import load as load_profiles
from ..errors import ConfigError, suggest
from ..masked import SecretText
from ..profile import fold_alias
from .connection import Connection
from .opening import Live, fingerprint, open_live
from .registry import ConnectionInfo, Registry

__all__ = [
    "InsecureFileWarning",
    "InsecureTransportWarning",
    "connect",
    "disconnect",
    "disconnect_all",
    "has_connection",
    "list_connections",
    "load",
]

_REGISTRY: Registry[Live] = Registry()

# Fields of a call that leave the channel as it is.
_NOT_OF_THE_CHANNEL = frozenset({"description", "protected", "timeout", "management_port"})


class InsecureFileWarning(UserWarning):
    """A file holds a token or password, and others may read it or change it."""


class InsecureTransportWarning(UserWarning):
    """A secret crosses the network unencrypted, as the profile allows."""


def load(
    file: str | os.PathLike[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> Profiles:
    """Read the profiles in force.

    Args:
        file: read this file, with full trust, and no other; None takes the project's and the user's.
        env: the environment; None takes ``os.environ``.
        cwd: where the search for a project's milvus.toml begins; None takes the current directory.

    Returns:
        A mapping from alias to :class:`~milvus_profiles.Profile`, with a ``connect`` of its own.

    Raises:
        ConfigError: a file cannot be read or is invalid as a whole, or a variable is wrong.  A single invalid profile
            raises when it is taken from the mapping.
    """
    return load_profiles(file, env=env, cwd=cwd, connector=connect)


def connect(
    alias: str | None = None,
    *,
    profiles: Profiles | None = None,
    dedicated: bool = False,
    wait_ready: float | None = None,
    timeout: float | None = None,
    **fields: Any,
) -> Connection:
    """Open a connection of a profile, or share the one that is open.

    Each call returns a handle of its own on the one live channel of the profile, which is opened on demand, checked
    by a handshake, and lives until :func:`disconnect`.

    Args:
        alias: the profile; None takes the selected one (``MILVUS_PROFILE``, ``MILVUS_URI``, ``default_profile`` …).
        profiles: where profiles come from; None reads the files and the environment.
        dedicated: open a channel that is shared with nobody and closed with its handle.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        timeout: seconds for connecting and the handshake, secrets and Milvus Lite's start left out; None takes the
            profile's (10).
        fields: fields of a profile that override it, such as ``db_name="x"``; with ``uri`` or ``host`` and no alias
            the connection is anonymous and dedicated.

    Raises:
        UnknownProfileError: there is no such profile.
        ConfigError: the profile is invalid.
        UntrustedError: it stands in a project file that is not trusted and needs trust.
        InsecureTransportError: its secret would cross the network in plaintext.
        SecretUnavailableError: its secret cannot be had.
        UnreachableError, TLSError, NotMilvusError, ServerNotReadyError, AuthenticationError, PermissionDeniedError,
        DatabaseNotFoundError, DatabaseInUseError: what was found at the endpoint.
        ConnectionLimitError: ``max_connections`` are open.
    """
    # Here, so that no frame of a traceback has the secret among its locals, a misspelled one included.
    fields = _CallFields(fields)
    for name in SECRET_FIELDS:
        if isinstance(fields.get(name), str):
            fields[name] = SecretText(fields[name])
    _check_names(fields)
    if timeout is not None:
        fields["timeout"] = float(timeout)
    known = profiles if profiles is not None else load()
    if alias is None and ("uri" in fields or "host" in fields):
        resolved, dedicated = known.anonymous(fields), True
    else:
        resolved = known.use(known.select(alias).alias, fields)
    if resolved.raw.document is not None:
        for line in file_warnings([resolved.raw.document]):
            warnings.warn(line, InsecureFileWarning, stacklevel=2)
    if (warning := check_plaintext(resolved)) is not None:
        warnings.warn(warning, InsecureTransportWarning, stacklevel=2)
    limit = known.settings.max_connections

    def opener() -> Live:
        return open_live(resolved, known, wait_ready=wait_ready, forget=_REGISTRY.forget, dedicated=dedicated)

    while True:
        if dedicated:
            live = _REGISTRY.dedicated(limit, opener)
        else:
            live = _REGISTRY.shared(_key(known, resolved, fields), fingerprint(resolved.profile), limit, opener)
        connection = live.handle(resolved.profile)
        if connection is not None:
            return connection
        # It was disconnected between being found and being taken: open anew.


class _CallFields(dict[str, Any]):
    """The fields of a call, of which a traceback shows the names only."""

    def __repr__(self) -> str:
        return f"<fields {', '.join(sorted(self))}>"


def _check_names(fields: Mapping[str, Any]) -> None:
    for name in fields:
        if name not in FIELDS:
            near = suggest(name, FIELDS)
            raise ConfigError(f"unknown field {name!a}", hint=f"did you mean {near!r}?" if near else None)


def _key(profiles: Profiles, resolved: Resolved, fields: Mapping[str, Any]) -> Hashable:
    """What channels are shared by: the source, the alias, and the overrides of the call that change the channel."""
    overrides = tuple(
        (name, _hashable(value)) for name, value in sorted(fields.items()) if name not in _NOT_OF_THE_CHANNEL
    )
    return profiles.source, fold_alias(resolved.profile.alias), overrides


def _hashable(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        return tuple((key, _hashable(inner)) for key, inner in sorted(value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(inner) for inner in value)
    hashable: Hashable = value
    return hashable


def disconnect(alias: str, *, grace: float = 5.0) -> None:
    """Close all connections of a profile; does nothing when none is open.

    Args:
        alias: the profile.
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    _REGISTRY.disconnect(alias, grace)


def disconnect_all(*, grace: float = 5.0) -> None:
    """Close all connections of the process.

    Args:
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    _REGISTRY.disconnect(None, grace)


def list_connections() -> list[ConnectionInfo]:
    """The channels that are open, sorted by alias."""
    return _REGISTRY.infos()


def has_connection(alias: str) -> bool:
    """Whether a channel of the profile is open."""
    return any(fold_alias(info.alias) == fold_alias(alias) for info in _REGISTRY.infos())
