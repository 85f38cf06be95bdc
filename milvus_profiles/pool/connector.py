"""What a pool leads to, for threads: live connections of profiles, opened by the one way there is.

The pool itself knows only :class:`PooledChannel` and :class:`Connector`; whatever else keeps these
contracts can be pooled too.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..channel.core import ChannelCore
from ..errors import ConnectionClosedError, MilvusProfilesError
from ..live.connection import Connection
from ..live.opening import open_live
from ..live.request import CallFields, request
from ..live.shared_channel import SharedChannel
from ..profile import PoolSettings, Profile
from .core import FRESH
from .state import Lease

if TYPE_CHECKING:
    from ..channel.aio_core import AsyncChannelCore
    from ..config.profiles import Profiles

__all__ = [
    "TEST_TIMEOUT",
    "Connector",
    "HealthJudged",
    "MilvusChannel",
    "MilvusConnector",
    "PooledChannel",
    "PooledConnection",
    "introduce",
]

TEST_TIMEOUT = 5.0
"""Seconds that a test waits for the server's answer at most; a shorter ``timeout`` of the profile wins."""


class PooledChannel(Protocol):
    """An open channel, as the pool sees it."""

    def is_suspect(self, now: float) -> bool:
        """Whether it is worth a test: calls failed, or none has succeeded lately.  Returns at once."""
        ...

    def is_good(self, timeout: float) -> bool:
        """Ask the server.

        Args:
            timeout: seconds to wait for its answer at most.
        """
        ...

    def close(self, grace: float) -> None:
        """Wait for calls in flight, then close.

        Args:
            grace: seconds to wait at most; calls that take longer are cut off.
        """
        ...

    def abandon(self) -> None:
        """In a forked child: it is the parent's, to be neither used nor closed."""
        ...


class Connector(Protocol):
    """Opens channels.

    Attributes:
        lease: makes an empty lease; the pool sets its ``_pool`` and ``_link``.
    """

    lease: Callable[[], Lease]

    def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        """What a key is called, however it is spelled, and the settings that it brings along.

        Raises:
            MilvusProfilesError: there is no such key.
        """
        ...

    def open(self, key: str) -> PooledChannel:
        """Open a channel.

        Raises:
            MilvusProfilesError: it cannot be had.
        """
        ...


class _Lender(Protocol):
    def _give_back_once(self, lease: Lease) -> None: ...


class PooledConnection(Lease, Connection):
    """A connection on lease from a pool: closing it gives it back, and then it can be used no longer."""

    _channel = None
    _link: MilvusChannel
    _pool: _Lender

    # Made for every lease, so it sets nothing: the pool sets _link and _pool, and the link has the rest.
    def __init__(self) -> None:
        pass

    @property
    def _closed(self) -> bool:  # type: ignore[override]
        return self.member is None

    @property
    def _live(self) -> SharedChannel:  # type: ignore[override]
        return self._link.live

    @property
    def _profile(self) -> Profile:  # type: ignore[override]
        return self._link.profile

    @property
    def _lock(self) -> threading.Lock:  # type: ignore[override]
        return self._link.lock

    def _gate(self) -> None:
        if self._closed:
            raise ConnectionClosedError(
                f"the connection of {self.alias!r} was returned to its pool", hint="take another one from the pool"
            )
        super()._gate()

    def close(self) -> None:
        """Give it back to the pool.  Idempotent."""
        self._pool._give_back_once(self)


class HealthJudged:
    """A link whose channel is worth a test, or not, judging by the calls on it."""

    __slots__ = ()

    core: ChannelCore | AsyncChannelCore

    def is_suspect(self, now: float) -> bool:
        """Whether calls failed, or none has succeeded lately.

        Args:
            now: monotonic seconds.
        """
        health = self.core.health
        if health.consecutive_unavailable:
            return True
        last = health.last_success
        return last is None or now - last > FRESH


class MilvusChannel(HealthJudged):
    """A live connection to a Milvus, with nobody but the pool's borrowers on it.

    Args:
        live: the connection.
    """

    __slots__ = ("core", "live", "lock", "profile")

    def __init__(self, live: SharedChannel) -> None:
        self.live = live
        self.profile = live.profile
        self.lock = threading.Lock()
        self.core = live.core

    def is_good(self, timeout: float) -> bool:
        channel = self.live.channel(lambda: None, lambda: None)
        try:
            self.live.ping(channel, min(timeout, TEST_TIMEOUT, self.profile.timeout))
        except MilvusProfilesError:
            return False
        return True

    def close(self, grace: float) -> None:
        self.live.disconnect(grace)

    def abandon(self) -> None:
        self.live.abandoned = True


class MilvusConnector:
    """Opens connections of profiles.

    Args:
        profiles: where they come from; None reads the files and the environment each time.
    """

    # Without the detour over a class's call and an empty __init__, which a lease pays for each time.  Static, as Python
    # 3.14 would make a method of it.
    lease: staticmethod[[], Lease] = staticmethod(partial(object.__new__, PooledConnection))

    def __init__(self, profiles: Profiles | None) -> None:
        self._profiles = profiles

    def introduce(self, key: str) -> tuple[str, PoolSettings | None]:
        return introduce(key, self._profiles)

    def open(self, key: str) -> MilvusChannel:
        asked = request(key, profiles=self._profiles, dedicated=True, fields=CallFields({}))
        # Not dedicated: that would close it with a handle, and the pool's leases are no handles of it.
        live = open_live(asked.resolved, asked.profiles, wait_ready=None, dedicated=False, forget=_forget)
        return MilvusChannel(live)


def introduce(key: str, profiles: Profiles | None) -> tuple[str, PoolSettings | None]:
    """The profile that a key of a pool names, however it is spelled, and the settings of its ``pool`` table.

    Args:
        key: the alias.
        profiles: where it comes from; None reads the files and the environment.

    Raises:
        MilvusProfilesError: as :func:`milvus_profiles.connect`, before it connects.
    """
    asked = request(key, profiles=profiles, dedicated=True, fields=CallFields({}))
    for warning in asked.warnings:
        warnings.warn(warning, stacklevel=5)
    profile = asked.resolved.profile
    return profile.alias, profile.pool


def _forget(live: Any) -> None:
    """A pool's channels are in no registry."""
