"""Extended attributes, access control lists among them: what a file has beside its mode, where the system has them."""

from __future__ import annotations

import os
import sys

from .held_directory import HeldDirectory

__all__ = ["copy"]

_ACCESS = "system.posix_acl_access"
# The kernel's own words about the content.
_OF_THE_CONTENT = frozenset({"security.ima", "security.evm"})


def copy(held: HeldDirectory, name: str, target: int, *, access: bool) -> list[str]:
    """Give a new file the extended attributes of the one whose place it is to take.

    Args:
        held: the directory of the old file.
        name: of the old file.
        target: descriptor of the new one, which has its owner and mode already.
        access: the access control list too, as long as both have the same owner and group.

    Returns:
        The names of those that it could not be given.
    """
    if sys.platform == "linux":
        return _copied(held, name, target, access=access)
    return []


if sys.platform == "linux":

    def _copied(held: HeldDirectory, name: str, target: int, *, access: bool) -> list[str]:
        try:
            source = held.open(name, os.O_RDONLY)
        except OSError:
            return []  # what cannot be read has been edited by nobody
        try:
            ours, theirs = os.fstat(target), os.fstat(source)
            same = (ours.st_uid, ours.st_gid) == (theirs.st_uid, theirs.st_gid)
            wanted = [name for name in _names(source) if access or name != _ACCESS]
            return [name for name in wanted if (name == _ACCESS and not same) or not _give(name, source, target)]
        finally:
            os.close(source)

    def _names(descriptor: int) -> list[str]:
        try:
            return sorted(set(os.listxattr(descriptor)) - _OF_THE_CONTENT)
        except OSError:
            return []  # the file system has none

    def _give(name: str, source: int, target: int) -> bool:
        try:
            value = os.getxattr(source, name)
            if name not in os.listxattr(target) or os.getxattr(target, name) != value:
                os.setxattr(target, name, value)
        except OSError:
            return False
        return True
