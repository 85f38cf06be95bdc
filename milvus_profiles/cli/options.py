"""Options that several commands have, each declared once; those of a class :func:`.session.command` unfolds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from typer import Argument, Option

__all__ = [
    "AliasArgument",
    "Asked",
    "ChangeOptions",
    "DryRunOption",
    "ForceOption",
    "NewAlias",
    "OptionalAlias",
    "PasswordOption",
    "PlaceOptions",
    "YesOption",
    "address_option",
    "begun",
    "host_option",
    "port_option",
    "secret_option",
    "tls_option",
    "user_option",
]


@dataclass(frozen=True)
class Asked:
    """Marks an argument that a person is asked for on a terminal where it is missing; elsewhere that is an error.

    Attributes:
        by: ``"profile"`` is a picker of profiles, ``"unselected"`` the same where none is selected, ``"one"`` a picker
            of the values, ``"text"`` a line; ``"command"`` leaves it to the command, which gets None.
        question: what is asked.
        values: what there is.
    """

    by: Literal["profile", "unselected", "one", "text", "command"]
    question: str = "Which profile?"
    values: tuple[str, ...] = ()


def begun(values: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes an argument whose values are known: those that begin as what is typed."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


# The panels of the help in which the options stand that say where a server is, and how to connect.
address_option = partial(Option, rich_help_panel="Address")
secret_option = partial(Option, rich_help_panel="User and secret")
tls_option = partial(Option, rich_help_panel="TLS")

AliasArgument = Annotated[
    str | None,
    Argument(metavar="ALIAS", help="The profile, unless --profile or MILVUS_PROFILE names it."),
    Asked("profile"),
]
"""Not None unless one of those names it."""
OptionalAlias = Annotated[
    str | None, Argument(metavar="[ALIAS]", help="The profile; default: the selected one."), Asked("unselected")
]
NewAlias = Annotated[str, Argument(metavar="NEW", help="Its new name."), Asked("text", "Its new name")]
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
