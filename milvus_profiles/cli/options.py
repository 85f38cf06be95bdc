"""Options that several commands have, each declared once; those of a class :func:`.session.command` unfolds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from typer import Argument, Option

__all__ = [
    "AliasArgument",
    "ChangeOptions",
    "DryRunOption",
    "ForceOption",
    "OptionalAlias",
    "PasswordOption",
    "PlaceOptions",
    "YesOption",
    "address_option",
    "host_option",
    "port_option",
    "secret_option",
    "tls_option",
    "user_option",
]

# The panels of the help in which the options stand that say where a server is, and how to connect.
address_option = partial(Option, rich_help_panel="Address")
secret_option = partial(Option, rich_help_panel="User and secret")
tls_option = partial(Option, rich_help_panel="TLS")

AliasArgument = Annotated[
    str | None, Argument(metavar="ALIAS", help="The profile, unless --profile or MILVUS_PROFILE names it.")
]
"""Not None unless one of those does."""
OptionalAlias = Annotated[str | None, Argument(metavar="[ALIAS]", help="The profile; default: the selected one.")]
DryRunOption = Annotated[bool, Option("--dry-run", help="Print the change, make none.")]
YesOption = Annotated[bool, Option("--yes", "-y", help="Do not ask about a protected profile.")]
ForceOption = Annotated[bool, Option("--force", help="Replace a profile of that name.")]
PasswordOption = Annotated[
    bool,
    secret_option("--password-stdin", help="Read the user's password from stdin into the keyring."),
]


def host_option(*short: str, default: str = "") -> Any:
    """The option of a field ``host``; ``connect`` has short names and other defaults, those of the Milvus CLI."""
    return address_option("--host", *short, metavar="HOST", help=f"Host name or IP address.{default}")


def port_option(*short: str) -> Any:
    """The option of a field ``port``."""
    return address_option("--port", *short, metavar="PORT", help="Port. The default is 19530.")


def user_option(*short: str) -> Any:
    """The option of a field ``user``."""
    return secret_option("--user", *short, metavar="USER", help="User; the password goes into the keyring.")


@dataclass(frozen=True)
class PlaceOptions:
    """Which file is meant, where it is not the one that declares the profile, or takes new ones."""

    user_file: Annotated[bool, Option("--user-file", help="Change the user's file.")] = False
    project_file: Annotated[bool, Option("--project-file", help="Change the project's milvus.toml.")] = False

    @property
    def is_named(self) -> bool:
        """Whether one of them was given."""
        return self.user_file or self.project_file


@dataclass(frozen=True)
class ChangeOptions(PlaceOptions):
    """How a profile that is there is changed."""

    dry_run: DryRunOption = False
    yes: YesOption = False
