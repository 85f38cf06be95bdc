"""Who else may read or change a file that holds a secret.

Only files in which a token or password stands as it is are judged: what others may do with the rest is no secret.  A
file that others may change is not used at all, since they could have changed where its secret goes.  This module looks
at what was recorded when the file was read; it opens none of the files, and it prints nothing.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ConfigError
from .documents import Document

__all__ = ["Exposure", "exposure", "file_warnings", "has_modes", "refusal"]

# File systems that show the same bits for every file, whatever chmod is told.  Network and virtual ones are among
# them that may keep modes, depending on how they are mounted: there a warning must do.
_WITHOUT_MODES = frozenset(
    {"vfat", "msdos", "exfat", "ntfs", "fuseblk", "drvfs", "9p", "cifs", "smb3", "vboxsf", "fuse.vmhgfs-fuse"}
)
_MOUNTS = "/proc/self/mountinfo"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What others may do with a file that holds a secret.

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
    if not document.literals or mode is None or not mode & 0o066:
        return None
    remedy = f"run `chmod 600 {shlex.quote(document.path)}`"
    if not has_modes(document.device, mounts):
        return Exposure(
            "holds a token or password on a file system without permissions, where others may read and change it",
            "move the secret into the keyring with `milvus-profiles secret set ALIAS`",
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


def refusal(document: Document) -> ConfigError | None:
    """Why no profile of a file is used: it holds a secret, and every user may change it; None if they are."""
    found = exposure(document)
    if found is None or not found.refused:
        return None
    place = document.location(("profiles", document.literals[0]))
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


def has_modes(device: int | None, mounts: str | None = None) -> bool:
    """Whether a file system keeps permissions of its own for each file.

    Args:
        device: its number, as in os.stat; None where it is not known.
        mounts: the text of Linux's mountinfo; None reads the process's own.
    """
    if os.name == "nt":
        return False
    if device is None:
        return True
    if mounts is None:
        try:
            with open(_MOUNTS, encoding="utf-8", errors="replace") as file:
                mounts = file.read()
        except OSError:
            return True  # no Linux; others have no common way to tell
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        words = line.split()
        # 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw: proc(5)
        if len(words) > 2 and words[2] == number and "-" in words[6:-1]:
            return words[words.index("-", 6) + 1] not in _WITHOUT_MODES
    return True
