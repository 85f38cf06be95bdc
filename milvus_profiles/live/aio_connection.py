"""A connection of an event loop as its user holds it: :class:`.connection.Connection`, awaited."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..errors import MilvusProfilesError
from ..masked import MaskedFields
from .clients import client_of, taken_from
from .shared_base import Handle

if TYPE_CHECKING:
    import grpc.aio
    from pymilvus import AsyncMilvusClient
    from typing_extensions import Self

    from .aio_shared_channel import AsyncSharedChannel  # noqa: F401  # named in quotes below

__all__ = ["AsyncConnection"]


class AsyncConnection(Handle["AsyncSharedChannel"]):
    """A handle on a live connection of the running event loop; returned by :func:`milvus_profiles.aio.connect`.

    It is used in the event loop that it was opened in.  It is closed once and for all by :meth:`close`, by the end of
    its ``async with`` block, by ``disconnect``, or with its loop.
    """

    _again = "milvus_profiles.aio.connect()"
    _elsewhere = "milvus_profiles.aio.connect(ALIAS)"
    _forked_hint = (
        "asyncio's gRPC cannot go on in a forked child: start child processes with multiprocessing's 'spawn', "
        "or connect after the fork only"
    )

    @property
    def channel(self) -> grpc.aio.Channel:
        """As :attr:`milvus_profiles.Connection.channel`, a :class:`grpc.aio.Channel`.

        A unary call that was in flight when the connection was closed raises ConnectionClosedError too.
        """
        channel: grpc.aio.Channel = self._own_channel(self.close)
        return channel

    async def ping(self, timeout: float | None = None) -> float:
        """Ask the server for its version, as :meth:`milvus_profiles.Connection.ping` does: the seconds that it took."""
        self._gate()
        began = time.perf_counter()
        try:
            await self._live.ping(self.channel, self._profile.timeout if timeout is None else timeout)
        except MilvusProfilesError as error:
            error.__traceback__ = None
            raise error
        return time.perf_counter() - began

    def client(self, **arguments: Any) -> AsyncMilvusClient:
        """As :meth:`milvus_profiles.Connection.client`, a ``pymilvus.AsyncMilvusClient``.

        Raises:
            ConfigError: pymilvus is not installed, or is older than 2.5.3, which has no AsyncMilvusClient.
            ConnectionClosedError: the handle is closed.
        """
        from ..channel.pymilvus_client import open_async_client

        # Here, so that no frame of a traceback shows a token of the caller's.
        masked, arguments = MaskedFields(arguments), {}
        found: AsyncMilvusClient = client_of(self, open_async_client, masked)
        return found

    async def close(self) -> None:
        """Give the handle back; the channel stays open for others, and until ``disconnect``.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        for own in taken_from(self):
            with contextlib.suppress(Exception):
                await own.close()
        await self._live.release(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
