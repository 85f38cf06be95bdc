"""Paths as people write them, made absolute; who owns what stands there, and who else may write to it.

Only this user and root are believed; under sudo that is root and the user who called it, as git has it
(``safe.directory``).  Nothing is judged on systems without users and on file systems that keep no modes.

A home directory that is not an absolute path, or that somebody else owns or may write to, is none: ``~`` taken for a
directory of that name, or a home that others fill, would make a repository's files the user's own.  Completion asks
here on every press of the tab key, so nothing is imported that takes time.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import NamedTuple

from ..text import command

# File systems that show the same bits for every file, whatever chmod is told.  Network and virtual ones are among
# them that may keep modes, depending on how they are mounted: there a warning must do.
_WITHOUT_MODES = frozenset(
    {"vfat", "msdos", "exfat", "ntfs", "fuseblk", "drvfs", "9p", "cifs", "smb3", "vboxsf", "fuse.vmhgfs-fuse"}
)
_MOUNTS = "/proc/self/mountinfo"


class Fault(NamedTuple):
    """Why what stands at a path could be somebody else's work.

    Attributes:
        reason: as a sentence that its path begins: ``"belongs to another user (uid 1000)"``.
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
    """The users whose files are believed; None on a system without users.  ``SUDO_UID`` says something to root only."""
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
    believed only with the sticky bit, which keeps others from replacing what is in it; the modes of a file say nothing
    here, for they matter in different ways to different callers.
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
    """That every user of this machine may write to a file or a directory, by the status of what its path leads to."""
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

    Both are absolute, whether they exist or not.
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
    """Whether a file system, by its number as in os.stat, keeps permissions of its own for each file.

    ``mounts`` is the text of Linux's mountinfo; None reads the process's own.
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


# Linux takes 4,095 bytes and Windows 32,767 characters; what is longer only takes time.
_LONGEST = 32_767 if sys.platform == "win32" else 4095


def home_directory(env: Mapping[str, str]) -> str | None:
    """The home directory that ``env`` names, else the operating system's answer; None where that is no home."""
    home = _home(env)
    return home if home is not None and fault_of(home, own_users(env)) is None else None


def home_fault(env: Mapping[str, str]) -> tuple[str, str] | None:
    """Why there is no home directory, and what to do; None where there is one."""
    name = _variable()
    home = _home(env)
    if home is None:
        value = env.get(name)
        if value is None:
            why = f"{name} is not set, and the system knows no home directory of this user"
        else:
            why = f"{name} is empty" if not value else f"{name} is not an absolute path"
        return why, f"set {name} to the absolute path of a directory of your own"
    if (fault := fault_of(home, own_users(env))) is not None:
        return f"the home directory {fault}", f"{fault.hint}, or set {name} to a directory of your own"
    return None


def _variable() -> str:
    return "USERPROFILE" if sys.platform == "win32" else "HOME"


def _home(env: Mapping[str, str]) -> str | None:
    home = env.get(_variable())
    if home is None:
        home = os.path.expanduser("~")
    return home if is_absolute(home) and "\0" not in home else None


def is_absolute(path: str) -> bool:
    """Whether a path means one place whatever the current directory is: on Windows it names its drive too."""
    return os.path.isabs(path) and (sys.platform != "win32" or os.path.splitdrive(path)[0] != "")


def leads_out(path: str, directory: str) -> bool:
    """Whether an absolute path, in its one spelling like the directory, is not below it, judged by their text alone.

    So it is judged where looking does harm: on Windows to look at a share (``\\\\host\\share``) sends its host the
    credentials of this user.
    """
    path, directory = os.path.normcase(path), os.path.normcase(directory)
    try:
        return os.path.commonpath([directory, path]) != directory.rstrip(os.sep) and path != directory
    except ValueError:  # another drive
        return True


def absolute_path(path: str, *, base: str | os.PathLike[str], home: str | None = None) -> str:
    """The path with ``~`` expanded, counted from a base, in its one spelling; links are not followed.

    ``home`` is what ``~`` stands for; None takes the process's own home directory, and empty means that there is none.

    Raises:
        ConfigError: it can be the path of nothing, or there is no such home directory.
    """
    if len(path) > _LONGEST:
        raise _refused("a path is longer than any that a system takes", f"at most {_LONGEST} characters")
    if "\0" in path:
        raise _refused("a path holds a NUL character", "no file's name has one")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise _refused("a path is not text that a file can be called", "write it in UTF-8") from None
    if path.startswith("~"):
        path = _expanded(path, home)
    # Not realpath: the link may point elsewhere by the time that it is opened; whoever opens resolves it.
    path = os.path.abspath(os.path.join(base, path))
    # POSIX lets two leading slashes mean something else; no system here does, and one file must have one spelling.
    return path[1:] if path.startswith("//") and os.sep == "/" else path


def is_absent(path: str) -> bool:
    """Whether nothing stands at a path, not even a link that leads nowhere.

    Not os.path.lexists, for which nothing stands where one may not look.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False


def _expanded(path: str, home: str | None) -> str:
    if path == "~" or path.startswith(("~/", f"~{os.sep}")):
        why = None
        if home is None:
            why, home = home_fault(os.environ), home_directory(os.environ)
        if not home:
            reason, hint = why or ("there is no home directory", "set HOME to an absolute path")
            raise _refused(f"a path begins with ~, and there is no home directory for it: {reason}", hint)
        return home + path[1:]
    expanded = os.path.expanduser(path)
    if not is_absolute(expanded):
        raise _refused(
            "a path begins with ~ and the name of a user who has no home directory here",
            "write the path out; a file whose name begins with ~ is written ./~NAME",
        )
    return expanded


def _refused(message: str, hint: str) -> Exception:
    from ..errors import ConfigError

    return ConfigError(message, hint=hint)
