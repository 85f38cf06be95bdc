"""What may stand in the way of a file that is to be written: links, pipes, other users, full and read-only disks."""

from __future__ import annotations

import os
import shlex
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import milvus_profiles

from .requirements import need, unavailable

USER, OTHER = 65534, 65533
"""A user without privileges, and another one."""

Snapshot = dict[str, tuple[str, int, int, bytes]]


@dataclass(frozen=True)
class Seen:
    """How the files are seen by who runs: `path` in the eyes of a process is `root / path` here."""

    prefix: list[str]
    root: Path

    def at(self, path: Path) -> Path:
        return self.root / path.relative_to("/")


PLAIN = Seen([], Path("/"))


def as_user(base: Path) -> Seen:
    """Everything below `base` is the user's, who runs the program."""
    need("setpriv")
    if os.geteuid() != 0:
        unavailable("needs root, for a second user")
    for path in (base, *base.rglob("*")):
        os.lchown(path, USER, USER)
    return Seen([*python_for_all(), "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"], Path("/"))


def python_for_all() -> list[str]:
    """What lets a user without privileges run this Python, which may stand in a directory of root's alone."""
    places = [Path(sys.base_prefix), Path(sys.prefix), Path(milvus_profiles.__file__).parent]
    closed = {above for place in places for above in place.resolve().parents if not above.stat().st_mode & stat.S_IXOTH}
    if not closed:
        return []
    need("unshare", "mount")
    top = min(closed, key=lambda path: len(path.parts))
    places = [place for place in dict.fromkeys(places) if place.is_relative_to(top)]
    # In mounts of its own, everybody may enter the closed directory, where only these places are left.
    steps = ["mount -t tmpfs -o mode=755 none /mnt"]
    for number, place in enumerate(places):
        steps.append(f"mkdir /mnt/{number} && mount --bind {shlex.quote(str(place))} /mnt/{number}")
    steps.append(f"mount -t tmpfs -o mode=755 none {shlex.quote(str(top))}")
    for number, place in enumerate(places):
        steps.append(f"mkdir -p {shlex.quote(str(place))} && mount --bind /mnt/{number} {shlex.quote(str(place))}")
    return ["unshare", "-m", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


@contextmanager
def _mounted(script: str, *arguments: Path) -> Iterator[Seen]:
    need("unshare", "nsenter", "mount")
    shell = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", f"{script} && echo ready && exec cat", "sh", *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shell.stdout is not None
    try:
        if shell.stdout.readline() != "ready\n":
            _, said = shell.communicate()
            unavailable(f"needs mounts of its own: {said}")
        program = 'cd "$0" && exec "$@"'
        prefix = ["nsenter", f"--mount=/proc/{shell.pid}/ns/mnt", "sh", "-c", program, os.fspath(arguments[1])]
        yield Seen(prefix, Path(f"/proc/{shell.pid}/root"))
    finally:
        shell.kill()
        shell.communicate()


def full_disk(directory: Path, cwd: Path) -> AbstractContextManager[Seen]:
    """The directory, with what is in it, is on a disk of its own that is full."""
    script = (
        'mkdir "$1.was" && cp -a "$1/." "$1.was" && mount -t tmpfs -o size=64k,mode=0700 tmpfs "$1" && '
        'cp -a "$1.was/." "$1" && rm -r "$1.was" && '
        '{ dd if=/dev/zero of="$1/filler" bs=4096 2>/dev/null; [ "$(stat -f -c %f "$1")" = 0 ]; }'
    )
    return _mounted(script, directory, cwd)


def read_only_mount(directory: Path, cwd: Path) -> AbstractContextManager[Seen]:
    """The directory is mounted read-only."""
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
    return _mounted(script, directory, cwd)


def mounted_file(file: Path, cwd: Path) -> AbstractContextManager[Seen]:
    """The file is a mount of its own, as containers get single files."""
    return _mounted('cp -a "$1" "$1.was" && mount --bind "$1.was" "$1"', file, cwd)


def snapshot(*directories: Path) -> Snapshot:
    """Everything below some directories: kind, mode, owner, and content or where a link leads."""
    found: Snapshot = {}
    for top in directories:
        for path in (top, *sorted(top.rglob("*"))):
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            content = b""
            if kind == stat.S_IFREG:
                content = path.read_bytes()
            elif kind == stat.S_IFLNK:
                content = os.fsencode(os.readlink(path))
            found[str(path)] = (oct(kind), stat.S_IMODE(status.st_mode), status.st_uid, content)
    return found


def lay(obstacle: str, path: Path, outside: Path, own: bytes) -> None:
    """Put an obstacle where a file is to be written.

    Args:
        obstacle: its name.
        path: the file.
        outside: a directory elsewhere, for what a link leads to.
        own: what the program itself would have put there.
    """
    if obstacle in ("own file", "another user's file", "full disk", "read-only directory", "read-only mount"):
        path.write_bytes(own)
        path.chmod(0o600)
    elif obstacle == "another file":
        path.write_bytes(b"[section\nprecious\n")
    elif obstacle == "link":
        (outside / "target").write_bytes(own or b"precious\n")
        path.symlink_to(outside / "target")
    elif obstacle == "dangling link":
        path.symlink_to(outside / "nothing")
    elif obstacle == "FIFO":
        os.mkfifo(path)
    elif obstacle == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except PermissionError:
            unavailable("needs root, for a device")
    elif obstacle == "directory":
        path.mkdir()
        (path / "precious").write_bytes(b"precious\n")
    if obstacle == "another user's file":
        os.chown(path, OTHER, OTHER)


def program() -> Path:
    return Path(sys.executable).with_name("milvus-profiles")


def read_only_root(cwd: Path) -> AbstractContextManager[Seen]:
    """The root's mount is read-only, as in a container with a read-only root."""
    return _mounted('mount -o remount,ro,bind "$1"', Path("/"), cwd)


@contextmanager
def reachable(directory: Path) -> Iterator[None]:
    """Every user may pass through the directories above, which pytest keeps to itself."""
    closed = [above for above in (directory, *directory.parents) if not above.stat().st_mode & stat.S_IXOTH]
    modes = [above.stat().st_mode for above in closed]
    try:
        for above, mode in zip(closed, modes, strict=True):
            above.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
        yield
    finally:
        for above, mode in zip(closed, modes, strict=True):
            above.chmod(stat.S_IMODE(mode))


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user without privileges; for one who has none anyway there is nothing to drop."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(USER)
    os.seteuid(USER)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the path of a socket has 108 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)
