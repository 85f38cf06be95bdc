"""What a connection tells of itself, whether threads or an event loop hold it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from ..endpoint import Endpoint
from ..errors import ConnectionClosedError, ForkError
from ..half_made import even_half_made
from ..masked import MaskedFields
from ..profile import Profile
from .shared_base import SharedChannelBase

__all__ = ["Handle"]

L = TypeVar("L", bound=SharedChannelBase[Any])


@even_half_made
class Handle(Generic[L]):
    """One holder's share of a live connection.

    Args:
        live: the connection.
        profile: as the holder resolved it.
    """

    _again: ClassVar[str]
    """What to call for another one."""
    _forked_hint: ClassVar[str]

    def __init__(self, live: L, profile: Profile) -> None:
        self._live = live
        self._profile = profile
        self._closed = False

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

    def _gate(self) -> None:
        """Runs before every call."""
        if not self._closed and not self._live.abandoned:
            return
        if self._live.abandoned:
            raise ForkError(f"the connection of {self.alias!r} was opened before the fork", hint=self._forked_hint)
        raise ConnectionClosedError(f"the connection of {self.alias!r} is closed", hint=f"call {self._again} again")

    def _client(self, opened: Callable[..., Any], arguments: MaskedFields) -> Any:
        self._gate()
        live = self._live
        # The address may have changed since the handle was opened; what the call said of time has not.
        profile = live.profile.model_copy(update={"timeout": self._profile.timeout})
        client = opened(profile, live.reach, live.token(), arguments)
        # The client keeps the handle: a Milvus Lite that was opened for it runs as long as it is used.
        client._milvus_profiles_connection = self
        return client

    def disconnected(self) -> None:
        """The channel is about to close under the handle: it takes no further call.  For the registry's use."""
        self._closed = True

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<{type(self).__name__} {self.alias} to {self.endpoint} ({state})>"
