"""What has to be resolved before a connection can authenticate: where a secret is to be had, and whose it is.

A file's references are models in ``references.py``; those of a profile of plain values are made here, without pydantic.
Whoever resolves them asks for the classes that both are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Union

from .masked import SecretText

__all__ = [
    "CommandSource",
    "Credential",
    "EnvSource",
    "FileSource",
    "KeyringSource",
    "Kind",
    "PlainEnv",
    "PlainFile",
    "Source",
    "kind_of",
]

Kind = Literal["keyring", "inline", "env", "file", "command"]
"""Where a secret comes from, in one word."""


class KeyringSource:
    """The operating system's keyring; it says no more, so it is its own plain form."""

    __slots__ = ()


class EnvSource:
    """An environment variable, ``env``."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def env(self) -> str: ...


class FileSource:
    """A file, by its absolute path, ``file``."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def file(self) -> str: ...


class CommandSource:
    """A program that is run; only the model has it."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def command(self) -> tuple[str, ...]: ...
        @property
        def pass_env(self) -> tuple[str, ...]: ...
        @property
        def directory(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class PlainEnv(EnvSource):
    """The plain form of one."""

    env: str


@dataclass(frozen=True, slots=True)
class PlainFile(FileSource):
    """The plain form of one."""

    file: str


Source = Union[SecretText, KeyringSource, EnvSource, FileSource, CommandSource]


@dataclass(frozen=True, slots=True)
class Credential:
    """What has to be resolved before a connection can authenticate.

    Attributes:
        kind: where it comes from, as ``profile list`` shows it.
        source: the reference, or the literal.
        user: the user whose password the source gives; None where it gives a whole token.
    """

    kind: Kind
    source: Source
    user: str | None


def kind_of(source: object) -> Kind:
    """The kind of a reference, or of a literal."""
    if isinstance(source, KeyringSource):
        return "keyring"
    if isinstance(source, EnvSource):
        return "env"
    if isinstance(source, FileSource):
        return "file"
    return "command" if isinstance(source, CommandSource) else "inline"
