"""Who owns a file or a directory, and who else may write to it: the one place where that is judged.

Only this user and root are believed.  Under sudo that is root and the user who called it, as git has it
(``safe.directory``).  Nothing is judged on systems without users and on file systems that keep no modes.  It imports
nothing of this package, since completion asks here on every press of the tab key.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ..text import command

__all__ = ["Fault", "changeable", "fault_below", "fault_of", "has_modes", "own_users"]

# File systems that show the same bits for every file, whatever chmod is told.  Network and virtual ones are among
# them that may keep modes, depending on how they are mounted: there a warning must do.
_WITHOUT_MODES = frozenset(
    {"vfat", "msdos", "exfat", "ntfs", "fuseblk", "drvfs", "9p", "cifs", "smb3", "vboxsf", "fuse.vmhgfs-fuse"}
)
_MOUNTS = "/proc/self/mountinfo"


class Fault(NamedTuple):
    """Why what stands at a path could be somebody else's work.

    Attributes:
        path: the file or directory in question.
        reason: what is wrong with it, as a sentence that its path begins: ``"belongs to another user (uid 1000)"``.
        hint: what ends that.
        foreign: whether another user owns it; False where it is this user's and others may write to it.
    """

    path: str
    reason: str
    hint: str
    foreign: bool

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def own_users(env: Mapping[str, str]) -> frozenset[int] | None:
    """The users whose files are believed; None on a system without users.

    Args:
        env: the environment, for ``SUDO_UID``, which says something to root only.
    """
    if sys.platform == "win32":
        return None
    user = os.geteuid()
    caller = env.get("SUDO_UID", "") if user == 0 else ""
    if caller.isascii() and caller.isdecimal() and len(caller) <= 10:
        return frozenset({0, int(caller)})
    return frozenset({user, 0})


def fault_of(path: str, users: frozenset[int] | None) -> Fault | None:
    """Why what stands at a path could be somebody else's work; None if it could not, and if nothing is there.

    A link must be one of these users', and what it leads to as well.  A directory that everybody may write to is
    believed only with the sticky bit, which keeps others from replacing what is in it; the modes of a file say
    nothing here, for they matter in different ways to different callers.

    Args:
        path: the file or directory.
        users: as :func:`own_users` gives them.
    """
    if users is None:
        return None
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid not in users and has_modes(status.st_dev):
                return _foreign(path, status)
            status = os.stat(path)
    except (OSError, ValueError):
        return None  # whoever opens it says why that cannot be
    if status.st_uid not in users:
        return _foreign(path, status) if has_modes(status.st_dev) else None
    return changeable(path, status) if stat.S_ISDIR(status.st_mode) else None


def changeable(path: str, status: os.stat_result) -> Fault | None:
    """That every user of this machine may write to a file or a directory; None where that is not so.

    Args:
        path: of the file or directory.
        status: of what it leads to.
    """
    mode = status.st_mode
    # The sticky bit keeps what is in a directory, and what a device gives is nobody's who writes to it.
    concerned = stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and not mode & stat.S_ISVTX)
    if not concerned or not mode & stat.S_IWOTH or not has_modes(status.st_dev):
        return None
    return Fault(
        path,
        f"can be written to by every user of this machine (mode {stat.S_IMODE(mode):04o})",
        f"run {command('chmod', 'o-w', path)}",
        False,
    )


def _foreign(path: str, status: os.stat_result) -> Fault:
    hint = "choose one of your own"
    if sys.platform != "win32":
        hint = f"if it is yours, run {command('chown', str(os.geteuid()), path)}"
    return Fault(path, f"belongs to another user (uid {status.st_uid})", hint, True)


def fault_below(base: str, path: str, users: frozenset[int] | None) -> Fault | None:
    """The first fault on the way from a directory down to a path below it, both included; None if there is none.

    Args:
        base: absolute path of a directory, whether it exists or not.
        path: absolute path below it, whether it exists or not.
        users: as for :func:`fault_of`.
    """
    at = base
    if (found := fault_of(at, users)) is not None:
        return found
    for part in os.path.relpath(path, base).split(os.sep):
        if part != os.curdir:
            at = os.path.join(at, part)
            if (found := fault_of(at, users)) is not None:
                return found
    return None


def has_modes(device: int | None, mounts: str | None = None) -> bool:
    """Whether a file system keeps permissions of its own for each file.

    Args:
        device: its number, as in os.stat; None where it is not known.
        mounts: the text of Linux's mountinfo; None reads the process's own.
    """
    if sys.platform == "win32":
        return False  # the bits that Python shows there say nothing of who may do what
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
