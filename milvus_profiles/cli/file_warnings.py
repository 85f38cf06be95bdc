"""What every command that shows, uses or changes profiles says about the files that they stand in, once, on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..config.documents import file_warnings
from ..text import milvus_profiles
from .output import note, warn

if TYPE_CHECKING:
    from ..config.documents import Document
    from ..config.locations import UnreadFile
    from ..config.profiles import Profiles

__all__ = ["note_untrusted", "warn_about_files", "warn_about_profiles", "warn_of_literals", "warn_of_unread"]


def warn_about_files(profiles: Profiles, documents: Iterable[Document]) -> None:
    """Warn of files that others may have read, changed or put there, and of trust that is not believed."""
    found = list(documents)
    warn_of_unread(profiles.unread)
    for line in file_warnings(found):
        warn(line)
    if (fault := profiles.trust.fault) is not None and any(document.role == "project" for document in found):
        warn(f"the list of trusted files {fault[0]}: {fault[1]}")


def warn_about_profiles(profiles: Profiles, aliases: Iterable[str]) -> None:
    """As :func:`warn_about_files`, for the files that declare some profiles."""
    declaring = [profiles.declaring(alias) for alias in aliases]
    warn_about_files(profiles, [document for document in profiles.documents if document in declaring])


def warn_of_unread(files: Iterable[UnreadFile]) -> None:
    """Warn of files that are there and are not read."""
    for file in files:
        warn(f"{file}: {file.hint}")


def warn_of_literals(documents: Iterable[Document]) -> None:
    """Warn of secrets in a project's file, and in any file that git tracks: others get them with it."""
    from ..config.databases import is_tracked

    for document in documents:
        if not document.literals:
            continue
        tracked = is_tracked(document.path)
        if tracked or document.role == "project":
            keep = document.standing.command("secret", "set", document.literals[0])
            move = f"move the secret into the keyring with {keep}"
            warn(
                f"{document.path} holds a token or password and git tracks it: {move}, and change it, "
                "since its history keeps the old"
                if tracked
                else f"{document.path} holds a token or password, and goes where the project goes: {move}"
            )


def note_untrusted(what: str, path: str) -> None:
    """Say that a project file, which was edited all the same, is not trusted, and what to do about it."""
    note(f"{what} is not trusted: {milvus_profiles('trust', path)}")
