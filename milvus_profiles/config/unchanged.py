"""Whether reading the files and the environment again would find what it found before, told without reading them.

A program connects far more often than anything changes.  What is looked at is what decides which files are read, and
their status; by it a file is the same that was accepted then, whoever may write into its directory by now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..files.regular_file import is_given
from ..masked import MaskedMapping, even_half_made
from .locations import named, project_candidates

if TYPE_CHECKING:
    from .profiles import Profiles

_SETTLED_NS = 2_000_000_000
"""Age of a change from which on the times of a file tell the next one: file systems count in ticks, FAT's of 2 s."""

_Status = tuple[int, ...]


@even_half_made
class Unchanged:
    """What a look at the files and the environment of this process stood on; equal where two stood on the same.

    Args:
        variables: the environment, in whatever form.
        ground: the user and the directory.
        places: where files were looked for, and whether something is there.
        files: the files, and what tells their contents; the status is None where there is none.
    """

    __slots__ = ("_files", "_ground", "_places", "_variables")

    def __init__(
        self,
        variables: Mapping[Any, Any],
        ground: tuple[int, str],
        places: tuple[tuple[str, bool], ...],
        files: tuple[tuple[str, _Status | None], ...],
    ) -> None:
        self._variables: Callable[[], Mapping[Any, Any]] = lambda: variables  # secrets may be among them
        self._ground = ground
        self._places = places
        self._files = files

    @classmethod
    def since(cls, profiles: Profiles) -> Unchanged | None:
        """What profiles of this process stand on, which were loaded just now.

        Returns:
            None where it cannot be told whether something has changed: a file is a pipe or was changed just now, one
            was passed over, or there is no home directory.
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
        """Whether everything is as it was."""
        try:
            if _variables() != self._variables() or (_user(), os.getcwd()) != self._ground:
                return False
        except OSError:  # the current directory is gone
            return False
        access = os.access
        for path, there in self._places:
            if access(path, 0) is not there:  # os.F_OK
                return False
        for path, status in self._files:  # noqa: SIM110  # a generator would take a third more time
            if _status(path) != status:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unchanged):
            return NotImplemented
        return (self._variables(), self._ground, self._places, self._files) == (
            other._variables(),
            other._ground,
            other._places,
            other._files,
        )

    __hash__ = None  # type: ignore[assignment]  # of what is compared by a whole environment

    def __repr__(self) -> str:
        return f"<Unchanged: {', '.join(path for path, _ in self._files)}>"


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
