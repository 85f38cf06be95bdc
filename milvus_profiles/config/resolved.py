"""One profile as it was put together, with everything known about where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..connectable import Connectable
from .disclosure import shown
from .invalid import Findings
from .values import Origin, RawProfile

if TYPE_CHECKING:
    from ..profile import Profile

__all__ = ["Examined", "ProfileCache", "Resolved", "table_row"]

ProfileCache = dict[str, tuple["RawProfile", "Connectable | None"]]
"""Folded alias to a profile's fields, and the profile itself unless that depends on more than files and variables."""

Examined = tuple[str, "RawProfile | None", "Profile | Findings"]
"""An alias, its fields, or None where they cannot be had, and the profile, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile with everything known about where it comes from.

    Attributes:
        connectable: the profile, as far as connecting asks for it.
        raw: its fields with their origins, and what they overrode.
        trusted: False only for a profile of a project file that is not trusted.
    """

    connectable: Connectable
    raw: RawProfile = field(repr=False)
    trusted: bool

    @property
    def profile(self) -> Profile:
        """The validated profile."""
        validated: Profile = self.connectable.validated()
        return validated

    @property
    def origin(self) -> Origin:
        """Where the profile is declared."""
        return self.raw.declared

    def origin_of(self, name: str) -> Origin:
        """The origin of a field, or the first of its table's; a default's where nobody set it."""
        for path, value in self.raw.values.items():
            if path[0] == name:
                return value.origin
        return Origin("default")


def table_row(examined: Examined) -> tuple[str, ...]:
    """A profile as the table of a notebook has it: alias, uri, db_name, auth, description."""
    alias, _, found = examined
    if isinstance(found, Findings):
        return alias, f"invalid: {found.message}", "", "", ""
    uri = "" if found.is_template else found.endpoint.uri
    db_name, description = (shown((name,), getattr(found, name) or "") for name in ("db_name", "description"))
    return alias, uri, db_name, found.auth, description
