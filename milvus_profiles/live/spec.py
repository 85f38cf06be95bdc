"""What an open channel stands on, and what a profile that was read anew changes of that."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from ..channel.options import tls_signature
from ..profile import Profile

__all__ = ["NOT_OF_THE_CHANNEL", "Change", "Footing"]

NOT_OF_THE_CHANNEL = frozenset(
    {"alias", "allow_insecure", "description", "extends", "management_port", "pool", "protected", "timeout"}
)
"""Fields that leave the channel as it is."""
_IN_THE_ENDPOINT = frozenset({"uri", "host", "port"})
_IDENTITY = ("db_name", "user")
_MANNER = ("token", "password", "call_timeout")
_OPTIONS = tuple(
    name for name in Profile.model_fields if name not in NOT_OF_THE_CHANNEL.union(_IN_THE_ENDPOINT, _IDENTITY, _MANNER)
)

Change = Literal["none", "manner", "way", "identity"]
"""What a new profile changes:

- ``none``: nothing of the channel.
- ``manner``: the secret, or the deadline of calls: the living channel goes on with the new one.
- ``way``: the address, TLS, a certificate file, a channel option: another channel is swapped in under living handles.
- ``identity``: the database or the user.  Whoever holds a connection to one database must not write into another, so
  living handles stay where they are, and new ones get a new channel.
"""


@dataclass(frozen=True, slots=True)
class Footing:
    """What a channel depends on; equal for two profiles that one channel can serve.

    Attributes:
        identity: the database and the user.
        way: the address, the options, the certificate files as they look now.
        manner: the secret and the deadline of calls.
    """

    identity: Hashable
    way: Hashable
    manner: Hashable

    @classmethod
    def of(cls, profile: Profile) -> Footing:
        """That of a profile.

        Args:
            profile: not a template.
        """

        def values(names: tuple[str, ...]) -> Hashable:
            return tuple(getattr(profile, name) for name in names)

        return cls(values(_IDENTITY), (profile.endpoint, values(_OPTIONS), tls_signature(profile.tls)), values(_MANNER))

    def change_to(self, other: Footing) -> Change:
        """What another footing changes.

        Args:
            other: that of the profile as it was read anew.
        """
        if self.identity != other.identity:
            return "identity"
        if self.way != other.way:
            return "way"
        return "none" if self.manner == other.manner else "manner"

    def __repr__(self) -> str:
        return "<Footing>"  # its parts may hold a secret of a file
