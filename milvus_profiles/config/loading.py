"""Reading the files that are in force and the environment, in the order and from the places of the documentation.

Programs connect more often than files change: a file is read each time, but parsed, and its profiles put together,
once for each content.  And :class:`Unchanged` tells without reading whether that would find what it found before: by
what decides which files are read, and by their status.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError, ParamError
from ..files.regular_file import is_given
from ..masked import MaskedMapping, even_half_made
from ..names import fold_alias
from .documents import Document, Role, outcome_of, read_document, try_parse
from .in_force import directory_of, documents_in_force
from .locations import (
    STATE_VARIABLES,
    current_directory,
    named,
    project_candidates,
)
from .profiles import Profiles
from .resolved import ProfileCache
from .settings import Settings, load_settings


class BrokenFileWarning(UserWarning):
    """A file that was found cannot be read, and nothing of it is needed."""


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
    if file is not None and not isinstance(file, (str, os.PathLike)):
        raise _no_path(file_name, file)
    if cwd is not None and not isinstance(cwd, (str, os.PathLike)):
        raise _no_path("cwd=", cwd)
    if env is not None and not isinstance(env, (dict, Mapping, MaskedMapping)):
        raise ParamError(f"env= is a mapping of variables, not a value of the type {type(env).__name__}")
    environment = MaskedMapping(os.environ if env is None else env)
    file = None if file is None else os.fspath(file)
    if file == "":
        # A variable that was meant to hold the path is empty: to read other files instead would be a surprise.
        raise ConfigError(f"{file_name} names no file: it is empty", hint="give a path, or leave it out")
    directory = directory_of(cwd, named(file, environment))
    documents, unread = documents_in_force(file, environment, directory, file_name, new=new)
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


def _no_path(name: str, given: object) -> ParamError:
    return ParamError(f"{name} is a path, not a value of the type {type(given).__name__}")


def load_for(
    alias: str | None,
    file: str | None = None,
    *,
    address: bool = False,
    env: Mapping[str, str] | None = None,
    connector: Callable[..., Any] | None = None,
    file_name: str = "file=",
) -> tuple[Profiles, str | None]:
    """Read the files and the environment for whoever wants one profile; and what to warn of.

    A profile that ``MILVUS_URI`` declares is the environment's whole, and an address of a call (``address``) needs no
    profile: for them a file that was merely found need not be readable, and is left out.  Errors are as for
    :func:`load`.
    """
    try:
        return load(file, env=env, connector=connector, file_name=file_name), None
    except ConfigError as error:
        failure = error.with_traceback(None)
    environment = MaskedMapping(os.environ if env is None else env)
    alone = None if named(file, environment) else _without_files(environment, connector)
    if alone is None:
        raise failure
    declared = alone.settings.environment.uri_alias
    wanted = alias or alone.settings.profile or declared
    if not address and (declared is None or wanted is None or fold_alias(wanted) != fold_alias(declared)):
        raise failure
    place = f"{failure.location}: " if failure.location is not None else ""
    return alone, f"{place}{failure.message}; it is left out, since nothing of it is needed here"


def load_with_warning(alias: str | None, *, connector: Callable[..., Any] | None = None, stacklevel: int) -> Profiles:
    """As :func:`load_for`, with a Python warning; the stack level is counted from the caller of this."""
    profiles, left_out = load_for(alias, connector=connector)
    if left_out is not None:
        warnings.warn(BrokenFileWarning(left_out), stacklevel=stacklevel + 1)
    return profiles


def _without_files(env: MaskedMapping, connector: Callable[..., Any] | None) -> Profiles | None:
    """What the environment alone declares; None where the fault is its own."""
    try:
        directory = current_directory()
        settings = load_settings(env, directory, ())
    except ConfigError:
        return None
    return Profiles((), settings, env=env, cwd=directory, connector=connector)


def load_text(content: bytes, path: str, role: Role, *, env: Mapping[str, str] | None = None) -> Profiles:
    """The profiles of one text, as if it stood in a file: to check an edit before it is written.

    Relative paths count from where it would stand; of ``env`` only what says where the home directory is counts.
    """
    document = try_parse(content, path, role)
    content = b""  # a traceback may show the locals of its frames, and this is all the secrets of the file
    return _alone(outcome_of(document), env)


def load_alone(path: str, role: Role, cwd: str, *, env: Mapping[str, str]) -> Profiles:
    """The profiles of one file, whatever other files and the variables say.

    Relative paths count from ``cwd`` where the path is that of no file; of ``env`` only what says where the home
    directory and the list of trusted files are counts.
    """
    return _alone(read_document(path, role, cwd), env)


def _alone(document: Document, env: Mapping[str, str] | None) -> Profiles:
    environment = MaskedMapping({} if env is None else {name: env[name] for name in STATE_VARIABLES if name in env})
    settings = load_settings(environment, document.directory, (document,))
    return Profiles((document,), settings, env=environment, cwd=document.directory)


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


_SETTLED_NS = 2_000_000_000
"""Age of a change from which on the times of a file tell the next one: file systems count in ticks, FAT's of 2 s."""

