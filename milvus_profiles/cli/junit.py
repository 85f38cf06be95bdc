"""Reports as JUnit XML, which the pipelines of all build servers read.

There is no standard but what JUnit's Ant task wrote and Jenkins reads: a suite for each profile, a case for each stage.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from .output import escape

if TYPE_CHECKING:
    from ..diagnosis.report import Report, Stage

__all__ = ["check_writable", "write_junit"]


def check_writable(path: str) -> None:
    """See that the report can be written, before anything takes its time.

    Raises:
        UsageError: it cannot.
    """
    existed = os.path.lexists(path)
    try:
        with open(path, "ab"):
            pass
        if not existed:
            os.unlink(path)
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def write_junit(path: str, reports: Sequence[Report]) -> None:
    """Write the report, in place of what is there.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        with open(path, "wb") as file:
            file.write(_document(reports))
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: OSError | ValueError) -> UsageError:
    reason = error.strerror if isinstance(error, OSError) else "it is not the name of a file"
    return UsageError(
        f"the JUnit report {path} cannot be written: {reason}",
        hint="name a file in a directory that exists: --junit FILE",
    )


def _document(reports: Sequence[Report]) -> bytes:
    from xml.etree import ElementTree

    cases = [stage for report in reports for stage in report.stages]
    root = ElementTree.Element("testsuites", {"name": "milvus-profiles", **_counts(cases)})
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", {"name": report.alias, **_counts(report.stages)})
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in (("exit_code", str(report.exit_code)), ("server_version", report.server_version or "")):
            ElementTree.SubElement(properties, "property", {"name": name, "value": escape(value)})
        for stage in report.stages:
            named = {"classname": f"milvus-profiles.{report.alias}", "name": stage.name, "time": _seconds(stage.ms)}
            case = ElementTree.SubElement(suite, "testcase", named)
            # Escaped as for a terminal: XML knows no way to write a control character.
            detail, hint = escape(stage.detail), escape(stage.hint or "")
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
