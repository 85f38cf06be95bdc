"""The spec of a channel: a profile and the source of its token, and what a profile that was read anew changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..channel.tls_files import tls_signature
from ..config.fields import ADDRESS_FIELDS, FIELDS
from ..connectable import Connectable, comparable
from ..endpoint import Endpoint
from ..masked import SecretText
from ..probe.context import ConnectContext

if TYPE_CHECKING:
    from ..channel.lite import LiteLease

__all__ = ["ANONYMOUS", "NOT_OF_THE_CHANNEL", "Change", "ChannelSpec", "SpecKey", "context_of", "reach_of"]

ANONYMOUS = "anonymous"
"""The alias of a connection that was opened by an address alone."""
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

        return cls(values(_IDENTITY), (profile.endpoint, values(_OPTIONS), tls_signature(profile.tls)), values(_MANNER))

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
    alias = None if profile.alias == ANONYMOUS else profile.alias
    return ConnectContext.of(profile, token, alias=alias, lite_port=lite.port if lite else None)


def reach_of(profile: Connectable, lite: LiteLease | None) -> Endpoint:
    """The endpoint that sockets lead to: for Milvus Lite its server in this process."""
    return profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)
