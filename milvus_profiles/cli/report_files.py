"""The files that a test's outcome is written to: a place for each is seen to before anything is tested."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..config.locations import current_directory
from ..errors import MilvusProfilesError, UsageError
from ..files.paths import absolute_path
from . import junit, report_page
from .asking import confirm
from .output import shorten, warn
from .session import current
from .target import bounds_here

if TYPE_CHECKING:
    from ..diagnosis.report import Report

__all__ = ["check_report", "write_report"]


class _Kind(NamedTuple):
    name: str
    mark: re.Pattern[bytes]


_KINDS = {
    "--junit": _Kind("JUnit report", junit.MARK),
    "--html": _Kind("page", report_page.MARK),
}


def check_report(option: str, path: str, force: bool) -> str | None:
    """See that a report can be written, before anything takes its time, and whether it may be.

    An earlier report, and an empty file, may be replaced; for anything else somebody is asked, unless it is forced.

    Args:
        option: that names the file, and with it the kind of report.
        path: as it was given.
        force: replace whatever is there.

    Returns:
        The directory that a link in the path may not lead out of, for :func:`write_report`.

    Raises:
        UsageError: it cannot be written, or something else stands there and nobody can be asked.
        DeclinedError: something else stands there, and is to stay.
    """
    from ..config.atomic import check_writable, read_bytes

    try:
        absolute_path(path, base=current_directory())  # refuses what can be no path
        inside = bounds_here()
        _refuse_profiles(option, path)
        check_writable(path, inside=inside)
        content = None if force else read_bytes(path, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(option, path, error) from None
    if not content or _KINDS[option].mark.match(content):
        return inside
    confirm(
        f"{shorten(path)} is no report of this program. Replace it?",
        alone=UsageError(
            f"{path} is there already, and is no report of this program",
            hint="name another file, or replace it with --force",
        ),
        declined=f"{path} was left as it is, and nothing was tested",
    )
    return inside


def _refuse_profiles(option: str, path: str) -> None:
    """Nobody means the files that are read, whatever is forced."""
    there = os.path.realpath(path)
    if any(os.path.realpath(document.path) == there for document in current().profiles().documents):
        raise UsageError(
            f"{path} holds profiles, and no report takes its place", hint=f"name another file: {option} FILE"
        )


def write_report(
    option: str, path: str, inside: str | None, reports: Sequence[Report], descriptions: Mapping[str, str | None]
) -> None:
    """Write a report, in place of what is there; UsageError where it cannot be written.

    Args:
        option, path: as for :func:`check_report`.
        inside: what that gave.
        reports: the tests.
        descriptions: alias to the profile's description.
    """
    from ..config.atomic import write_atomic

    if option == "--junit":
        content = junit.document(reports)
    else:
        content = report_page.page(reports, descriptions).encode("ascii")
    try:
        # As readable as the process's umask lets files be: a build server publishes it.
        told = write_atomic(path, content, new_mode=0o644, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(option, path, error) from None
    if told is not None:
        warn(told)


def _unwritable(option: str, path: str, error: MilvusProfilesError) -> UsageError:
    return UsageError(
        f"the {_KINDS[option].name} {path} cannot be written: {error.message.removeprefix('cannot be written: ')}",
        hint=f"name a file in a directory that exists and is yours: {option} FILE",
    )
