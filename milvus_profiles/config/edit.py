"""Editing a milvus.toml so that its comments, its order and every byte outside of the change survive.

Each edit takes the file's lock, reads, edits (:mod:`edit_profiles`), lets the caller check the outcome, and replaces
the file in one step, unless someone has saved it meanwhile.  Whoever calls this decides which file is edited and what
a valid profile is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from ..errors import EditConflictError, Location, MilvusProfilesError
from ..text import Standing
from ..tomltext.lines import Line, lay_out, lay_out_broken
from ..tomltext.parser import loads
from .atomic import read_bytes, write_atomic
from .documents import parse_document
from .edit_diff import show_difference
from .edit_profiles import Editor
from .places import locked, real_path

Change = Callable[[Editor], object]
"""What is to be done to a file: calls of the editor's methods."""


class Outcome(NamedTuple):
    """The lines of a document before and after a change; there are none before where there was no file."""

    before: Sequence[Line] | None
    after: Sequence[Line]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EditResult:
    """What an edit did, or with ``dry_run`` would do.

    Attributes:
        path: the file, as it was given.
        before: the old content; None where there was no file.  May hold secrets.
        after: the new content.  May hold secrets.
        lines: the same, line by line.
        notes: what else happened, a sentence each: the default is gone, other profiles follow a new name.
        warnings: what was lost or is not sure, although the change was made.
    """

    path: str
    before: bytes | None = field(repr=False)
    after: bytes = field(repr=False)
    lines: Outcome = field(repr=False)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def diff(self) -> str:
        """The difference for people to read, with secrets masked and control characters escaped."""
        return show_difference(self.lines.before, self.lines.after, self.path)

    @property
    def changed(self) -> bool:
        """Whether the two contents differ."""
        return self.after != (self.before or b"")

    @property
    def created(self) -> bool:
        """Whether there was no file before, and now is one."""
        return self.changed and self.before is None


def digest(content: bytes | None) -> bytes:
    """The fingerprint that ``expect`` takes: SHA-256, or ``b""`` where there is no file."""
    return b"" if content is None else hashlib.sha256(content).digest()


def edit_file(
    path: str | os.PathLike[str],
    change: Change,
    *,
    dry_run: bool = False,
    lock_timeout: float = 10.0,
    check: Callable[[bytes], None] | None = None,
    expect: bytes | None = None,
    inside: str | None = None,
    standing: Standing | None = None,
) -> EditResult:
    """Change a file: all that is to be done to it, or nothing.

    Args:
        path: the file; links are followed, and stay.  A missing one is created (0600), with its directories (0700).
        change: what to do; called once for each look at the file, under the lock for the last.
        dry_run: only find out what would change: nothing is locked, created or written.
        lock_timeout: seconds to wait for another edit of the file.
        check: called under the lock with the new content before it is written; raises to refuse it.
        expect: the :func:`digest` that the file must have; None for any.
        inside: the directory of a project that is not trusted, as for :func:`atomic.write_atomic`.
        standing: where its profiles stand, for remedies; None where no command needs to name the file.

    Raises:
        ConfigError: the file cannot be read or written or is no valid TOML, or the change does not fit it.
        UnknownProfileError: the file declares no such profile.
        EditConflictError: others extend the profile to be removed, the file was saved by someone else meanwhile, or is
            written in a way that the edit would damage.
        LockTimeoutError: another process edits the file for too long.
        UntrustedError: the file, or its lock, is a link of an untrusted project.
    """

    def edited(before: bytes | None) -> Outcome:
        content = before or b""
        data = _parse(content, name)
        editor = Editor(content.decode("utf-8"), data, name, standing)
        try:
            change(editor)
        except EditConflictError as error:
            if error.location is None:  # of its text alone, which knows neither the file nor any command
                error.location, error.hint = Location(name), f"{error.hint}, with {by_hand}"
            raise
        editor.guard()
        return Outcome(None if before is None else editor.document.before, editor.document.lines, tuple(editor.notes))

    name = os.fspath(path)
    by_hand = (standing or Standing()).command("profile", "edit")
    way_out = f"make the change by hand, with {by_hand}"
    return _sealed(lambda: _commit(name, edited, dry_run, lock_timeout, check, expect, inside, way_out))


def replace_file(
    path: str | os.PathLike[str],
    content: bytes,
    *,
    expect: bytes | None,
    lock_timeout: float = 10.0,
    dry_run: bool = False,
    inside: str | None = None,
) -> EditResult:
    """Give a file a whole new text, that of an editor; the old one may be broken, this one may not.

    Arguments and errors are those of :func:`edit_file`; ``expect`` is the text that the editor began with.
    """

    # Kept in a closure, as SecretText is: an error from here takes this frame and its locals along.
    text = _hold(content)
    content = b""

    def change(before: bytes | None) -> Outcome:
        _parse(text(), name)
        old = None if before is None else _lay_out_any(before)
        return Outcome(old, lay_out(text().decode("utf-8")))

    name = os.fspath(path)
    return _sealed(lambda: _commit(name, change, dry_run, lock_timeout, None, expect, inside, "nest them less"))


def _hold(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def _sealed(work: Callable[[], EditResult]) -> EditResult:
    """Let errors out without their frames, whose locals hold the text of the file and with it perhaps secrets."""
    try:
        return work()
    except MilvusProfilesError as error:
        refusal = error.with_traceback(None)
    refusal.__context__ = None
    raise refusal


def _commit(
    path: str,
    change: Callable[[bytes | None], Outcome],
    dry_run: bool,
    lock_timeout: float,
    check: Callable[[bytes], None] | None,
    expect: bytes | None,
    inside: str | None,
    way_out: str,
) -> EditResult:
    def prepare() -> EditResult:
        before = read_bytes(path, inside=inside)
        if expect is not None and digest(before) != expect:
            raise _saved_meanwhile(path)
        try:
            outcome = change(before)
            after = "".join(line.raw for line in outcome.after).encode("utf-8")
            if check is not None:
                check(after)
        except RecursionError:
            raise EditConflictError(
                "the values are nested too deeply to be edited safely",
                hint=way_out,
                location=Location(path),
            ) from None
        return EditResult(path, before, after, outcome, outcome.notes)

    if dry_run:
        return prepare()
    if not os.path.isdir(os.path.dirname(real_path(path))):
        # An edit that will be refused leaves no directories behind.
        prepare()
    with locked(path, lock_timeout, inside=inside):
        result = prepare()

        def last_look() -> None:
            # Editors take no lock.  Between this look and the replacement a save can still be lost; no system that
            # we run on compares and replaces in one step.
            if digest(read_bytes(path, inside=inside)) != digest(result.before):
                raise _saved_meanwhile(path)

        if result.changed:
            told = write_atomic(path, result.after, last_look=last_look, inside=inside)
            if told is not None:
                result = replace(result, warnings=(told,))
    return result


def _parse(content: bytes, path: str) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        data: dict[str, Any] = loads(content.decode("utf-8"))
        return data
    # Reading it as a document meets the same fault, and says where it is.  Only then: a document must have a valid
    # root and valid aliases as well, and a file without those is one that edits are to mend.
    parse_document(content, path, "user")
    raise AssertionError("a text was refused and accepted")


def _lay_out_any(content: bytes) -> list[Line]:
    text = content.decode("utf-8", "replace")
    try:
        loads(text)
        return lay_out(text)
    except (ValueError, RecursionError):
        return lay_out_broken(text)


def _saved_meanwhile(path: str) -> EditConflictError:
    return EditConflictError(
        "the file was saved by someone else meanwhile, so nothing was changed",
        hint="look at it, and try again",
        location=Location(path),
    )
