"""What an open channel is, whether threads or an event loop use it: what it was opened by, and what moves it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..channel.metadata import TokenHolder
from ..masked import SecretText
from ..profile import Profile
from .handshake import ServerInfo
from .spec import ChannelSpec, SpecKey, reach_of

if TYPE_CHECKING:
    from ..channel.core_base import CoreBase
    from ..channel.lite import LiteLease

__all__ = ["OpenedLike", "SharedChannelBase"]

C = TypeVar("C", bound="CoreBase[Any]")
C_co = TypeVar("C_co", bound="CoreBase[Any]", covariant=True)


class OpenedLike(Protocol[C_co]):
    """A channel on which the handshake has succeeded."""

    @property
    def core(self) -> C_co:
        """The channel."""
        ...

    @property
    def lite(self) -> LiteLease | None:
        """Its Milvus Lite, where it is one."""
        ...


class SharedChannelBase(Generic[C]):
    """An open channel.

    Args:
        spec: what it is opened by.
        started: the channel.
        server: what the handshake told.
        key: that of the spec's profile, from before its files were read.
        dedicated: it closes with its handle.

    Attributes:
        server: what the handshake told.
        reach: the endpoint that sockets lead to.
        spec: what it was opened by, or moved by since.
        fingerprint: what it stands on now.
        abandoned: it belongs to the process before a fork.
    """

    def __init__(
        self, spec: ChannelSpec, started: OpenedLike[C], server: ServerInfo, key: SpecKey, *, dedicated: bool
    ) -> None:
        self.server = server
        self.spec = spec
        self.fingerprint = key
        self.reach = reach_of(spec.profile, started.lite)
        self.abandoned = False
        self._core = started.core
        self._dedicated = dedicated
        self._retired = False
        self._closed = False
        self._watch()

    @property
    def profile(self) -> Profile:
        """The profile that it serves now."""
        return self.spec.profile

    @property
    def core(self) -> C:
        """The channel itself: its load and its health."""
        return self._core

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more handles and calls."""
        return self._closed

    def token(self) -> SecretText | None:
        """The token that calls carry now."""
        return self._core.holder.token

    def equip(self, spec: ChannelSpec, holder: TokenHolder, key: SpecKey) -> bool:
        """Go on with another secret from the next call on, over the same channel.

        Args:
            spec: what it is opened by from now on.
            holder: makes the metadata; the server has accepted it.
            key: that of the spec's profile.

        Returns:
            Whether it did; not if it was closed meanwhile.
        """
        if self._closed:
            return False
        self._core.equip(holder, spec.refresh)
        self._core.call_timeout = spec.profile.call_timeout
        self.spec, self.fingerprint = spec, key
        return True

    def _stand_on(self, spec: ChannelSpec, started: OpenedLike[C], server: ServerInfo, key: SpecKey) -> None:
        """The channel was swapped for another: what is said of it follows."""
        self._core.call_timeout = spec.profile.call_timeout
        self.server, self.spec, self.fingerprint = server, spec, key
        self.reach = reach_of(spec.profile, started.lite)
        self._watch()

    def _watch(self) -> None:
        tls = self.profile.tls
        has_files = tls is not None and (tls.ca is not None or tls.cert is not None)
        self._core.watch(self._look if has_files else None)

    @property
    def _is_outdated(self) -> bool:
        """Whether the certificate files have changed."""
        return not (self.abandoned or self._closed or SpecKey.of(self.profile) == self.fingerprint)

    @abstractmethod
    def _look(self) -> None:
        """Have the channel renewed if its certificate files have changed; a call may be waiting."""
