"""A connection of an event loop as its user holds it: :class:`.connection.Connection`, awaited."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..endpoint import Endpoint
from ..errors import ConnectionClosedError, ForkError
from ..joints import joined
from ..masked import MaskedFields
from ..profile import Profile

if TYPE_CHECKING:
    import grpc.aio
    from typing_extensions import Self

    from .aio_live import AsyncLive

__all__ = ["AsyncConnection"]


class AsyncConnection:
    """A handle on a live connection of the running event loop; returned by :func:`milvus_profiles.aio.connect`.

    It is used in the event loop that it was opened in.  It is closed once and for all by :meth:`close`, by the end of
    its ``async with`` block, by ``disconnect``, or with its loop.
    """

    def __init__(self, live: AsyncLive, profile: Profile) -> None:
        self._live = live
        self._profile = profile
        self._closed = False
        self._channel: grpc.aio.Channel | None = None

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
    def channel(self) -> grpc.aio.Channel:
        """An authenticated :class:`grpc.aio.Channel`, on which every Milvus stub works.

        Calls carry the credentials, the database and the identifier of the handshake; closing it closes the handle.

        Raises:
            ConnectionClosedError: on every call once the handle is closed; a unary call that was in flight when the
                connection was closed raises it too.
            ForkError: in a forked child.
        """
        if self._channel is None:
            self._channel = self._live.channel(self._gate, self.close)
        return self._channel

    def _gate(self) -> None:
        """Runs before every call."""
        if not self._closed and not self._live.abandoned:
            return
        if self._live.abandoned:
            raise ForkError(
                f"the connection of {self.alias!r} was opened before the fork, and asyncio's gRPC cannot go on there",
                hint="start child processes with multiprocessing's 'spawn', or connect after the fork only",
            )
        raise ConnectionClosedError(
            f"the connection of {self.alias!r} is closed", hint="call milvus_profiles.aio.connect() again"
        )

    async def ping(self, timeout: float | None = None) -> float:
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
        await self._live.ping(self.channel, self._profile.timeout if timeout is None else timeout)
        return time.perf_counter() - began

    def client(self, **arguments: Any) -> Any:
        """A ``pymilvus.AsyncMilvusClient`` of this profile, with a TCP connection of its own (extra: ``pymilvus``).

        It keeps this handle alive.  It goes on working when the handle is closed, unless that stops a Milvus Lite.

        Args:
            arguments: keyword arguments for AsyncMilvusClient, which win over those of the profile.

        Raises:
            ConfigError: pymilvus is not installed, or is older than 2.5.3, which has no AsyncMilvusClient.
            ConnectionClosedError: the handle is closed.
        """
        arguments = MaskedFields(arguments)  # no frame of a traceback shows a token of the caller's
        self._gate()
        live = self._live
        # The address may have changed since the handle was opened; what the call said of time has not.
        profile = live.profile.model_copy(update={"timeout": self._profile.timeout})
        client = joined("async_client")(profile, live.reach, live.token(), arguments)
        # The client keeps the handle: a Milvus Lite that was opened for it runs as long as it is used.
        client._milvus_profiles_connection = self
        return client

    async def close(self) -> None:
        """Give the handle back; the channel stays open for others, and until ``disconnect``.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        await self._live.release(self)

    def disconnected(self) -> None:
        """The channel is about to close under the handle: it takes no further call.  For the registry's use."""
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<AsyncConnection {self.alias} to {self.endpoint} ({state})>"
