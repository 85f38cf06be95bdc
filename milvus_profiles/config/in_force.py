"""The files that are in force; apart from what puts profiles together, which `list` and `exec` need not load."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..errors import ConfigError
from ..files.paths import is_absent
from .documents import Document, read_document
from .locations import (
    UnreadFile,
    current_directory,
    find_project_file,
    named,
    named_by,
    named_file,
    user_file,
    user_file_fault,
)


def directory_of(cwd: str | os.PathLike[str] | None, text: str | None) -> str:
    """Where relative paths count from and the search for a project file begins."""
    if cwd is not None:
        return os.path.abspath(os.fspath(cwd))
    try:
        return current_directory()
    except ConfigError:
        # Nothing is searched for, and nothing counts from there.
        if text and os.path.isabs(text):
            return os.path.dirname(text)
        raise


def documents_in_force(
    file: str | None, env: Mapping[str, str], cwd: str, file_name: str, *, new: bool = False
) -> tuple[tuple[Document, ...], tuple[UnreadFile, ...]]:
    """The files in force, strongest first, and those that are there and are not read.

    ``file`` is one that is named, by whatever ``file_name`` calls it; the rest and the errors are as for :func:`load`.
    """
    if text := named(file, env):
        name = named_by(file, file_name)
        try:
            path = named_file(text, env, cwd)
        except ConfigError as error:
            raise ConfigError(f"the file that {name} names: {error.message}", hint=error.hint) from None
        if new and is_absent(path):
            return (), ()
        try:
            return (read_document(path, "named", cwd),), ()
        except ConfigError as error:
            if is_absent(path):
                raise ConfigError(
                    f"the file that {name} names does not exist", hint=error.hint, location=error.location
                ) from None
            raise
    documents: list[Document] = []
    found, unread = find_project_file(cwd, env)
    if found is not None:
        documents.append(read_document(found, "project"))
    own = user_file(env)
    if own is not None and not is_absent(own):
        if (fault := user_file_fault(env)) is None:
            documents.append(read_document(own, "user"))
        else:
            unread = (*(one for one in unread if one.path != own), fault)
    return tuple(documents), unread
