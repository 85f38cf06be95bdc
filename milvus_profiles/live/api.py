"""``load``, ``connect``, ``disconnect``, the questions about what is open, and the handle that ``connect`` returns."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..config.loading import load as load_profiles
from ..config.profiles import Profiles
from ..connectable import Connectable
from ..errors import MilvusProfilesError
from ..masked import MaskedFields
from ..names import alias_of, seconds_of
from .clients import client_of, taken_from
from .opening import open_shared
from .registry import Registry, SharedChannel
from .request import CallFields, Request, request
from .shared_base import ConnectionInfo, Handle

if TYPE_CHECKING:
    import grpc
    from pymilvus import MilvusClient
    from typing_extensions import Self, Unpack

    from ..profile import Profile, ProfileFields


class Connection(Handle["SharedChannel"]):
    """A handle on a live connection; returned by :func:`milvus_profiles.connect`, usable from any thread.

    Attributes are fixed at connecting; a handle is closed once and for all by :meth:`close`, by the end of its ``with``
    block, or by ``disconnect``.
    """

    _again = "milvus_profiles.connect()"
    _forked_hint = "call milvus_profiles.connect() again in the child process"

    def __init__(self, shared: SharedChannel, profile: Connectable) -> None:
        super().__init__(shared, profile)
        self._lock = threading.Lock()

    @property
    def channel(self) -> grpc.Channel:
        """An authenticated :class:`grpc.Channel`, on which every Milvus stub works.

        Calls carry the credentials, the database and the identifier of the handshake; closing it closes the handle.

        Raises:
            ConnectionClosedError: on every call once the handle is closed.
            ForkError: in a forked child.
        """
        with self._lock:
            channel: grpc.Channel = self._own_channel(self.close)
            return channel

    def ping(self, timeout: float | None = None) -> float:
        """Ask the server for its version and wait for the answer.

        Args:
            timeout: seconds to wait; None takes the profile's.

        Returns:
            Seconds that it took.

        Raises:
            ConnectionClosedError: the handle is closed.
            UnreachableError, AuthenticationError, ...: the server did not answer, as for ``connect``.
        """
        self._gate()
        began = time.perf_counter()
        try:
            self._shared.ping(self.channel, self._profile.timeout if timeout is None else timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error
        return time.perf_counter() - began

    def client(self, **arguments: Any) -> MilvusClient:
        """pymilvus's client on the channel of this handle (extra: ``pymilvus``): the same one at each call.

        It has no TCP connection and no login of its own.  Its calls are those of :attr:`channel`: they carry the token
        as it is now, end after ``call_timeout``, are repeated as ``retry`` says, reads only, and never by pymilvus
        itself.  It ends with this handle and with ``disconnect``; ``client().close()`` closes nothing else.

        Args:
            arguments: keyword arguments for MilvusClient, which win over those of the profile.  ``db_name`` gives the
                client of another database, on the same channel.  Others (``token``, ``uri`` …) give another client at
                each call, with a connection of its own, which this handle closes too.

        Raises:
            ConfigError: pymilvus is not installed.
            ConnectionClosedError: the handle is closed.
        """
        from ..channel.pymilvus_client import open_client

        # Here, so that no frame of a traceback shows a token of the caller's.
        masked, arguments = MaskedFields(arguments), {}
        found: MilvusClient = client_of(self, open_client, masked)
        return found

    def close(self) -> None:
        """Give the handle back; the channel stays open for others, and until ``disconnect``.  Idempotent."""
        self._closed = True
        # Each time: whoever did it first may have been interrupted.
        for own in taken_from(self):
            with contextlib.suppress(Exception):
                own.close()
        self._shared.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


_REGISTRY: Registry[SharedChannel] = Registry()


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
    try:
        return load_profiles(file, env=env, cwd=cwd, connector=connect)
    except MilvusProfilesError as error:
        error.__traceback__ = None
        raise error


def connect(
    alias: str | Profile | None = None,
    *,
    profiles: Profiles | None = None,
    dedicated: bool = False,
    wait_ready: float | None = None,
    timeout: float | None = None,
    **fields: Unpack[ProfileFields],
) -> Connection:
    """Open a connection of a profile, or share the one that is open.

    Each call returns a handle of its own on the one live channel of the profile, which is opened on demand, checked
    by a handshake, and lives until :func:`disconnect`.

    Args:
        alias: the name of a profile, or one itself, which gets a channel of its own where a program made it; None takes
            the selected one (``MILVUS_PROFILE``, ``MILVUS_URI``, ``default_profile`` …).
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
        UnreachableError: nothing answers at the endpoint; DatabaseInUseError, another process has the Milvus Lite.
        TLSError: TLS failed, in either direction.
        NotMilvusError: something else answers there.
        ServerNotReadyError: the server is starting or ending.
        AuthenticationError: it does not accept the secret.
        PermissionDeniedError: it does not let this user connect.
        DatabaseNotFoundError: it has no such database.
        ConnectionLimitError: ``max_connections`` are open.
    """
    given, fields = CallFields(fields), {}  # pyright: ignore[reportAssignmentType]
    try:
        asked = request(alias, profiles=profiles, dedicated=dedicated, timeout=timeout, fields=given)
        asked.warn(stacklevel=2)
        return opened(asked, wait_ready=wait_ready)
    except MilvusProfilesError as error:
        error.__traceback__ = None  # who reads it sees the caller's line and this one
        raise error


def opened(asked: Request, *, wait_ready: float | None = None) -> Connection:
    """A handle on the channel that a request asks for, opened on demand.

    Args:
        asked: the request; whoever made it has given its warnings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.

    Raises:
        MilvusProfilesError: what :func:`connect` raises.
    """
    resolved, known, forget = asked.resolved, asked.profiles, _REGISTRY.forget
    wait_ready = None if wait_ready is None else seconds_of("wait_ready=", wait_ready)

    def opener(old: SharedChannel | None) -> SharedChannel:
        return open_shared(resolved, known, wait_ready=wait_ready, forget=forget, old=old)

    while True:
        if asked.key is None:
            shared = open_shared(resolved, known, wait_ready=wait_ready, forget=forget, dedicated=True)
            connection = shared.handle(Connection, resolved.connectable)
            # Only then: a channel that nobody has a handle on would stay.
            _REGISTRY.add_dedicated(shared)
        else:
            shared = _REGISTRY.shared(asked.key, asked.fingerprint, opener)
            connection = shared.handle(Connection, resolved.connectable)
        if connection is not None:
            return connection
        # It was disconnected between being found and being taken: open anew.


def disconnect(alias: str | Profile, *, grace: float = 5.0) -> None:
    """Close all connections of a profile; does nothing when none is open.

    Args:
        alias: the profile.
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    _REGISTRY.disconnect(alias_of(alias), seconds_of("grace=", grace))


def disconnect_all(*, grace: float = 5.0) -> None:
    """Close all connections of the process.

    Args:
        grace: seconds that calls in flight are waited for before they are cut off.
    """
    _REGISTRY.disconnect(None, seconds_of("grace=", grace))


def list_connections() -> list[ConnectionInfo]:
    """The channels that are open, sorted by alias."""
    return _REGISTRY.infos()


def has_connection(alias: str | Profile) -> bool:
    """Whether a channel of the profile is open.

    Args:
        alias: the profile, or its name.
    """
    return _REGISTRY.has(alias_of(alias))
