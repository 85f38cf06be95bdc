"""What :func:`.aio_api.connect` does, with all that it takes: importing this imports gRPC."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING

from ..background import in_executor
from ..deadline import seconds_of
from ..masked import MaskedFields
from .aio_connection import AsyncConnection
from .aio_opening import open_async_live
from .aio_registry import table
from .aio_shared_channel import AsyncSharedChannel
from .request import CallFields, request
from .weak import weakly

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["connect", "table"]


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
        return open_async_live(resolved, known, wait_ready=wait_ready, forget=forget, old=old)

    while True:
        if asked.key is None:
            live = await open_async_live(resolved, known, wait_ready=wait_ready, dedicated=True, forget=forget)
            here.add_dedicated(live)
        else:
            live = await here.shared(asked.key, asked.fingerprint, opener)
        connection = live.handle(AsyncConnection, resolved.connectable)
        if connection is not None:
            return connection
        # It was disconnected between being found and being taken: open anew.
