"""Reading the files and the environment, in the order and from the places that the documentation names.

Programs connect more often than files change: a file is read each time, but parsed, and its profiles put together,
once for each content.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError
from ..masked import MaskedMapping
from .documents import Document, Role, read_document, try_parse
from .locations import (
    STATE_VARIABLES,
    UnreadFile,
    current_directory,
    find_project_file,
    named,
    named_file,
    user_file,
    user_file_fault,
)
from .profiles import ProfileCache, Profiles
from .settings import Settings, load_settings

__all__ = ["load", "load_alone", "load_text"]


def load(
    file: str | os.PathLike[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    connector: Callable[..., Any] | None = None,
    file_name: str = "file=",
    new: bool = False,
) -> Profiles:
    """Read the files and the environment.

    Args:
        file: a file that is read instead of all others, with full trust; None follows the documented search.
        env: the environment; None takes the process's own.
        cwd: where the search for a project file begins; None takes the process's current directory.
        connector: what :meth:`Profiles.connect` calls.
        file_name: what the explicit file is called in messages, such as ``--config``.
        new: a named file that is not there is one without profiles, since it is going to be written.

    Raises:
        ConfigError: a file cannot be read or is invalid as a whole, or a variable is wrong.
    """
    environment = MaskedMapping(os.environ if env is None else env)
    file = None if file is None else os.fspath(file)
    if file == "":
        # A variable that was meant to hold the path is empty: to read other files instead would be a surprise.
        raise ConfigError(f"{file_name} names no file: it is empty", hint="give a path, or leave it out")
    directory = _directory(cwd, named(file, environment))
    documents, unread = _documents(file, environment, directory, file_name, new)
    settings = load_settings(environment, directory, documents)
    return Profiles(
        documents,
        settings,
        env=environment,
        cwd=directory,
        connector=connector,
        cache=_cache(settings, documents),
        unread=unread,
    )


def load_text(content: bytes, path: str, role: Role, *, env: Mapping[str, str] | None = None) -> Profiles:
    """The profiles of one text, as if it stood in a file: to check an edit before it is written.

    Args:
        content: the text.
        path: where it would stand; relative paths count from there.
        role: how the file would be read.
        env: the environment, for the home directory; its variables are left out.

    Raises:
        ConfigError: the text is invalid as a whole.
    """
    document = try_parse(content, path, role)
    content = b""  # a traceback may show the locals of its frames, and this is all the secrets of the file
    if isinstance(document, ConfigError):
        raise document
    return _alone(document, env)


def load_alone(path: str, role: Role, cwd: str, *, env: Mapping[str, str]) -> Profiles:
    """The profiles of one file, whatever other files and the variables say.

    Args:
        path: absolute path.
        role: how the file would be read.
        cwd: what relative paths count from where the path is that of no file.
        env: the environment, for the home directory and for trust; its variables are left out.

    Raises:
        ConfigError: the file cannot be read or is invalid as a whole.
    """
    return _alone(read_document(path, role, cwd), env)


def _alone(document: Document, env: Mapping[str, str] | None) -> Profiles:
    environment = MaskedMapping({} if env is None else {name: env[name] for name in STATE_VARIABLES if name in env})
    settings = load_settings(environment, document.directory, (document,))
    return Profiles((document,), settings, env=environment, cwd=document.directory)


def _directory(cwd: str | os.PathLike[str] | None, text: str | None) -> str:
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


def _documents(
    file: str | None, env: Mapping[str, str], cwd: str, file_name: str, new: bool
) -> tuple[tuple[Document, ...], tuple[UnreadFile, ...]]:
    if text := named(file, env):
        name = "MILVUS_PROFILES_FILE" if file is None else file_name
        path = _named(text, env, cwd, name)
        if new and not os.path.lexists(path):
            return (), ()
        try:
            return (read_document(path, "named", cwd),), ()
        except ConfigError as error:
            if not os.path.lexists(path):
                raise ConfigError(
                    f"the file that {name} names does not exist", hint=error.hint, location=error.location
                ) from None
            raise
    documents: list[Document] = []
    found, unread = find_project_file(cwd, env)
    if found is not None:
        documents.append(read_document(found, "project"))
    own = user_file(env)
    if own is not None and os.path.lexists(own):
        if (fault := user_file_fault(env)) is None:
            documents.append(read_document(own, "user"))
        else:
            unread = (*(one for one in unread if one.path != own), fault)
    return tuple(documents), unread


def _named(text: str, env: Mapping[str, str], cwd: str, name: str) -> str:
    try:
        return named_file(text, env, cwd)
    except ConfigError as error:
        raise ConfigError(f"the file that {name} names: {error.message}", hint=error.hint) from None


_CACHE: OrderedDict[tuple[int, ...], tuple[Settings, tuple[Document, ...], ProfileCache]] = OrderedDict()
_KEPT_SIZE = 4


def _cache(settings: Settings, documents: tuple[Document, ...]) -> ProfileCache:
    """What was put together before from the very same settings and files, which are themselves kept while unchanged."""
    key = (id(settings), *map(id, documents))  # they live as long as the entry, so nothing else has their ids
    entry = _CACHE.get(key)
    if entry is None:
        entry = _CACHE[key] = (settings, documents, {})
        while len(_CACHE) > _KEPT_SIZE:
            with contextlib.suppress(KeyError):  # another thread took the last one
                _CACHE.popitem(last=False)
    return entry[2]
