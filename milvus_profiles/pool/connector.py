"""What a pool leads to: live connections of profiles, opened by the one way there is.

What is not of threads here serves asyncio, too.  The pool itself knows only :class:`PooledChannel` and
:class:`Connector`; whatever else keeps these contracts can be pooled.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

from ..config.profiles import Profiles, profiles_of
from ..errors import ConnectionClosedError, MilvusProfilesError, ParamError
from ..live.api import Connection
from ..live.opening import open_shared
from ..live.registry import SharedChannel
from ..live.request import CallFields, Request, request
from ..live.shared_base import Handle
from ..names import alias_of
from ..pool_settings import PoolSettings
from ..profile import Profile
from .lifecycle import HEALTHY_FOR
from .state import Lease

HEALTH_CHECK_TIMEOUT = 5.0
"""Seconds that a health check waits for the server's answer at most; a shorter ``timeout`` of the profile wins."""


class PooledChannel(Protocol):
    """An open channel, as the pool sees it."""

    def needs_check(self, now: float) -> bool:
        """Whether calls failed, or none has succeeded lately.  Returns at once."""
        ...

    def is_healthy(self, timeout: float) -> bool:
        """Ask the server, and wait so many seconds for its answer at most."""
        ...

    def close(self, grace: float) -> None:
        """Wait so many seconds at most for calls in flight, which are cut off then, and close."""

    def abandon(self) -> None:
        """In a forked child: it is the parent's, to be neither used nor closed."""


class Connector(Protocol):
    """Opens channels; :class:`MilvusProfilesError` says that there is no such key, or that none can be had.

    Attributes:
        lease: makes an empty lease; the pool sets its ``_pool`` and ``_pooled``.
    """

    lease: Callable[[], Lease]

    def introduce(self, key: Any) -> tuple[str, PoolSettings | None]:
        """What a key is called, however it is spelled, and the settings that it brings along."""
        ...

    def open(self, key: str) -> PooledChannel:
        """A channel of that key, after its handshake, within the profile's ``timeout``; it is the pool's alone."""
        ...


class LeasedHandle(Lease, Handle[Any]):
    """A handle on lease from a pool; returned, it takes no further call.

    Attributes are looked up where the pool has them: one is made for every lease, so that sets nothing.
    """

    __slots__ = ("_pool", "_pooled")

    _pooled: Any
    _pool: Any

    # No Python code runs to make one; who makes it sets `entry`.
    __init__ = object.__init__

    @property
    def _closed(self) -> bool:  # type: ignore[override]
        return self.entry is None

    @property
    def _shared(self) -> Any:
        return self._pooled.shared

    @property
    def _profile(self) -> Profile:  # type: ignore[override]
        profile: Profile = self._pooled.profile
        return profile

    def _gate(self) -> None:
        if self._closed:
            raise ConnectionClosedError(
                f"the connection of {self.alias!r} was returned to its pool", hint="take another one from the pool"
            )
        super()._gate()

    def _tie(self) -> _LeaseTie:
        return _LeaseTie(self)


class _LeaseTie:
    """What a client of a lease belongs to: it ends with the lease, and does not keep it from ending."""

    __slots__ = ("_lease",)

    def __init__(self, lease: LeasedHandle) -> None:
        self._lease = weakref.ref(lease)

    def check(self) -> None:
        lease = self._lease()
        if lease is None:
            raise ConnectionClosedError(
                "the connection was returned to its pool",
                hint="take another one from the pool, and keep it as long as its client is used",
            )
        lease._gate()

    def give_back(self) -> None:
        pass


class PooledConnection(LeasedHandle, Connection):
    """A connection on lease from a pool: closing it gives it back, and then it can be used no longer."""

    @property
    def _lock(self) -> threading.Lock:  # type: ignore[override]
        lock: threading.Lock = self._pooled.lock
        return lock

    def close(self) -> None:
        """Give it back to the pool.  Idempotent."""
        if self.entry is not None:
            self._pool._give_back(self)


class MilvusChannelBase:
    """A live connection to a Milvus, with nobody but the pool's borrowers on it."""

    __slots__ = ("core", "profile", "shared")

    def __init__(self, shared: Any) -> None:
        self.shared = shared
        self.profile: Profile = shared.profile
        self.core = shared.core

    def needs_check(self, now: float) -> bool:
        health = self.core.health
        if health.consecutive_unavailable:
            return True
        last = health.last_success
        return last is None or now - last > HEALTHY_FOR

    def abandon(self) -> None:
        self.shared.abandoned = True


class MilvusChannel(MilvusChannelBase):
    """One for threads."""

    __slots__ = ("lock",)

    shared: SharedChannel

    def __init__(self, shared: SharedChannel) -> None:
        super().__init__(shared)
        self.lock = threading.Lock()

    def is_healthy(self, timeout: float) -> bool:
        channel = self.shared.channel(lambda: None, lambda: None)
        try:
            self.shared.ping(channel, min(timeout, HEALTH_CHECK_TIMEOUT, self.profile.timeout))
        except MilvusProfilesError:
            return False
        return True

    def close(self, grace: float) -> None:
        self.shared.disconnect(grace)


class ProfileKeys:
    """What the keys of a pool lead to: profiles by their alias, or those that a program gave in its place.

    Args:
        profiles: where they come from; None reads the files and the environment each time.
    """

    def __init__(self, profiles: Profiles | None) -> None:
        self._profiles = profiles_of(profiles)
        self._known: dict[str, tuple[str | Profile, Profile]] = {}

    def _introduced(self, key: str | Profile) -> tuple[str, PoolSettings | None]:
        """The alias of a key, however it is spelled, and the settings of its ``pool`` table.

        Raises:
            MilvusProfilesError: as :func:`milvus_profiles.connect`, before it connects.
        """
        alias_of(key)
        asked = self._asked(key)
        asked.warn(stacklevel=5)
        profile = asked.resolved.profile
        alias = profile.alias
        _, known = self._known.setdefault(alias, (key if isinstance(key, Profile) else alias, profile))
        if isinstance(key, Profile) and known != profile:
            raise ParamError(
                f"the pool knows another profile {alias!r} than this one",
                hint="give one of them another alias, or a pool of its own",
            )
        return alias, profile.pool

    def _asked(self, key: str | Profile) -> Request:
        return request(key, profiles=self._profiles, dedicated=True, fields=CallFields({}))

    def _to_open(self, alias: str) -> Request:
        """What a channel of a key asks for."""
        return self._asked(self._known.get(alias, (alias,))[0])


class MilvusConnector(ProfileKeys):
    """Opens connections of profiles."""

    lease: staticmethod[[], Lease] = staticmethod(PooledConnection)

    def introduce(self, key: str | Profile) -> tuple[str, PoolSettings | None]:
        return self._introduced(key)

    def open(self, key: str) -> MilvusChannel:
        asked = self._to_open(key)
        # Not dedicated: that would close it with a handle, and the pool's leases are no handles of it.
        shared = open_shared(asked.resolved, asked.profiles, wait_ready=None, dedicated=False, forget=forget)
        return MilvusChannel(shared)


def forget(shared: object) -> None:
    """A pool's channels are in no registry."""
