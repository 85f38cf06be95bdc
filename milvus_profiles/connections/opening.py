"""From a resolved profile to a live channel: secret, Milvus Lite, channel, handshake, in that order.

This is the only way by which the package connects; the test of a profile takes the same steps, so the two cannot
disagree.  Whether plaintext is acceptable and whether the file is trusted was decided before.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..endpoint import Endpoint
from ..errors import DatabaseInUseError, ServerNotReadyError, UnreachableError
from ..masked import SecretText
from ..profile import Profile
from ..secrets import OSKeyring, SecretContext, keyring_timeout, resolve
from ..transport.attempt import Attempt
from ..transport.channel import ProfileChannel
from ..transport.core import ChannelCore
from ..transport.deadline import Deadline
from ..transport.failures import classify, needs_evidence
from ..transport.handshake import ServerInfo, handshake, look
from ..transport.metadata import TokenHolder
from ..transport.options import open_channel, tls_signature
from ..transport.wire import GET_VERSION
from .connection import Connection
from .registry import ConnectionInfo

if TYPE_CHECKING:
    import grpc

    from ..config.profiles import Profiles, Resolved
    from ..transport.lite import LiteLease

__all__ = ["ANONYMOUS", "Live", "Started", "fingerprint", "open_live", "patiently", "secret_context", "start"]

_NOT_OF_THE_CHANNEL = frozenset({"alias", "description", "protected", "extends", "timeout", "management_port", "pool"})
_PAUSE, _PAUSE_MAX = 0.1, 1.0
_LOOK = 1.0

ANONYMOUS = "anonymous"
"""The alias of a connection that was opened by an address alone."""

T = TypeVar("T")


def secret_context(profiles: Profiles, alias: str) -> SecretContext:
    """What resolving a secret needs to know, for a program without a terminal.

    Args:
        profiles: their environment and root settings.
        alias: the profile, for messages.
    """
    extra = profiles.settings.keyring_backends
    keyring = OSKeyring(extra_backends=extra, timeout=keyring_timeout(profiles.env))
    return SecretContext(env=profiles.env, keyring=keyring, alias=alias)


def fingerprint(profile: Profile) -> Hashable:
    """What a channel depends on: it serves a profile that was read anew only if this is the same.

    Args:
        profile: not a template.
    """
    values = tuple(getattr(profile, name) for name in Profile.model_fields if name not in _NOT_OF_THE_CHANNEL)
    return profile.endpoint, values, tls_signature(profile.tls)


class Live:
    """An open channel with its handles; made by :func:`open_live`, kept by the registry.

    Attributes:
        server: what the handshake told.
        reach: the endpoint that sockets lead to: for Milvus Lite its server in this process.
        fingerprint: what it was opened for.
        abandoned: it belongs to the process before a fork.
    """

    def __init__(
        self,
        profile: Profile,
        started: Started,
        server: ServerInfo,
        *,
        dedicated: bool,
        forget: Callable[[Live], None],
    ) -> None:
        self.server = server
        self.fingerprint = fingerprint(profile)
        lite = started.lite
        self.reach = profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)
        self.abandoned = False
        self._profile = profile
        self._started = started
        self._dedicated = dedicated
        self._retired = False
        self._closed = False
        self._forget = forget
        self._lock = threading.Lock()
        # Not a WeakSet: its own clean-up may come after that of a handle, which asks whether it was the last.
        self._handles: dict[int, weakref.ref[Connection]] = {}

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        with self._lock:
            handles = len(self._handles)
        return ConnectionInfo(self._profile.alias, self._profile.endpoint, self._profile.db_name, handles)

    def handle(self, profile: Profile) -> Connection | None:
        """A new handle; None if the channel was closed meanwhile.

        Args:
            profile: as the caller resolved it; it differs from the channel's only in what is not the channel's.
        """
        connection = Connection(self, profile)
        with self._lock:
            if self._closed or self._retired:
                return None
            self._handles[id(connection)] = weakref.ref(connection)
        # A handle that is dropped without being closed gives itself back.
        weakref.finalize(connection, self._collected, id(connection)).atexit = False
        return connection

    def _collected(self, key: int) -> None:
        self._handles.pop(key, None)
        # The garbage collector may run in a thread that holds one of our locks, so closing is another thread's.
        if (self._dedicated or self._retired) and not self._closed:
            threading.Thread(target=self._dropped, name="milvus-profiles close", daemon=True).start()

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> grpc.Channel:
        """A channel for one handle.

        Args:
            gate: called before every call; raises if the handle is closed.
            on_close: called when the user closes the channel.
        """
        return ProfileChannel(self._started.core, gate=gate, on_close=on_close)

    def token(self) -> SecretText | None:
        """The token that calls carry now."""
        return self._started.core.holder.token

    def ping(self, channel: grpc.Channel, timeout: float) -> None:
        """One call that the server answers whatever the user's rights are.

        Args:
            channel: the handle's.
            timeout: seconds to wait for the answer.

        Raises:
            MilvusProfilesError: what is wrong, classified as in connecting.
        """
        import grpc

        try:
            channel.unary_unary(GET_VERSION.path, None, None)(b"", timeout=timeout)
            return
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
        if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return  # it answered, which is all that was asked
        attempt = attempt_of(self._profile, self.token(), self._started.lite)
        evidence = look(attempt, Deadline.after(_LOOK)) if needs_evidence(code) else None
        raise classify(code, details, attempt, method=GET_VERSION.name, evidence=evidence)

    def release(self, connection: Connection) -> None:
        """Take a handle back."""
        with self._lock:
            self._handles.pop(id(connection), None)
        self._dropped()

    def _dropped(self) -> None:
        if self.abandoned:
            return
        with self._lock:
            last = not self._handles and (self._dedicated or self._retired) and not self._closed
            self._closed |= last
        if last:
            self._close()

    def retire(self) -> None:
        """Close once the last handle is gone."""
        with self._lock:
            self._retired = True
        self._dropped()

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            handles = [handle() for handle in self._handles.copy().values()]
        for connection in handles:
            if connection is not None:
                connection.disconnected()
        self._started.core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        self._started.close()
        self._forget(self)


def attempt_of(profile: Profile, token: SecretText | None, lite: LiteLease | None) -> Attempt:
    """What is tried, for the words of an error.

    Args:
        profile: the profile.
        token: what authenticates.
        lite: its Milvus Lite, where it is one.
    """
    alias = None if profile.alias == ANONYMOUS else profile.alias
    return Attempt.of(profile, token, alias=alias, lite_port=lite.port if lite else None)


def start(profile: Profile, token: SecretText | None, refresh: Callable[[], SecretText | None]) -> Started:
    """Everything of connecting that comes before the first call.

    Args:
        profile: not a template.
        token: what authenticates.
        refresh: resolves it anew when the server refuses it.

    Raises:
        DatabaseInUseError: another process has the Milvus Lite database open.
        ConfigError, TLSError: Milvus Lite cannot be started, or a TLS file is wrong.
    """
    lite: LiteLease | None = None
    if profile.endpoint.kind == "lite":
        from ..transport.lite import acquire_lite

        lite = acquire_lite(profile.endpoint.path)
    try:
        raw = open_channel(profile, lite_port=lite.port if lite else None)
    except BaseException:
        if lite is not None:
            lite.release()
        raise
    holder = TokenHolder(token, db_name=profile.db_name)
    core = ChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=refresh)
    return Started(core, lite, attempt_of(profile, token, lite))


@dataclass(frozen=True, slots=True)
class Started:
    """A channel on which nothing has been called yet.

    Attributes:
        core: the channel.
        lite: its Milvus Lite, where it is one.
        attempt: what is tried.
    """

    core: ChannelCore
    lite: LiteLease | None
    attempt: Attempt

    def close(self) -> None:
        """Give everything back."""
        self.core.close()
        if self.lite is not None:
            self.lite.release()


def open_live(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    dedicated: bool,
    forget: Callable[[Live], None],
) -> Live:
    """Open a channel and shake hands.

    Args:
        resolved: the profile.
        profiles: where it comes from: for its environment and root settings.
        wait_ready: seconds to wait for a server that is starting or not reachable yet; None does not wait.
        dedicated: close the channel with its handle.
        forget: called when the channel has closed by itself.

    Raises:
        MilvusProfilesError: what is wrong, classified.
    """
    profile = resolved.profile
    context = secret_context(profiles, profile.alias)

    def find(refresh: bool) -> SecretText | None:
        return resolve(profile.credential, profile.endpoint, context, refresh=refresh)

    started = start(profile, find(False), lambda: find(True))
    try:
        server = patiently(lambda: _shake_hands(started, profile), wait_ready)
    except BaseException:
        started.close()
        raise
    return Live(profile, started, server, dedicated=dedicated, forget=forget)


def _shake_hands(started: Started, profile: Profile) -> ServerInfo:
    return handshake(started.core, started.attempt, Deadline.after(profile.timeout), user=profile.user)


def patiently(attempt: Callable[[], T], wait_ready: float | None) -> T:
    """Try again while the server is starting, or cannot be reached yet, and there is time to wait.

    Args:
        attempt: one try.
        wait_ready: seconds to wait; None or 0 tries once.

    Raises:
        MilvusProfilesError: that of the last try.
    """
    until = time.monotonic() + (wait_ready or 0.0)
    pause = _PAUSE
    while True:
        try:
            return attempt()
        except (ServerNotReadyError, UnreachableError) as error:
            if isinstance(error, DatabaseInUseError) or time.monotonic() + pause >= until:
                if wait_ready:
                    error.message = f"{error.message} (waited {wait_ready:g} s)"
                raise
        time.sleep(pause)
        pause = min(pause * 1.6, _PAUSE_MAX)
