"""Which files git tracks, by its index (``gitformat-index``): it is read here, and not by git.

Git may start programs of the repository's choice.  An index that cannot be understood tracks nothing.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator

from ..files.regular_file import FileFault, read_regular

_INDEX_LIMIT = 256 << 20
_POINTER_LIMIT = 64 << 10
_HASHES = (20, 32)  # SHA-1, SHA-256
_STAT = 40
_LONG_NAME = 0xFFF


def work_tree(directory: str) -> str | None:
    """The nearest directory from one upwards that is a work tree of git; None outside of any."""
    while not os.path.lexists(os.path.join(directory, ".git")):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return directory


def is_tracked(path: str, *, below: bool = False) -> bool:
    """Whether the file that a path leads to, links followed, stands in the index of the repository around it.

    ``below``: of a directory, whether anything in it does; the directory's own name is a submodule's.
    """
    real = os.path.realpath(path)
    directory = work_tree(os.path.dirname(real))
    if directory is None:
        return False
    content = _read(os.path.join(_git_directory(directory), "index"), _INDEX_LIMIT)
    wanted = _folded(os.fsencode(os.path.relpath(real, directory)).replace(os.sep.encode(), b"/"))
    return any(_lists(content, wanted, below, size) for size in _HASHES)


def _folded(name: bytes) -> bytes:
    """A name in the spelling that it shares with all other names of the same file."""
    if sys.platform == "linux":
        return name
    # Most disks of macOS and Windows take names in any case, and those of macOS accents in two spellings.
    return unicodedata.normalize("NFC", name.decode("utf-8", "surrogateescape").casefold()).encode(
        "utf-8", "surrogateescape"
    )


def _git_directory(work_tree: str) -> str:
    """The directory with the index: that of a further work tree or of a submodule stands elsewhere."""
    dot_git = os.path.join(work_tree, ".git")
    kind, _, place = _read(dot_git, _POINTER_LIMIT).partition(b"gitdir:")
    if kind or not place.strip():
        return dot_git
    found = os.path.join(work_tree, os.fsdecode(place.strip()))
    drive, own = (os.path.normcase(os.path.splitdrive(path)[0]) for path in (found, work_tree))
    # What came as an archive may name a share of any machine, and Windows sends that credentials when it is looked at.
    return dot_git if drive.startswith("\\\\") and drive != own else found


def _read(path: str, limit: int) -> bytes:
    """What stands in a file; nothing where there is none, or one that is none of git's."""
    try:
        return read_regular(path, limit).content
    except FileFault:
        return b""


def _lists(index: bytes, wanted: bytes, below: bool, hash_size: int) -> bool:
    """Whether an index has an entry of that name, or one below it, if its hashes have that size."""
    folder = wanted + b"/"
    try:
        return any(
            name == wanted or (below and name.startswith(folder)) for name in map(_folded, _names(index, hash_size))
        )
    except (ValueError, IndexError):
        return False


def _names(index: bytes, hash_size: int) -> Iterator[bytes]:
    version, number = int.from_bytes(index[4:8], "big"), int.from_bytes(index[8:12], "big")
    if index[:4] != b"DIRC" or version not in (2, 3, 4):
        raise ValueError("not an index")
    at, name = 12, b""
    for _ in range(number):
        start = at
        at += _STAT + hash_size
        flags = int.from_bytes(index[at : at + 2], "big")
        at += 4 if version > 2 and flags & 0x4000 else 2
        if version == 4:
            dropped, at = _offset(index, at)
            if dropped > len(name):
                raise ValueError("a name drops more than there is")
            kept = name[: len(name) - dropped]
        else:
            kept = b""
        end = index.index(b"\0", at)
        name = kept + index[at:end]
        # The length stands there twice: hashes of another size, or anything else that was misread, show here.
        if min(len(name), _LONG_NAME) != flags & _LONG_NAME:
            raise ValueError("not an entry")
        yield name
        at = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8


def _offset(index: bytes, at: int) -> tuple[int, int]:
    """A number in the encoding of version 4, and where it ends."""
    byte = index[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = index[at]
        value = (value + 1) << 7 | byte & 0x7F
        if value > _POINTER_LIMIT:
            raise ValueError("no name is that long")
    return value, at + 1
