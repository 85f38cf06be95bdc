"""What an examination found, as values; how it looks is the command line's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.invalid import Findings
from ..diagnosis.report import Status
from ..profile import Profile

if TYPE_CHECKING:
    import datetime as dt

    from ..config.profiles import Profiles
    from ..secrets import OSKeyring

__all__ = ["DoctorContext", "Examined", "Finding", "first_profile"]


Examined = dict[str, Profile | Findings]
"""What each alias leads to: the profile, or what is wrong with it.  All of them are put together once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at; several findings may share one.
        status: ``"failed"`` is what keeps profiles from working or a secret from being one.
        detail: what was seen; holds no secret.
        hint: what to do; None where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    hint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The finding with the documented keys."""
        return {"name": self.name, "status": self.status, "detail": self.detail, "hint": self.hint}


@dataclass(frozen=True)
class DoctorContext:
    """What is examined.

    Attributes:
        env: the environment.
        cwd: the directory to look from.
        load: reads the configuration; raises ConfigError where it is invalid as a whole.
        keyring: gives the keyring, with the settings of that configuration if it could be read.
        now: the time.
    """

    env: Mapping[str, str] = field(repr=False)
    cwd: str
    load: Callable[[], Profiles]
    keyring: Callable[[Profiles | None], OSKeyring]
    now: Callable[[], dt.datetime]


def first_profile(examined: Examined, wanted: Callable[[Profile], bool]) -> str | None:
    """The alias of the first valid profile of some kind; None if there is none.

    Args:
        examined: where to look.
        wanted: tells the kind.
    """
    return next((alias for alias, one in examined.items() if isinstance(one, Profile) and wanted(one)), None)
