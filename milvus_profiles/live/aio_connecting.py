"""What :func:`.aio_api.connect` does, with all that it takes: importing this imports gRPC.

The plans of :mod:`.opening`, awaited: what blocks (a keyring, a command, the start of Milvus Lite, socket probes) runs
in a thread of the loop's executor.  Cancelled at any await, nothing stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ..background import in_executor
from ..channel.aio_channel import AsyncChannelCore
from ..channel.core_base import weakly
from ..channel.metadata import TokenHolder
from ..channel.options import open_async_channel
from ..connectable import Connectable
from ..errors import MilvusProfilesError
from ..masked import MaskedFields, SecretText
from ..names import seconds_of
from .aio_registry import AsyncOpenedChannel, AsyncSharedChannel, give_back, release_soon, table
from .clients import client_of, taken_from
from .driving import async_drive
from .handshake import Plan, ServerInfo
from .opening import OpeningBase, OpeningPlan, lite_of, spec_of
from .request import CallFields, request, told
from .shared_base import Handle
from .spec import OPEN_CONNECTIONS, context_of

if TYPE_CHECKING:
    import grpc.aio
    from pymilvus import AsyncMilvusClient
    from typing_extensions import Self

    from ..channel.lite import LiteLease
    from ..config.profiles import Profiles
    from ..config.resolved import Resolved


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
            await self._shared.ping(self.channel, self._profile.timeout if timeout is None else timeout)
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
        await self._shared.release(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


T = TypeVar("T")


async def _lite(profile: Connectable) -> LiteLease | None:
    if profile.endpoint.kind != "lite":
        return None
    starting = in_executor(partial(lite_of, profile))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(_release_unseen)
        raise


def _release_unseen(starting: asyncio.Future[LiteLease | None]) -> None:
    if not starting.cancelled() and starting.exception() is None and (lease := starting.result()) is not None:
        release_soon(lease)


class _Opening(OpeningBase[AsyncOpenedChannel]):
    """Each step is to be awaited."""

    def find(self) -> Awaitable[SecretText | None]:
        return in_executor(partial(self.spec.find, False))

    async def begin(self) -> None:
        with contextlib.suppress(MilvusProfilesError):
            opened = await self.open(None)
            opened.core.raw.get_state(try_to_connect=True)

    async def open(self, token: SecretText | None, addresses: Sequence[str] = ()) -> AsyncOpenedChannel:
        if self.opened is not None and not addresses:
            self.opened = self.opened.given(token, self.spec)
            return self.opened
        profile = self.spec.profile
        lite = await _lite(profile)
        try:
            raw = open_async_channel(profile, lite_port=lite.port if lite else None, addresses=addresses)
        except BaseException:
            await give_back(lite)
            raise
        holder = TokenHolder(token, db_name=profile.db_name)
        core = AsyncChannelCore(raw, holder, call_timeout=profile.call_timeout, refresh=self.spec.refresh)
        self.opened = AsyncOpenedChannel(core, lite, context_of(profile, token, lite))
        return self.opened

    async def shake_hands(self, plan: Plan[ServerInfo], *rest: Any) -> ServerInfo:
        return await async_drive(plan, *rest)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        if self.opened is not None:
            await self.opened.close()

    async def run(self, plan: OpeningPlan[T]) -> T:
        try:
            step = next(plan)
            while True:
                try:
                    answer = await step
                except MilvusProfilesError as error:  # noqa: PERF203
                    step = plan.throw(error)
                else:
                    step = plan.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result
        except BaseException:
            await self.close()
            raise


async def open_async_shared(
    resolved: Resolved,
    profiles: Profiles,
    *,
    wait_ready: float | None,
    forget: Callable[[AsyncSharedChannel], None],
    dedicated: bool = False,
    old: AsyncSharedChannel | None = None,
) -> AsyncSharedChannel:
    """:func:`.opening.open_shared`, awaited."""
    with told(resolved.connectable.alias):
        spec = spec_of(resolved, profiles)
        if old is not None:
            opening = _Opening(spec, wait_ready)
            if await opening.run(opening.moving(old)):
                return old
        slot = OPEN_CONNECTIONS.take(profiles.settings.max_connections)
        opening = _Opening(spec, wait_ready)
        try:
            ready = await opening.run(opening.plan())
        except BaseException:
            slot.release()
            raise
    return AsyncSharedChannel(ready, slot=slot, dedicated=dedicated, forget=forget, renew=_renew)


async def _renew(shared: AsyncSharedChannel) -> None:
    with contextlib.suppress(MilvusProfilesError):
        opening = _Opening(shared.spec)
        await opening.run(opening.renewing(shared))


async def connect(
    alias: str | None,
    profiles: Profiles | None,
    dedicated: bool,
    wait_ready: float | None,
    timeout: float | None,
    fields: MaskedFields,
) -> AsyncConnection:
    """Open a connection, or share the one that is open in the running event loop; the arguments are those of a call."""
    here = table()
    await here.end_with_loop()
    given = CallFields(fields)
    wait_ready = None if wait_ready is None else seconds_of("wait_ready=", wait_ready)
    find = partial(request, alias, profiles=profiles, dedicated=dedicated, timeout=timeout, fields=given)
    asked = await in_executor(find)
    asked.warn(stacklevel=3)
    resolved, known = asked.resolved, asked.profiles
    forget = weakly(here.forget)  # the table holds what calls it

    def opener(old: AsyncSharedChannel | None) -> Awaitable[AsyncSharedChannel]:
        return open_async_shared(resolved, known, wait_ready=wait_ready, forget=forget, old=old)

    while True:
        if asked.key is None:
            shared = await open_async_shared(resolved, known, wait_ready=wait_ready, dedicated=True, forget=forget)
            here.add_dedicated(shared)
        else:
            shared = await here.shared(asked.key, asked.fingerprint, opener)
        connection = shared.handle(AsyncConnection, resolved.connectable)
        if connection is not None:
            return connection
        # It was disconnected between being found and being taken: open anew.
