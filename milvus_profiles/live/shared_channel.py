"""A shared channel for threads: what :mod:`.shared_base` decides is done here, in threads of their own."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..background import beside, start
from ..channel.channel import ProfileChannel
from ..channel.core import ChannelCore, RawGeneration
from ..errors import ThreadStartError
from .clients import weakly
from .driving import drive
from .shared_base import Handle, SharedChannelBase
from .spec import OpenedBase, ReadyChannel, Slot

if TYPE_CHECKING:
    import grpc

    from ..channel.lite import LiteLease

__all__ = ["OpenedChannel", "SharedChannel"]

_PAUSE = 5.0
"""Seconds between two attempts to replace a channel on which a call was interrupted."""


class OpenedChannel(OpenedBase[ChannelCore]):
    """A channel on which nothing has been called yet."""

    __slots__ = ()

    def close(self) -> None:
        """Give everything back."""
        beside(self._close, "milvus-profiles close")

    def _close(self) -> None:
        self.core.close()
        if self.lite is not None:
            self.lite.release()


class SharedChannel(SharedChannelBase[ChannelCore]):
    """An open channel with its handles; made by :func:`.opening.open_live`, kept by the registry or by a pool.

    Args:
        forget: called when it has closed.
        renew: moves it to a channel that is opened with the files as they are now.
    """

    def __init__(
        self,
        ready: ReadyChannel[ChannelCore],
        *,
        slot: Slot,
        dedicated: bool,
        forget: Callable[[SharedChannel], None],
        renew: Callable[[SharedChannel], None],
    ) -> None:
        super().__init__(ready, threading.Lock(), slot=slot, dedicated=dedicated)
        self._forget = forget
        self._renew = renew
        # Held by the thread that renews the channel.
        self._renewing = threading.Lock()
        self._replace_at = -math.inf
        self.core.replace = weakly(self._replace)

    def channel(self, gate: Callable[[], None], on_close: Callable[[], None]) -> grpc.Channel:
        return ProfileChannel(self.core, gate=gate, on_close=on_close)

    def ping(self, channel: grpc.Channel, timeout: float) -> None:
        """Ask the server over a handle's channel, and wait some seconds for its answer.

        Raises:
            MilvusProfilesError: what is wrong, classified as in connecting.
        """
        drive(*self._pinging(channel, timeout))

    # --- handles ---

    def release(self, connection: Handle[Any]) -> None:
        """Take a handle back."""
        self._give_back(connection)
        self._dropped()

    def _drop_soon(self) -> None:
        with contextlib.suppress(ThreadStartError):  # whoever disconnects closes it
            start(self._dropped, "milvus-profiles close")

    def _dropped(self) -> None:
        if self._ends_with_handles():
            beside(self._close, "milvus-profiles close")

    # --- moving under living handles ---

    def _drain(self, leaving: RawGeneration, lite: LiteLease | None) -> None:
        try:
            start(partial(self._finish, leaving, lite, math.inf), "milvus-profiles drain")
        except ThreadStartError:
            self._finish(leaving, lite, 0.0)

    def _finish(self, leaving: RawGeneration, lite: LiteLease | None, grace: float) -> None:
        self.core.finish(leaving, grace)
        if lite is not None:
            lite.release()

    def _look(self) -> None:
        if self._is_outdated:
            self._renew_soon()

    def _replace(self) -> bool:
        if self._closed or self.abandoned or time.monotonic() < self._replace_at:
            return False
        self._renew_soon()
        return True

    def _renew_soon(self) -> None:
        if not self._renewing.locked():
            with contextlib.suppress(ThreadStartError):  # the next look tries again
                start(self._renew_once, "milvus-profiles renew")

    def _renew_once(self) -> None:
        with self._renewing:
            if self._is_outdated or self.core.is_damaged:
                self._renew(self)
            if self.core.is_damaged:
                self._replace_at = time.monotonic() + _PAUSE

    # --- closing ---

    def retire(self) -> None:
        """Close once the last handle is gone."""
        with self._guard:
            self._retired = True
        self._dropped()

    @property
    def closes_slowly(self) -> bool:
        """Whether closing may have to wait for something else than the channel."""
        return self.lite is not None or self.core.is_damaged or self.core.in_flight > 0

    def disconnect(self, grace: float) -> None:
        """Take no new call, wait for those in flight, then close all handles and the channel."""
        self.refuse()
        self.core.wait_idle(grace)
        self._close()

    def _close(self) -> None:
        # All of it can be done twice, so it is begun again by whoever finds the channel in the registry still.
        self.core.close()
        for own in self._end_clients():
            with contextlib.suppress(Exception):
                own.close()
        if self.lite is not None:
            self.lite.release()
        self._held.slot.release()
        self._forget(self)
        self._tell_closed()
