"""A profile as environment variables, under the names that the tools in the field read.

``MILVUS_URI``, ``MILVUS_ADDRESS``, ``MILVUS_TOKEN``, ``MILVUS_DB``, ``MILVUS_USER`` and ``MILVUS_PASSWORD`` are read by
many programs and standardised by none.  Pure functions: nothing here resolves a secret or looks at the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..endpoint import Endpoint
from ..masked import MaskedMapping, SecretText

if TYPE_CHECKING:
    from ..profile import Profile

__all__ = ["LEAVES", "PREFIX", "SECRET_LEAVES", "superseded", "unsaid", "variables"]

PREFIX = "MILVUS_"
"""What the names begin with, unless another prefix is wanted."""

LEAVES = ("URI", "ADDRESS", "TOKEN", "DB", "USER", "PASSWORD")
"""The names without their prefix."""

SECRET_LEAVES = ("TOKEN", "PASSWORD")
"""Those of them that hold a secret."""

# What would contradict a variable of ours, or be taken for one: read by this package and by others.
_OTHERS = ("TOKEN_FILE", "DB_NAME", "API_KEY", "USERNAME", "URL", "HOST", "PORT", "DATABASE")


def variables(
    profile: Profile, endpoint: Endpoint, token: SecretText | None, *, prefix: str = PREFIX, address: bool = False
) -> MaskedMapping:
    """The variables of a profile (for Milvus Lite of its server), those of the secret only with a whole token.

    With ``address`` also ``MILVUS_ADDRESS``, the URI under the name that Attu and servers of MCP read: not in what is
    written down, where it would have to be kept the same by hand.
    """
    found = {"URI": endpoint.uri}
    if address:
        found["ADDRESS"] = endpoint.uri
    if profile.db_name is not None:
        found["DB"] = profile.db_name
    if token is not None:
        # A token with a colon is user:password to every Milvus; an API key has none.
        user, colon, password = token.reveal().partition(":")
        found["TOKEN"] = token.reveal()
        if colon:
            found |= {"USER": user, "PASSWORD": password}
    elif profile.credential is not None and profile.credential.user is not None:
        found["USER"] = profile.credential.user
    return MaskedMapping({prefix + leaf: value for leaf, value in found.items()})


def superseded(*, prefix: str = PREFIX) -> tuple[str, ...]:
    """Names that must not be inherited beside :func:`variables`: the rest of another connection.

    A token that is left over from somewhere else would be sent to this profile's server.
    """
    names = [prefix + leaf for leaf in (*LEAVES, *_OTHERS)]
    if prefix == PREFIX:
        # It beats MILVUS_URI, so a child that reads profiles would go elsewhere.
        names.append("MILVUS_PROFILE")
    return tuple(names)


def unsaid(profile: Profile) -> tuple[str, ...]:
    """The settings of a profile that no variable says, by their names in a file."""
    fields = ("ca", "cert", "key", "server_name")
    names = tuple(f"ssl.{name}" for name in fields if getattr(profile.tls, name, None) is not None)
    return names if profile.proxy is None else (*names, "proxy")
