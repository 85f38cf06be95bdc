"""What an examination found, as values; how it looks is the command line's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.invalid import Findings
from ..diagnosis.report import Status
from ..errors import MilvusProfilesError
from ..profile import Profile
from ..text import Standing

if TYPE_CHECKING:
    import datetime as dt

    from ..config.profiles import Profiles
    from ..secrets.os_keyring import OSKeyring

Examined = dict[str, Profile | Findings]
"""What each alias leads to: the profile, or what is wrong with it.  All of them are put together once."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; several may share a name, and none holds a secret.

    ``"failed"`` is what keeps profiles from working or a secret from being one.
    """

    name: str
    status: Status
    detail: str
    hint: str | None = None

    @classmethod
    def of(cls, name: str, error: MilvusProfilesError, remedy: str | None = None, *, whose: str = "") -> Finding:
        """A failure; ``remedy`` is for an error that has none of its own."""
        place = f"{error.location}: " if error.location else ""
        return cls(name, "failed", f"{whose}{place}{error.message}", error.hint or remedy)

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "status": self.status, "detail": self.detail, "hint": self.hint}


@dataclass(frozen=True)
class DoctorContext:
    """What is examined: from a directory, with an environment.

    Attributes:
        load: reads the configuration; raises ConfigError where it is invalid as a whole.
        keyring: gives the keyring, with the settings of that configuration if it could be read.
        standing: where profiles stand, for remedies.
    """

    env: Mapping[str, str] = field(repr=False)
    cwd: str
    load: Callable[[], Profiles]
    keyring: Callable[[Profiles | None], OSKeyring]
    now: Callable[[], dt.datetime]
    standing: Standing = field(default_factory=Standing)
