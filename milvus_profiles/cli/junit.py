"""Reports as JUnit XML, which the pipelines of all build servers read.

There is no standard but what JUnit's Ant task wrote and Jenkins reads: a suite for each profile, a case for each stage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..config.locations import current_directory
from ..errors import MilvusProfilesError, UsageError
from ..files.paths import absolute_path
from ..text import printable
from .asking import confirm
from .output import shorten, warn
from .target import bounds_here

if TYPE_CHECKING:
    from ..diagnosis.report import Report, Stage

__all__ = ["check_report", "write_report"]


_MARK = re.compile(rb"\s*(<\?xml[^>]*>)?\s*<testsuites name=\"milvus-profiles\"")


def check_report(path: str, force: bool) -> str | None:
    """See that the report can be written, before anything takes its time, and whether it may be.

    An earlier report, and an empty file, may be replaced; for anything else somebody is asked, unless it is forced.

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
        check_writable(path, inside=inside)
        content = None if force else read_bytes(path, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(path, error) from None
    if not content or _MARK.match(content):
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


def write_report(path: str, inside: str | None, reports: Sequence[Report]) -> None:
    """Write the report, in place of what is there; UsageError where it cannot be written."""
    from ..config.atomic import write_atomic

    try:
        # As readable as the process's umask lets files be: a build server publishes it.
        told = write_atomic(path, _document(reports), new_mode=0o644, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(path, error) from None
    if told is not None:
        warn(told)


def _unwritable(path: str, error: MilvusProfilesError) -> UsageError:
    return UsageError(
        f"the JUnit report {path} cannot be written: {error.message}",
        hint="name a file in a directory that exists and is yours: --junit FILE",
    )


def _document(reports: Sequence[Report]) -> bytes:
    from xml.etree import ElementTree

    cases = [stage for report in reports for stage in report.stages]
    root = ElementTree.Element("testsuites", {"name": "milvus-profiles", **_counts(cases)})
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", {"name": report.alias, **_counts(report.stages)})
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("exit_code", str(report.exit_code)), ("server_version", report.server_version or "")):
            ElementTree.SubElement(properties, "property", {"name": name, "value": printable(value)})
        for stage in report.stages:
            named = {"classname": f"milvus-profiles.{report.alias}", "name": stage.name, "time": _seconds(stage.ms)}
            case = ElementTree.SubElement(suite, "testcase", named)
            # Escaped as for a terminal: XML knows no way to write a control character.
            detail, hint = printable(stage.detail), printable(stage.hint or "")
            if stage.status == "failed":
                failure = ElementTree.SubElement(case, "failure", {"type": stage.code or "", "message": detail})
                failure.text = hint
            elif stage.status == "skipped":
                ElementTree.SubElement(case, "skipped", {"message": detail} if detail else {})
            else:
                said = [f"warning: {detail}" if stage.status == "warning" else detail, hint and f"hint: {hint}"]
                ElementTree.SubElement(case, "system-out").text = "\n".join(line for line in said if line)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(stages: Sequence[Stage]) -> dict[str, str]:
    return {
        "tests": str(len(stages)),
        "failures": str(sum(stage.status == "failed" for stage in stages)),
        "errors": "0",
        "skipped": str(sum(stage.status == "skipped" for stage in stages)),
        "time": _seconds(sum(stage.ms for stage in stages)),
    }


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.3f}"
