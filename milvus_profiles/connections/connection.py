"""A connection as its user holds it: a handle on a live channel that others may hold too."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..endpoint import Endpoint
from ..errors import ConnectionClosedError, ForkError
from ..joints import joined
from ..masked import MaskedFields
from ..profile import Profile

if TYPE_CHECKING:
    import grpc
    from typing_extensions import Self

    from .live import Live

__all__ = ["Connection"]


class Connection:
    """A handle on a live connection; returned by :func:`milvus_profiles.connect`, usable from any thread.

    Attributes are fixed at connecting; a handle is closed once and for all by :meth:`close`, by the end of its ``with``
    block, or by ``disconnect``.
    """

    def __init__(self, live: Live, profile: Profile) -> None:
        self._live = live
        self._profile = profile
        self._closed = False
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    @property
    def alias(self) -> str:
        """The alias of the profile; ``"anonymous"`` where an address was given instead."""
        return self._profile.alias

    @property
    def profile(self) -> Profile:
        """The profile as the handle was opened with it, overrides of the call included."""
        return self._profile

    @property
    def endpoint(self) -> Endpoint:
        """Where it leads now; for Milvus Lite the database directory.

        A later ``connect`` that finds another address in the profile moves all handles of its connection there.
        """
        return self._live.profile.endpoint

    @property
    def server_version(self) -> str | None:
        """The server's version as it names it, such as ``2.3.5`` or ``milvus_lite-3.2.2``; None if it does not say."""
        return self._live.server.version

    @property
    def is_closed(self) -> bool:
        """Whether the handle was closed."""
        return self._closed

    @property
    def channel(self) -> grpc.Channel:
        """An authenticated :class:`grpc.Channel`, on which every Milvus stub works.

        Calls carry the credentials, the database and the identifier of the handshake; closing it closes the handle.

        Raises:
            ConnectionClosedError: on every call once the handle is closed.
            ForkError: in a forked child.
        """
        with self._lock:
            if self._channel is None:
                self._channel = self._live.channel(self._gate, self.close)
            return self._channel

    def _gate(self) -> None:
        """Runs before every call."""
        if not self._closed and not self._live.abandoned:
            return
        if self._live.abandoned:
            raise ForkError(
                f"the connection of {self.alias!r} was opened before the fork",
                hint="call milvus_profiles.connect() again in the child process",
            )
        raise ConnectionClosedError(
            f"the connection of {self.alias!r} is closed", hint="call milvus_profiles.connect() again"
        )

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
        self._live.ping(self.channel, self._profile.timeout if timeout is None else timeout)
        return time.perf_counter() - began

    def client(self, **arguments: Any) -> Any:
        """A ``pymilvus.MilvusClient`` of this profile, with a TCP connection of its own (extra: ``pymilvus``).

        It keeps this handle alive.  It goes on working when the handle is closed, unless that stops a Milvus Lite.

        Args:
            arguments: keyword arguments for MilvusClient, which win over those of the profile.

        Raises:
            ConfigError: pymilvus is not installed.
            ConnectionClosedError: the handle is closed.
        """
        arguments = MaskedFields(arguments)  # no frame of a traceback shows a token of the caller's
        self._gate()
        live = self._live
        # The address may have changed since the handle was opened; what the call said of time has not.
        profile = live.profile.model_copy(update={"timeout": self._profile.timeout})
        client = joined("client")(profile, live.reach, live.token(), arguments)
        # The client keeps the handle: a Milvus Lite that was opened for it runs as long as it is used.
        client._milvus_profiles_connection = self
        return client

    def close(self) -> None:
        """Give the handle back; the channel stays open for others, and until ``disconnect``.  Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._live.release(self)

    def disconnected(self) -> None:
        """The channel is about to close under the handle: it takes no further call.  For the registry's use."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<Connection {self.alias} to {self.endpoint} ({state})>"
