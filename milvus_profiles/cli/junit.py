"""Reports as JUnit XML, which the pipelines of all build servers read.

There is no standard but what JUnit's Ant task wrote and Jenkins reads: a suite for each profile, a case for each stage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..text import printable

if TYPE_CHECKING:
    from ..diagnosis.report import Report, Stage

__all__ = ["MARK", "document"]

MARK = re.compile(rb"\s*(<\?xml[^>]*>)?\s*<testsuites name=\"milvus-profiles\"")
"""How a report of ours begins."""


def document(reports: Sequence[Report]) -> bytes:
    """The reports, as a file has them."""
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
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


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