_Status = tuple[int, ...]


@even_half_made
class Unchanged:
    """What a look at the files and the environment of this process stood on; equal where two stood on the same.

    That is the environment, in whatever form; the user and the directory; where files were looked for, and whether
    something is there; the files, and what tells their contents: None where there is none.
    """

    __slots__ = ("_rest", "_variables")

    def __init__(
        self,
        variables: Mapping[Any, Any],
        ground: tuple[int, str],
        places: tuple[tuple[str, bool], ...],
        files: tuple[tuple[str, _Status | None], ...],
    ) -> None:
        self._variables: Callable[[], Mapping[Any, Any]] = lambda: variables  # secrets may be among them
        self._rest = ground, places, files

    @classmethod
    def since(cls, profiles: Profiles) -> Unchanged | None:
        """What profiles of this process stand on, which were loaded just now.

        None where it cannot be told whether something has changed: a file is a pipe or was changed just now, one was
        passed over, or there is no home directory.
        """
        env, documents = profiles.env, profiles.documents
        if profiles.unread or any(is_given(document.path) for document in documents):
            return None
        places: list[tuple[str, bool]] = []
        watched = [document.path for document in documents]
        if named(None, env) is None:
            if profiles.user_file is None:
                return None
            found = next((document.path for document in documents if document.role == "project"), None)
            places = [(path, os.access(path, os.F_OK)) for path in project_candidates(profiles.cwd, env, found)]
            if profiles.user_file not in watched:
                places.append((profiles.user_file, False))
            if found is not None and (trusted := profiles.trust.path) is not None:
                watched.append(trusted)
        files = tuple((path, _status(path)) for path in watched)
        now = time.time_ns()
        if any(status is not None and not max(status[-2:]) + _SETTLED_NS < now for _, status in files):
            return None
        # The variables are no local: a traceback may show those, and there may be secrets among them.
        made = cls(dict(_variables()), (_user(), profiles.cwd), tuple(places), files)
        # What was set since the profiles were loaded is in neither, or it is seen here.
        return made if made.holds() and env == MaskedMapping(os.environ) else None

    def holds(self) -> bool:
        ground, places, files = self._rest
        try:
            if _variables() != self._variables() or (_user(), os.getcwd()) != ground:
                return False
        except OSError:  # the current directory is gone
            return False
        access = os.access
        for path, there in places:
            if access(path, 0) is not there:  # os.F_OK
                return False
        for path, status in files:  # noqa: SIM110  # a generator would take a third more time
            if _status(path) != status:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unchanged):
            return NotImplemented
        return self._variables() == other._variables() and self._rest == other._rest

    __hash__ = None  # type: ignore[assignment]  # of what is compared by a whole environment

    def __repr__(self) -> str:
        return f"<Unchanged: {', '.join(path for path, _ in self._rest[2])}>"


def _variables() -> Mapping[Any, Any]:
    # Python's own dictionary behind os.environ: to decode all of them takes as long as everything else here.
    return getattr(os.environ, "_data", os.environ)


_user: Callable[[], int] = getattr(os, "geteuid", lambda: 0)


def _status(path: str) -> _Status | None:
    """What tells one content of a file from another; the times of its changes come last."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (
        found.st_mode,
        found.st_uid,
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )
