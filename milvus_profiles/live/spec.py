"""What opening a channel takes and gives: its spec, a place among ``max_connections``, and the channel made ready."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from typing_extensions import Self

from ..channel.metadata import TokenHolder
from ..channel.tls_files import tls_signature
from ..config.fields import ADDRESS_FIELDS, FIELDS
from ..connectable import Connectable, comparable
from ..endpoint import Endpoint
from ..errors import ConnectionLimitError
from ..masked import SecretText
from ..probe.context import ConnectContext
from ..text import counted
from .handshake import ServerInfo

if TYPE_CHECKING:
    from ..channel.core_base import CoreBase
    from ..channel.lite import LiteLease


NOT_OF_THE_CHANNEL = frozenset(
    {"alias", "allow_insecure", "description", "extends", "management_port", "pool", "protected", "timeout"}
)
"""Fields that leave the channel as it is."""
_IDENTITY = ("db_name", "user")
_MANNER = ("token", "password", "call_timeout")
_OPTIONS = tuple(name for name in FIELDS if name not in NOT_OF_THE_CHANNEL.union(ADDRESS_FIELDS, _IDENTITY, _MANNER))

Change = Literal["none", "manner", "way", "identity"]
"""What a new profile changes:

- ``none``: nothing of the channel.
- ``manner``: the secret, or the deadline of calls: the living channel goes on with the new one.
- ``way``: the address, TLS, a certificate file, a channel option: another channel is swapped in under living handles.
- ``identity``: the database or the user.  Whoever holds a connection to one database must not write into another, so
  living handles stay where they are, and new ones get a new channel.
"""


@dataclass(frozen=True, slots=True)
class SpecKey:
    """What a channel depends on; equal for two profiles that one channel can serve.

    Attributes:
        identity: the database and the user.
        way: the address, the options, the certificate files as they look now.
        manner: the secret and the deadline of calls.
    """

    identity: Hashable
    way: tuple[Hashable, ...]
    manner: Hashable

    @classmethod
    def of(cls, profile: Connectable) -> SpecKey:
        """That of a profile, which is no template."""

        def values(names: tuple[str, ...]) -> Hashable:
            return tuple(comparable(getattr(profile, name)) for name in names)

        tls = profile.tls
        signature = () if tls is None else tls_signature(tls)
        return cls(values(_IDENTITY), (profile.endpoint, values(_OPTIONS), signature), values(_MANNER))

    def is_current(self, profile: Connectable) -> bool:
        """Whether the certificate files of the profile that this is of look as they did."""
        return not self.way[-1] or self.way[-1] == tls_signature(profile.tls)

    def change_to(self, other: SpecKey) -> Change:
        """What changes with the key of the profile as it was read anew."""
        if self.identity != other.identity:
            return "identity"
        if self.way != other.way:
            return "way"
        return "none" if self.manner == other.manner else "manner"

    def __repr__(self) -> str:
        return "<SpecKey>"  # its parts may hold a secret of a file


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """What opening a channel takes.

    Attributes:
        profile: not a template.
        find: gives its token; the argument says whether to leave everything that was remembered aside.  It may block
            for as long as a keyring does.
        early: whether the channel may connect before the secret is there.
    """

    profile: Connectable
    find: Callable[[bool], SecretText | None]
    early: bool = False

    def refresh(self) -> SecretText | None:
        """The token, from its source."""
        return self.find(True)


def context_of(profile: Connectable, token: SecretText | None, lite: LiteLease | None) -> ConnectContext:
    """What is tried, for the words of an error."""
    return ConnectContext(profile, profile.tls, token, lite.port if lite else None)


def reach_of(profile: Connectable, lite: LiteLease | None) -> Endpoint:
    """The endpoint that sockets lead to: for Milvus Lite its server in this process."""
    return profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)


C = TypeVar("C", bound="CoreBase[Any]")


@dataclass(frozen=True, slots=True)
class OpenedBase(Generic[C]):
    """A channel on which nothing has been called yet, its Milvus Lite where it is one, and what is tried with it."""

    core: C
    lite: LiteLease | None
    context: ConnectContext

    def given(self, token: SecretText | None, spec: ChannelSpec) -> Self:
        """The same with a token, for one that was opened without."""
        self.core.equip(TokenHolder(token, db_name=spec.profile.db_name), spec.refresh)
        return replace(self, context=context_of(spec.profile, token, self.lite))


@dataclass(frozen=True, slots=True)
class ReadyChannel(Generic[C]):
    """A channel on which the handshake has succeeded.

    Attributes:
        fingerprint: the key of the spec's profile, from before its files were read.
    """

    spec: ChannelSpec
    opened: OpenedBase[C]
    server: ServerInfo
    fingerprint: SpecKey


@dataclass(slots=True)
class Possessions:
    """What an open channel has to give back besides itself."""

    slot: Slot
    lite: LiteLease | None


class Slot:
    """The right to have one connection open; :meth:`release` gives it back, and so does being dropped."""

    __slots__ = ("__weakref__", "_reference", "_taken")

    def __init__(self, taken: set[weakref.ref[Slot]]) -> None:
        # No code of ours runs for that, so no interrupt can come between.
        reference: weakref.ref[Slot] = weakref.ref(self, taken.discard)
        self._taken = taken
        self._reference = reference
        taken.add(reference)

    def release(self) -> None:
        """Give it back; again does nothing."""
        self._taken.discard(self._reference)


class ConnectionLimit:
    """Counts what is open, so that ``max_connections`` holds for the process and not for each kind of connection."""

    def __init__(self) -> None:
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # A slot that was taken before a fork is the parent's: given back in the child it counts for nothing.
        self._taken: set[weakref.ref[Slot]] = set()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """Connections that are open or being opened."""
        return len(self._taken)

    def take(self, limit: int) -> Slot:
        """Take a slot before opening a connection.

        Args:
            limit: connections that may be open at once.

        Raises:
            ConnectionLimitError: that many are.
        """
        with self._lock:
            count = len(self._taken)
            if count < limit:
                return Slot(self._taken)
        raise ConnectionLimitError(
            f"{counted(count, 'connection')} {'is' if count == 1 else 'are'} open, and max_connections is {limit}",
            hint="close some with disconnect(), or raise max_connections (65,536 at most)",
        )


OPEN_CONNECTIONS = ConnectionLimit()
"""Those of this process."""
