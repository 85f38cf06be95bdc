"""``profile edit``: a person's own editor, on a copy that is checked before it takes the place of the file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from ...config.loading import load_text
from ...config.locations import FILE_NAME
from ...errors import ConfigError, DeclinedError, Location, MilvusProfilesError, UsageError
from ...secrets.terminal import restored
from ..asking import agreed, command_words
from ..keyring_entries import note_left_behind
from ..options import PlaceOptions
from ..output import answer, note, print_error, warn
from ..protection import confirm_protected_text
from ..session import current
from ..target import choose
from ..writing import check_text, finish

if TYPE_CHECKING:
    from ...config.edit import EditResult

__all__ = ["edit"]


def edit(place: PlaceOptions) -> None:
    """Open the file in $VISUAL or $EDITOR: on a copy, which is checked before it replaces the file.

    A text that is emptied changes nothing.
    """
    from ...config.atomic import read_bytes
    from ...config.edit import digest, replace_file

    target = choose(place)
    inside = target.bounds()
    before = read_bytes(target.path, inside=inside)
    set_it = current().remedy("profile", "set", "ALIAS", "FIELD=VALUE")
    if not (current().interactive and sys.stdout.isatty()):
        raise UsageError(
            "an editor needs a terminal, and there is none",
            hint=f"change a field with {set_it}, or the file itself",
            location=Location(target.path),
        )
    env = current().env
    command = env.get("VISUAL") or env.get("EDITOR") or ("notepad" if sys.platform == "win32" else "vi")
    words = command_words(command, "VISUAL or EDITOR is not a command", "set EDITOR to a program, such as nano")
    if sys.platform == "win32":  # which would start one of that name in the current directory
        from ...secrets.command import find_program

        if (program := find_program(words[0], env)) is None:
            raise UsageError(f"the editor {words[0]!r} was not found", hint="set EDITOR")
        words[0] = program
    copy = _Copy(before or b"")
    result: EditResult | None = None
    try:
        while result is None:
            _run_editor(words, copy.path)
            after = read_bytes(copy.path)
            if after is None or after == (before or b"") or not after.strip():
                if after is not None and after != (before or b""):
                    note("the text was emptied, which cancels")
                answer({"file": target.path, "changed": False}, "nothing was changed")
                return
            try:
                check_text(after, target)
                confirm_protected_text(before, after, target)
                result = replace_file(target.path, after, expect=digest(before), inside=inside)
                copy.is_stored = True
            except MilvusProfilesError as error:
                if not current().interactive:
                    raise
                print_error(error)
                if not agreed("Edit again? (no keeps your text aside and changes nothing)", default=True):
                    raise DeclinedError("nothing was changed") from None
    finally:
        copy.close()
    finish(target, result)
    with suppress(MilvusProfilesError):  # the text before may have been broken
        texts = (before or b"", result.after)
        note_left_behind(*(load_text(text, target.path, target.role, env=env) for text in texts))
    answer({"file": target.path, "changed": True}, f"changed {target}")


class _Copy:
    """What the editor works on: in a directory of its own, so that what editors leave beside it is as private.

    However the command ends, a text that was typed and is not stored is kept.

    Attributes:
        path: the file.
        is_stored: whether the text is where it belongs.
    """

    def __init__(self, content: bytes) -> None:
        from ...config.atomic import write_atomic

        self.is_stored = False
        self._content = content
        try:
            self._directory = tempfile.mkdtemp(prefix="milvus-")
        except OSError as error:
            raise ConfigError(
                f"there is no directory for the editor's copy: {error.strerror}",
                hint="set TMPDIR to a directory that can be written",
            ) from None
        self.path = os.path.join(self._directory, FILE_NAME)
        try:
            write_atomic(self.path, content)
        except BaseException:
            self.is_stored = True
            self.close()
            raise

    def close(self) -> None:
        """Remove it, unless it holds a text that stands nowhere else."""
        from ...config.atomic import read_bytes

        try:
            typed = read_bytes(self.path)
        except MilvusProfilesError:
            typed = b""  # whatever it is, it is not what was there
        if self.is_stored or typed is None or typed == self._content or not typed.strip():
            shutil.rmtree(self._directory, ignore_errors=True)
        else:
            warn(f"your text is kept in {self.path}")


def _run_editor(words: list[str], path: str) -> None:
    try:
        # One that is killed leaves the terminal as it was using it; a stop is its own affair.
        with restored(always=True):
            status = subprocess.run([*words, path], check=False).returncode
    except OSError as error:
        raise UsageError(f"the editor {words[0]!r} cannot be run: {error.strerror}", hint="set EDITOR") from None
    if status != 0:
        raise DeclinedError(f"the editor ended with status {status}; nothing was changed")
