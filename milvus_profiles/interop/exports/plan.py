"""What an export writes about: a profile, and how its secret is named there."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...endpoint import Endpoint
from ...masked import SecretText
from ...profile import SSL, EnvRef, FileRef, Profile

__all__ = ["ExportPlan", "Exported", "FromFile", "FromVariable", "SecretForm", "plan_for"]

TOKEN_VARIABLE = "MILVUS_TOKEN"  # noqa: S105  # a name
"""The variable that is named where the profile names none; ``milvus-profiles exec`` sets it."""


@dataclass(frozen=True)
class FromVariable:
    """The secret is the whole token, in a variable of this name."""

    name: str


@dataclass(frozen=True)
class FromFile:
    """The secret is the whole token, in a file; one trailing newline is dropped."""

    path: str


SecretForm = FromVariable | FromFile | SecretText | None
"""How an export names the secret; a SecretText is written out, None means that there is none."""


@dataclass(frozen=True)
class ExportPlan:
    """What is exported.

    Attributes:
        profile: the profile.
        secret: how its secret is named.
    """

    profile: Profile
    secret: SecretForm

    @property
    def alias(self) -> str:
        return self.profile.alias

    @property
    def endpoint(self) -> Endpoint:
        return self.profile.endpoint

    @property
    def tls(self) -> SSL | None:
        return self.profile.tls

    @property
    def run_by_exec(self) -> bool:
        """Whether the program gets its secret by being run with ``milvus-profiles exec``."""
        return self.secret == FromVariable(TOKEN_VARIABLE)

    def header(self, mark: str, needs: str, run: str) -> list[str]:
        """The comments at the top of a program: what it needs, and how it is run.

        Args:
            mark: what begins a comment.
            needs: the command that installs its SDK.
            run: the command that runs it.
        """
        by_exec = f"milvus-profiles exec {self.alias} -- " if self.run_by_exec else ""
        return [f"{mark} {needs}", f"{mark} {by_exec}{run}"]


@dataclass(frozen=True)
class Exported:
    """A text for another client.

    Attributes:
        text: the text, with its last newline; holds the secret where that was asked for.
        gaps: what the client cannot express, a sentence each.
    """

    text: str = field(repr=False)
    gaps: tuple[str, ...] = ()


def plan_for(profile: Profile, token: SecretText | None = None) -> ExportPlan:
    """The plan of a profile.

    Args:
        profile: the profile.
        token: its whole token, to be written out; None names it by a reference.
    """
    credential = profile.credential
    if credential is None:
        return ExportPlan(profile, None)
    if token is not None:
        return ExportPlan(profile, token)
    # A user's password alone is not what any client takes from a variable or a file.
    if credential.user is None and isinstance(credential.source, EnvRef):
        return ExportPlan(profile, FromVariable(credential.source.env))
    if credential.user is None and isinstance(credential.source, FileRef):
        return ExportPlan(profile, FromFile(credential.source.file))
    return ExportPlan(profile, FromVariable(TOKEN_VARIABLE))
