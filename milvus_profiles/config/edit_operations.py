"""What can be done to a milvus.toml.  What it means for the file is in :mod:`edit_apply`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Union

__all__ = [
    "AddProfile",
    "CopyProfile",
    "FieldPath",
    "Operation",
    "RemoveProfile",
    "RenameProfile",
    "SetField",
    "SetRoot",
    "UnsetField",
    "UnsetRoot",
]

FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class AddProfile:
    """Add a profile.

    Attributes:
        alias: its name.
        fields: its fields, in the order in which they are written; a SecretText is written as the text that it hides.
        replace: whether a profile of that alias may be there.  Then it keeps its place, its spelling and the comments
            of the fields that stay.
    """

    alias: str
    fields: Mapping[str, Any] = field(repr=False)
    replace: bool = False


@dataclass(frozen=True)
class RemoveProfile:
    """Remove a profile and its comments; if it is the default, there is none afterwards."""

    alias: str


@dataclass(frozen=True)
class RenameProfile:
    """Rename a profile; ``default_profile`` and the ``extends`` of others follow."""

    old: str
    new: str


@dataclass(frozen=True)
class CopyProfile:
    """Add a profile with the fields of another one."""

    source: str
    target: str


@dataclass(frozen=True)
class SetField:
    """Give a field of a profile a value.

    Attributes:
        alias: the profile.
        path: the field, or a table and a key of it: ``("ssl", "ca")``.
        value: as TOML would hold it; a SecretText is written as the text that it hides.
    """

    alias: str
    path: FieldPath
    value: Any = field(repr=False)


@dataclass(frozen=True)
class UnsetField:
    """Take a field from a profile; a table that loses its last key stays, empty."""

    alias: str
    path: FieldPath


@dataclass(frozen=True)
class SetRoot:
    """Give a root key, such as ``default_profile``, a value."""

    key: str
    value: Any = field(repr=False)


@dataclass(frozen=True)
class UnsetRoot:
    """Take a root key away."""

    key: str


Operation = Union[AddProfile, RemoveProfile, RenameProfile, CopyProfile, SetField, UnsetField, SetRoot, UnsetRoot]
"""What :func:`milvus_profiles.config.edit.edit_file` does to a file."""
