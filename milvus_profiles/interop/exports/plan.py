"""What an export writes about: a profile, how its secret is named there, and the environment that says both.

The variables that all tools read have no name for certificates; for those there are the ones that this package reads
beside ``MILVUS_URI``, whose profile is called ``default``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ...connectable import Credential, EnvSource, FileSource
from ...endpoint import Endpoint
from ...masked import SecretText
from ...profile import SSL, Profile
from ..running import unsaid, variables

T = TypeVar("T")

TOKEN_VARIABLE = "MILVUS_TOKEN"  # noqa: S105  # a name
"""The variable that is named where the profile names none; ``milvus-profiles exec`` sets it."""

NO_IPV6 = "pymilvus reads IPv6 addresses wrongly: use a name that stands for the address"
"""What is told of every client that is pymilvus, or is made of it."""

OWN = "MILVUS_PROFILES__DEFAULT__"
"""What the variables begin with that only this package reads."""


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
    """What is exported, and how its secret is named.

    Attributes:
        file: the file that ``exec`` must be told, since it does not find it by itself from everywhere.
        needs: the variables of this environment without which ``exec`` finds another profile, or none.
    """

    profile: Profile
    secret: SecretForm
    file: str | None = None
    needs: tuple[str, ...] = ()

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
    def tls_files(self) -> dict[str, str]:
        """The settings of ``ssl`` that name files, with their paths."""
        settings = ("ca", "cert", "key") if self.tls is not None else ()
        return {name: path for name in settings if (path := getattr(self.tls, name)) is not None}

    @property
    def run_by_exec(self) -> bool:
        """Whether the program gets its secret by being run with ``milvus-profiles exec``."""
        return self.secret == FromVariable(TOKEN_VARIABLE)

    def exec_prefix(self, only: str | None = None) -> str:
        """What a command begins with that gets its secret (alone, where a variable is named) by ``exec``."""
        if not self.run_by_exec:
            return ""
        return f"milvus-profiles exec {self.alias} " + (f"--only {only} -- " if only else "-- ")

    @property
    def exec_command(self) -> str:
        """How a program is run with the profile, between backticks."""
        return self.profile.standing.command("exec", self.alias, "--", "COMMAND")

    def header(self, mark: str, needs: str, run: str) -> list[str]:
        """The comments at the top of a program: what installs its SDK, and how it is run."""
        return [f"{mark} {needs}", f"{mark} {self.exec_prefix()}{run}"]

    def secret_as(
        self, *, variable: Callable[[str], T], file: Callable[[str], T], literal: Callable[[str], T]
    ) -> T | None:
        """The secret as a language has it, made of a variable's name, a file's path or the text; None without one."""
        if isinstance(self.secret, FromVariable):
            return variable(self.secret.name)
        if isinstance(self.secret, FromFile):
            return file(self.secret.path)
        return None if self.secret is None else literal(self.secret.reveal())

    def environment(self, place: Callable[[str], str] | None = None, *, with_secret: bool = True) -> dict[str, str]:
        """The variables, in the order in which people read them.

        Args:
            place: says of a setting (``ca``, ``cert``, ``key``) where the program finds its file; None: where it is.
            with_secret: whether a secret that is to be written out is among them.
        """
        found = dict(variables(self.profile, self.endpoint, None))
        if self.profile.allow_insecure and self.secret is not None and not self.endpoint.tls:
            found["MILVUS_ALLOW_INSECURE"] = "true"
        found |= {f"{OWN}SSL__{name.upper()}": place(name) if place else path for name, path in self.tls_files.items()}
        if self.tls is not None and self.tls.server_name is not None:
            found[f"{OWN}SSL__SERVER_NAME"] = self.tls.server_name
        if self.profile.proxy is not None:
            found[f"{OWN}PROXY"] = self.profile.proxy
        if with_secret and isinstance(self.secret, SecretText):
            found |= dict(variables(self.profile, self.endpoint, self.secret))
        return found

    def gaps(self) -> list[str]:
        """What programs other than this package's will not learn from these variables."""
        found = []
        if names := unsaid(self.profile):
            found.append(
                f"only milvus-profiles has variables for {', '.join(names)}: other programs need their own options"
            )
        if self.endpoint.kind == "lite":
            found.append(
                f"pymilvus's `connections` cannot be imported while MILVUS_URI is a path: {self.exec_command} serves it"
            )
        return found


@dataclass(frozen=True)
class Exported:
    """A text for another client, with the secret where that was asked for; ``gaps`` says what it cannot express."""

    text: str = field(repr=False)
    gaps: tuple[str, ...] = ()


def exported(lines: Iterable[str], gaps: Iterable[str] = ()) -> Exported:
    return Exported("\n".join(lines) + "\n", tuple(gaps))


def plan_for(
    profile: Profile, token: SecretText | None = None, *, file: str | None = None, needs: tuple[str, ...] = ()
) -> ExportPlan:
    """The plan of a profile, with its whole token to be written out; None names it by a reference."""
    return ExportPlan(profile, _secret_form(profile.credential, token), file, needs)


def _secret_form(credential: Credential | None, token: SecretText | None) -> SecretForm:
    if credential is None or token is not None:
        return None if credential is None else token
    # A user's password alone is not what any client takes from a variable or a file.
    if credential.user is None and isinstance(credential.source, EnvSource):
        return FromVariable(credential.source.env)
    if credential.user is None and isinstance(credential.source, FileSource):
        return FromFile(credential.source.file)
    return FromVariable(TOKEN_VARIABLE)
