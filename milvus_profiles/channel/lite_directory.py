"""The directory of a Milvus Lite, looked at right before it is opened: nothing in it may lead out of it.

Milvus Lite follows links, creates what is missing, empties some directories and deletes what it takes for left over; a
link in the directory turns that against other files of the user's.  So a directory with a symbolic link, a device, a
FIFO, a socket or a file of several names anywhere in it is never opened, whoever names it.  It is read through
descriptors, each directory entered from the one above, so that what is judged is what is there.

What remains: Milvus Lite opens it by its path, after the look.  Whoever can put something there in between, or later
while it runs, has this user's rights already, or was given write permission to the directory.
"""

from __future__ import annotations

import os
import stat

from ..config.databases import check_origin, enclosing, seal
from ..endpoint import Untrusted
from ..errors import ConfigError
from ..files.held_directory import HeldDirectory, is_link
from ..log import tell
from ..text import printable

ENTRIES = 500_000
"""How many files and directories a database may have: to look at them all takes a few seconds."""

DEPTH = 32
"""How many directories may stand in one another; Milvus Lite's own are ten at most."""


def make_ready(path: str, untrusted: Untrusted | None) -> str:
    """Make the directory of a database if it is missing, and see that it may be opened; return its path without links.

    Raises:
        UntrustedError: an untrusted project file names it, and it is not one that this user had made.
        ConfigError: something in it leads out of it, or there is too much in it to look at.
        OSError: it cannot be made or read.
    """
    with enclosing(path, untrusted) as (parent, name):
        if untrusted is not None:
            check_origin(parent, name, untrusted, index=True)
        try:
            held = parent.enter(name)
        except FileNotFoundError:
            parent.make(name)
            held = parent.enter(name)
        with held:
            if held.is_empty:
                _remember(held, untrusted)
            else:
                check_contents(held)
            return held.path


def check_shared(path: str, untrusted: Untrusted | None) -> None:
    """See that one more may use a database that runs already: errors are those of :func:`make_ready`."""
    if untrusted is not None:
        with enclosing(path, untrusted) as (parent, name):
            check_origin(parent, name, untrusted, index=False)


def _remember(held: HeldDirectory, untrusted: Untrusted | None) -> None:
    reason = seal(held, os.environ if untrusted is None else untrusted.env)
    if reason is not None and untrusted is not None:
        tell("forgotten", path=held.path, reason=reason, remedy=untrusted.remedy)


def check_contents(held: HeldDirectory, *, entries: int = ENTRIES, depth: int = DEPTH) -> None:
    """See that nothing in a directory leads out of it; ConfigError where something does, or there is too much in it."""
    _look(held, held.path, entries, depth)


def _look(held: HeldDirectory, top: str, left: int, depth: int) -> int:
    """Look at a directory and all below; how many entries may still come."""
    with held.names() as names:
        for name in names:
            left -= 1
            if left < 0 or depth < 0:
                raise ConfigError(
                    f"the Milvus Lite database {printable(top)} is not opened: there is too much in it to look at",
                    hint="is this the right directory?",
                )
            try:
                status = held.status(name)
                inner = held.enter(name) if stat.S_ISDIR(status.st_mode) and not is_link(status) else None
            except FileNotFoundError:
                continue  # whoever has it open takes files away
            if inner is not None:
                with inner:
                    left = _look(inner, top, left, depth - 1)
            elif (fault := _fault(status)) is not None:
                kind, hint = fault
                place = printable(os.path.relpath(os.path.join(held.path, name), top))
                raise ConfigError(
                    f"the Milvus Lite database {printable(top)} is not opened: {place} in it is {kind}", hint=hint
                )
    return left


def _fault(status: os.stat_result) -> tuple[str, str] | None:
    """What is wrong with a file in a database, and what to do; None if nothing is."""
    if is_link(status):
        return "a symbolic link", "what it leads to could be written to or deleted: remove the link"
    if not stat.S_ISREG(status.st_mode):
        return "a device, a FIFO or a socket", "Milvus Lite keeps only files there: remove it"
    if status.st_nlink > 1:
        return (
            "a file that has other names elsewhere (hard links)",
            "what changes here would change there: give the database files of its own by a copy (cp -R)",
        )
    return None
