"""What opening a channel takes: a profile, and how its secret is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..endpoint import Endpoint
from ..masked import SecretText
from ..probe.context import Attempt
from ..profile import Profile

if TYPE_CHECKING:
    from ..channel.lite import LiteLease

__all__ = ["ANONYMOUS", "Recipe", "attempt_of", "reach_of"]

ANONYMOUS = "anonymous"
"""The alias of a connection that was opened by an address alone."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What opening a channel takes.

    Attributes:
        profile: not a template.
        find: gives its token; the argument says whether to leave everything that was remembered aside.  It may block
            for as long as a keyring does.
    """

    profile: Profile
    find: Callable[[bool], SecretText | None]

    def refresh(self) -> SecretText | None:
        """The token, from its source."""
        return self.find(True)


def attempt_of(profile: Profile, token: SecretText | None, lite: LiteLease | None) -> Attempt:
    """What is tried, for the words of an error.

    Args:
        profile: the profile.
        token: what authenticates.
        lite: its Milvus Lite, where it is one.
    """
    alias = None if profile.alias == ANONYMOUS else profile.alias
    return Attempt.of(profile, token, alias=alias, lite_port=lite.port if lite else None)


def reach_of(profile: Profile, lite: LiteLease | None) -> Endpoint:
    """The endpoint that sockets lead to: for Milvus Lite its server in this process.

    Args:
        profile: not a template.
        lite: its Milvus Lite, where it is one.
    """
    return profile.endpoint if lite is None else Endpoint("tcp", host="127.0.0.1", port=lite.port)
