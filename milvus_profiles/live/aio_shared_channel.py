"""An open channel and the handles on it, for an event loop: what :mod:`.live` is for threads."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..background import in_executor, start
from ..channel.aio_channel import AsyncProfileChannel
from ..channel.aio_core import AsyncChannelCore, AsyncGeneration
from ..channel.wire import GET_VERSION
from ..deadline import Deadline
from ..errors import ThreadStartError
from ..probe.context import ConnectContext
from ..probe.explain import classify, needs_probes
from ..profile import Profile
from .aio_handshake import async_look
from .handle import Handle
from .handshake import ServerInfo
from .limit import Slot
from .registry import ConnectionInfo
from .shared_base import SharedChannelBase
from .spec import ChannelSpec, SpecKey, context_of

if TYPE_CHECKING:
    import grpc.aio

    from ..channel.lite import LiteLease

__all__ = ["AsyncOpenedChannel", "AsyncSharedChannel", "give_back"]

H = TypeVar("H", bound=Handle[Any])

_LOOK = 1.0
_FOREVER = float("inf")


async def give_back(lite: LiteLease | None) -> None:
    """Release a Milvus Lite, which blocks when it is the last to do so, in a thread.

    Args:
        lite: the lease, if there is one.
    """
    if lite is not None:
        try:
            await in_executor(lite.release)
        except ThreadStartError:
            lite.release()  # it blocks the loop, which is better than a database that stays open


@dataclass(frozen=True, slots=True)
class AsyncOpenedChannel:
    """A channel on which nothing has been called yet.

    Attributes:
        core: the channel.
        lite: its Milvus Lite, where it is one.
        context: what is tried.
    """

    core: AsyncChannelCore
    lite: LiteLease | None
    context: ConnectContext

    async def close(self) -> None:
        """Give everything back."""
        await self.core.close()
        await give_back(self.lite)


class _Belongings:
    """What has to be given back even if the event loop ended without closing anything."""

    __slots__ = ("lite", "slot")

    def __init__(self, slot: Slot, lite: LiteLease | None) -> None:
        self.slot = slot
        self.lite = lite

    def left_behind(self) -> None:
        """The channel was collected: its own end closes its socket."""
        self.slot.release()
        if (lite := self.lite) is not None:
            self.lite = None
            # The garbage collector may run anywhere, and stopping a server takes its time.
            with contextlib.suppress(ThreadStartError):  # the end of the process stops it
                start(lite.release, "milvus-profiles close")


class AsyncSharedChannel(SharedChannelBase[AsyncChannelCore]):
    """An open channel of an event loop with its handles; made by ``open_async_live``, kept by the loop's table or by a
    pool.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        started: AsyncOpenedChannel,
        server: ServerInfo,
        key: SpecKey,
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[AsyncSharedChannel], None],
        renew: Callable[[AsyncSharedChannel], Awaitable[None]],
    ) -> None:
        super().__init__(spec, started, server, key, dedicated=dedicated)
        self._loop = asyncio.get_running_loop()
        self._belongings = _Belongings(slot, started.lite)
        self._forget = forget
        self._renew = renew
        self._renewing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._handles: dict[int, weakref.ref[Handle[Any]]] = {}
        self._end = weakref.finalize(self, self._belongings.left_behind)
        self._end.atexit = False

    # --- what it is ---

    @property
    def lite(self) -> LiteLease | None:
        """Its Milvus Lite, where it is one."""
        return self._belongings.lite

    @property
    def info(self) -> ConnectionInfo:
        """What ``list_connections`` shows."""
        return ConnectionInfo(self.profile.alias, self.profile.endpoint, self.profile.db_name, len(self._handles))

    # --- handles ---

    def handle(self, make: Callable[[AsyncSharedChannel, Profile], H], profile: Profile) -> H | None:
        """A new handle; None if the channel was closed meanwhile.

        Args:
            make: makes it.
            profile: as the caller resolved it; it differs from the channel's only in what is not the channel's.
        """
        if self._closed or self._retired:
            return None
        connection = make(self, profile)
        self._handles[id(connection)] = weakref.ref(connection)
        # A handle that is dropped without being closed gives itself back.  Weakly: the handle and this may be collected
        # together, with their loop.
        weakref.finalize(connection, _collected, weakref.ref(self), id(connection)).atexit = False
        return connection

    def _collected(self, key: int) -> None:
        self._handles.pop(key, None)
        # The garbage collector may run in any thread.
        if (self._dedicated or self._retired) and not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._background, self._dropped)

    def _background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = self._loop.create_task(work())
        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def channel(self, gate: Callable[[], None], on_close: Callable[[], Awaitable[None]]) -> grpc.aio.Channel:
        """A channel for one handle.

        Args:
            gate: called before every call; raises if the handle is closed.
            on_close: called when the user closes the channel.
        """
        return AsyncProfileChannel(self._core, gate=gate, on_close=on_close)

    async def ping(self, channel: grpc.aio.Channel, timeout: float) -> None:
        """One call that the server answers whatever the user's rights are.

        Args:
            channel: the handle's.
            timeout: seconds to wait for the answer.

        Raises:
            MilvusProfilesError: what is wrong, classified as in connecting.
        """
        from ..channel.grpc_import import grpc

        try:
            await channel.unary_unary(GET_VERSION.path, None, None)(b"", timeout=timeout)
            return
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details() or ""
        except grpc.aio.UsageError:  # what grpc says to a call on a channel that was closed meanwhile
            code, details = grpc.StatusCode.CANCELLED, ""
        if code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED):
            return  # it answered, which is all that was asked
        context = context_of(self.profile, self.token(), self.lite)
        results = await async_look(context, Deadline.after(_LOOK)) if needs_probes(code, details) else None
        raise classify(code, details, context, method=GET_VERSION.name, results=results, opening=False)

    async def release(self, connection: Handle[Any]) -> None:
        """Take a handle back."""
        self._handles.pop(id(connection), None)
        await self._dropped()

    async def _dropped(self) -> None:
        if self.abandoned:
            return
        if not self._handles and (self._dedicated or self._retired) and not self._closed:
            self._closed = True
            await self._close()

    # --- moving under living handles ---

    def move(
        self, spec: ChannelSpec, started: AsyncOpenedChannel, server: ServerInfo, old: SpecKey, new: SpecKey
    ) -> bool:
        """Send the calls of all handles over another channel from now on; the old one ends with its last call.

        Args:
            spec: what it is opened by from now on.
            started: the other channel, on which the handshake has succeeded.
            server: what it told.
            old: what this channel must stand on still.
            new: what it stands on then.

        Returns:
            Whether it did; not if it was closed or moved meanwhile, and then ``started`` stays the caller's.
        """
        if self._closed or self.fingerprint != old:
            return False
        leaving = self._core.swap(started.core.raw, started.core.holder, spec.refresh)
        lite, self._belongings.lite = self._belongings.lite, started.lite
        self._stand_on(spec, started, server, new)
        self._background(lambda: self._drain(leaving, lite))
        return True

    async def _drain(self, leaving: AsyncGeneration, lite: LiteLease | None) -> None:
        try:
            # As long as its calls take: whoever made one without a deadline wants its answer.
            await self._core.finish(leaving, _FOREVER)
        finally:
            await give_back(lite)

    def _look(self) -> None:
        if self._renewing is None and self._is_outdated:
            self._renewing = self._loop.create_task(self._renew_once())

    async def _renew_once(self) -> None:
        try:
            await self._renew(self)
        finally:
            self._renewing = None

    # --- closing ---

    async def retire(self) -> None:
        """Close once the last handle is gone."""
        self._retired = True
        await self._dropped()

    async def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel.

        Whoever is cancelled here does not wait any longer, and the channel is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        for reference in self._handles.copy().values():
            if (connection := reference()) is not None:
                connection.disconnected()
        try:
            await self._core.wait_idle(grace)
        finally:
            await self._close()

    async def _close(self) -> None:
        self._forget(self)
        self._end.detach()
        self._belongings.slot.release()
        lite, self._belongings.lite = self._belongings.lite, None
        if self._renewing is not None:
            self._renewing.cancel()
        try:
            await self._core.close()
        finally:
            await give_back(lite)


def _collected(reference: weakref.ref[AsyncSharedChannel], key: int) -> None:
    if (live := reference()) is not None:
        live._collected(key)
