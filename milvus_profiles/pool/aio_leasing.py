"""What ``lease`` of the pool for asyncio returns."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import MilvusProfilesError
from .base import Leasing

if TYPE_CHECKING:
    from ..live.aio_connecting import AsyncConnection

__all__ = ["AsyncLeasing"]


class AsyncLeasing(Leasing):
    """A connection for the length of an ``async with`` block."""

    __slots__ = ()

    async def __aenter__(self) -> AsyncConnection:
        connection: AsyncConnection | None = self._pool._take_at_once(self._key)
        if connection is None:
            try:
                connection = await self._pool._take(self._key, self._timeout)
            except MilvusProfilesError as error:
                error.__traceback__ = None
                raise error
        self._connection = connection
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._connection.entry is not None:
            self._pool._give_back(self._connection)
