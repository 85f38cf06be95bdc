"""Where a secret is to be had: literals and references, as a file declares them.

These models only say where; ``secrets/`` goes there.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal, Union

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PrivateAttr, Tag

from .connectable import CommandSource, EnvSource, FileSource, KeyringSource
from .fieldtypes import AbsolutePath, Model, VariableName, as_boolean, as_tuple, invalid
from .masked import SECRET_LONGEST, UNSENT, SecretText, line_of, secret_fault
from .text import UNEXPANDED, is_placeholder


class KeyringRef(KeyringSource, Model):
    """``{ keyring = true }``: the operating system's keyring, under the profile's endpoint and user.

    Attributes:
        keyring: always true; without the table the keyring is asked where there is a ``user`` and no password.
    """

    keyring: Annotated[Literal[True], BeforeValidator(as_boolean)]


class EnvRef(EnvSource, Model):
    """``{ env = "NAME" }``: an environment variable.

    Attributes:
        env: name of the variable.
    """

    env: VariableName


class FileRef(FileSource, Model):
    """``{ file = "PATH" }``: a file with the secret; one trailing newline is dropped.

    Attributes:
        file: absolute path.
    """

    file: AbsolutePath


def _word(word: str) -> str:
    # What no program can be given; the word itself may be a secret.
    try:
        if b"\0" not in os.fsencode(word):
            return word
    except UnicodeEncodeError:
        pass
    raise invalid("holds a NUL character, or is not text in UTF-8")


class CommandRef(CommandSource, Model):
    """``{ command = ["op", "read", "…"] }``: the output of a program, run without a shell.

    Attributes:
        command: program and arguments.
        pass_env: names of the variables that it gets beside PATH, HOME and LANG.
        directory: where it runs: that of the file that declares it; None for one of a variable or a call, which runs
            in the home directory.  Never the current directory, whose files a program may obey.
    """

    # Hidden from repr: arguments may be secrets themselves.
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1), AfterValidator(_word)], ...],
        BeforeValidator(as_tuple),
        Field(min_length=1, repr=False),
    ]
    pass_env: Annotated[tuple[VariableName, ...], BeforeValidator(as_tuple)] = ()
    # Private, since it is no key that a file may set: validation is told by whoever knows the file.
    _directory: str | None = PrivateAttr(None)

    @property
    def directory(self) -> str | None:  # as above
        return self._directory

    def model_post_init(self, context: Any) -> None:
        """Take the directory from pydantic's validation context, where ``directory`` may stand."""
        if isinstance(context, dict):
            self._directory = context.get("directory")


_REFERENCES: dict[str, type[Model]] = {"keyring": KeyringRef, "env": EnvRef, "file": FileRef, "command": CommandRef}


def _secret_form(value: Any) -> str:
    for name, model in _REFERENCES.items():
        if isinstance(value, model) or (isinstance(value, dict) and name in value):
            return f"<{name}>"
    return "<inline>"


def _one_form(value: Any) -> Any:
    if isinstance(value, dict) and len([name for name in _REFERENCES if name in value]) != 1:
        raise invalid(
            f"a secret reference has exactly one of {', '.join(_REFERENCES)}",
            'keep the one that says where the secret is, such as { keyring = true } or { env = "NAME" }',
        )
    if not isinstance(value, (dict, str, SecretText, *_REFERENCES.values())):
        raise invalid(f"must be a string, or a table with one of {', '.join(_REFERENCES)}")
    return value


def _literal_secret(value: SecretText) -> SecretText:
    value = line_of(value)
    if (fault := secret_fault(value)) is not None:
        is_unexpanded = is_placeholder(value.reveal())
        raise invalid(fault, f'{UNEXPANDED}; a file names a variable so: {{ env = "NAME" }}' if is_unexpanded else None)
    return value


# The JSON Schema's words for that, with what line_of() takes away.
_LITERAL = {
    "maxLength": SECRET_LONGEST + len("\ufeff\r\n"),
    "pattern": rf"^[^{UNSENT}]+(\r?\n)?$",
    "not": {"pattern": r"^\*+(\r?\n)?$"},
}


SecretSource = Annotated[
    Union[
        Annotated[
            SecretText,
            AfterValidator(_literal_secret),
            Field(json_schema_extra=_LITERAL),
            Tag("<inline>"),
        ],
        Annotated[KeyringRef, Tag("<keyring>")],
        Annotated[EnvRef, Tag("<env>")],
        Annotated[FileRef, Tag("<file>")],
        Annotated[CommandRef, Tag("<command>")],
    ],
    Discriminator(_secret_form),
    BeforeValidator(_one_form),
]
"""Where a token or password is to be had."""
