"""What every command that shows or uses profiles says about the files that they stand in, once, on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..config.permissions import file_warnings
from ..text import milvus_profiles
from .output import warn

if TYPE_CHECKING:
    from ..config.documents import Document
    from ..config.profiles import Profiles

__all__ = ["warn_about_files", "warn_about_profiles", "warn_of_literals"]


def warn_about_files(profiles: Profiles, documents: Iterable[Document]) -> None:
    """Warn of files that others may have read, changed or put there, and of trust that is not believed.

    Args:
        profiles: what was loaded.
        documents: the files in question.
    """
    found = list(documents)
    for unread in profiles.unread:
        warn(f"{unread}: {unread.hint}")
    for line in file_warnings(found):
        warn(line)
    if (fault := profiles.trust.fault) is not None and any(document.role == "project" for document in found):
        warn(f"the list of trusted files {fault[0]}: {fault[1]}")


def warn_about_profiles(profiles: Profiles, aliases: Iterable[str]) -> None:
    """As :func:`warn_about_files`, for the files that declare some profiles."""
    folded = {alias: profiles.declaring(alias) for alias in aliases}
    warn_about_files(profiles, [document for document in profiles.documents if document in folded.values()])


def warn_of_literals(documents: Iterable[Document]) -> None:
    """Warn of secrets in a project's file, and in any file that git tracks: others get them with it."""
    from ..config.tracked import is_tracked

    for document in documents:
        if not document.literals:
            continue
        tracked = is_tracked(document.path)
        if tracked or document.role == "project":
            move = f"move the secret into the keyring with {milvus_profiles('secret', 'set', document.literals[0])}"
            warn(
                f"{document.path} holds a token or password and git tracks it: {move}, and change it, "
                "since its history keeps the old"
                if tracked
                else f"{document.path} holds a token or password, and goes where the project goes: {move}"
            )
