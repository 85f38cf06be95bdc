"""Who else may read or change a file of profiles.

What others may read matters where a token or password stands in the file.  One of full trust that everybody may change
is not used at all: they could have put a program into it, or changed where its secret goes.  A project file without a
secret of its own is nobody's word before it is trusted, and then it is pinned by its content.  This module looks at
what was recorded when the file was read; it opens none of the files, and it prints nothing.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ConfigError, Location
from ..files.ownership import has_modes
from ..text import command
from .documents import Document

__all__ = ["Exposure", "exposure", "file_warnings", "has_modes", "refusal"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """What others may do with a file.

    Attributes:
        message: what they may do.
        hint: the command that ends it.
        refused: whether the profiles of the file are not used.
    """

    message: str
    hint: str
    refused: bool


def exposure(document: Document, mounts: str | None = None) -> Exposure | None:
    """What is to be said about the permissions of a file; None if nothing is.

    Args:
        document: the file, as it was read.
        mounts: as for :func:`has_modes`.
    """
    mode = document.mode
    if mode is None or not mode & 0o066:
        return None
    if not document.literals:
        return _changeable(document, mode, mounts)
    remedy = f"run {command('chmod', '600', document.path)}"
    if not has_modes(document.device, mounts):
        return Exposure(
            "holds a token or password on a file system without permissions, where others may read and change it",
            f"move the secret into the keyring with {document.standing.command('secret', 'set', 'ALIAS')}",
            False,
        )
    if mode & stat.S_IWOTH:
        return Exposure(
            f"holds a token or password and can be changed by every user of this machine (mode {mode:04o})",
            remedy,
            True,
        )
    if mode & stat.S_IROTH:
        who = "read by every user of this machine"
    else:
        who = f"{'changed' if mode & stat.S_IWGRP else 'read'} by its group"
    return Exposure(f"holds a token or password and can be {who} (mode {mode:04o})", remedy, False)


def _changeable(document: Document, mode: int, mounts: str | None) -> Exposure | None:
    """What is to be said of a file without a secret in it."""
    if document.role == "project" or not mode & stat.S_IWOTH:
        return None
    if not has_modes(document.device, mounts):
        return Exposure(
            "stands on a file system without permissions, where others may change it",
            "move it to the home directory, or name one that is there with --config",
            False,
        )
    return Exposure(
        f"can be changed by every user of this machine, who could have it run a program (mode {mode:04o})",
        f"run {command('chmod', 'o-w', document.path)}",
        True,
    )


def refusal(document: Document) -> ConfigError | None:
    """Why no profile of a file is used: every user may change it; None if they are."""
    found = exposure(document)
    if found is None or not found.refused:
        return None
    place = document.location(("profiles", document.literals[0])) if document.literals else Location(document.path)
    return ConfigError(f"the file {found.message}", hint=found.hint, location=place)


def file_warnings(documents: Iterable[Document]) -> tuple[str, ...]:
    """What to tell people about the permissions of files, a line for each.

    Args:
        documents: the files in question.
    """
    return tuple(
        f"{document.path} {found.message}: {found.hint}"
        for document in documents
        if (found := exposure(document)) is not None
    )
