"""The files that a test's outcome is written to: JUnit XML, which build servers read, and a page for a browser.

A place for each is seen to before anything is tested.  Of JUnit's format there is no standard but what its Ant task
wrote and Jenkins reads: a suite for each profile, a case for each stage.  The page holds all that it needs, runs no
script and asks nobody for anything; its own policy forbids both, should a text ever come through as more than text.
It is ASCII, whatever is in it.
"""

from __future__ import annotations

import datetime as dt
import html
import os
import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import TYPE_CHECKING

from ..config.atomic import check_writable, read_bytes, write_atomic
from ..config.locations import current_directory
from ..errors import MilvusProfilesError, UsageError
from ..files.paths import absolute_path
from ..text import printable
from .asking import confirm
from .output import shorten, warn
from .session import current
from .target import bounds_here

if TYPE_CHECKING:
    from ..diagnosis.report import Report, Stage


# What each option writes, and how what this program has written begins.
_KINDS = {
    "--junit": ("JUnit report", re.compile(rb"\s*(<\?xml[^>]*>)?\s*<testsuites name=\"milvus-profiles\"")),
    "--html": ("page", re.compile(rb"\s*<!doctype html>\s*<html lang=\"en\" data-by=\"milvus-profiles\">")),
}


def check_report(option: str, path: str, force: bool) -> str | None:
    """See that a report can be written, before anything takes its time, and whether it may be.

    An earlier report, and an empty file, may be replaced; for anything else somebody is asked, unless it is forced.
    What it returns, no link in the path may lead out of.
    """
    try:
        absolute_path(path, base=current_directory())  # refuses what can be no path
        inside = bounds_here()
        there = os.path.realpath(path)
        if any(os.path.realpath(document.path) == there for document in current().profiles().documents):
            # Nobody means the files that are read, whatever is forced.
            hint = f"name another file: {option} FILE"
            raise UsageError(f"{path} holds profiles, and no report takes its place", hint=hint)
        check_writable(path, inside=inside)
        content = None if force else read_bytes(path, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(option, path, error) from None
    if not content or _KINDS[option][1].match(content):
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


def write_report(
    option: str, path: str, inside: str | None, reports: Sequence[Report], descriptions: Mapping[str, str | None]
) -> None:
    """Write a report, in place of what is there; ``inside`` is what :func:`check_report` gave."""
    content = _junit(reports) if option == "--junit" else page(reports, descriptions).encode("ascii")
    try:
        # As readable as the process's umask lets files be: a build server publishes it.
        told = write_atomic(path, content, new_mode=0o644, inside=inside)
    except MilvusProfilesError as error:
        raise _unwritable(option, path, error) from None
    if told is not None:
        warn(told)


def _unwritable(option: str, path: str, error: MilvusProfilesError) -> UsageError:
    return UsageError(
        f"the {_KINDS[option][0]} {path} cannot be written: {error.message.removeprefix('cannot be written: ')}",
        hint=f"name a file in a directory that exists and is yours: {option} FILE",
    )


def _junit(reports: Sequence[Report]) -> bytes:
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


_PAGE = Template("""\
<!doctype html>
<html lang="en" data-by="milvus-profiles">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { --page: #fff; --text: #1b1f24; --quiet: #59636e; --line: #d5dae0; --track: #eef1f4;
  --ok: #1a7f37; --failed: #cf222e; --warning: #9a6700; --skipped: #8c959f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0d1117; --text: #e6edf3; --quiet: #9198a1; --line: #30363d; --track: #1c222b;
    --ok: #3fb950; --failed: #f85149; --warning: #d29922; --skipped: #6e7681; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 0; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p { margin: .25rem 0; }
.quiet, time { color: var(--quiet); }
section { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin-top: 1.25rem; }
ol, ul { list-style: none; margin: .75rem 0 0; padding: 0; }
li { padding: .35rem 0; border-top: 1px solid var(--line); }
.row { display: grid; grid-template-columns: 7rem minmax(0, 1fr) 6rem; gap: .75rem; align-items: center; }
.ms { text-align: right; font-variant-numeric: tabular-nums; }
.track { display: block; height: .8rem; background: var(--track); border-radius: .2rem; overflow: hidden; }
.bar { display: block; height: 100%; min-width: 2px; }
.detail { font-size: .92rem; margin-left: 7.75rem; }
.ok { color: var(--ok); } .failed { color: var(--failed); } .warning { color: var(--warning); }
.skipped { color: var(--skipped); }
.bar { background: currentColor; }
code { font: .85rem/1.4 ui-monospace, monospace; }
@media (max-width: 40rem) {
  .row { grid-template-columns: 5.5rem minmax(0, 1fr) 5rem; gap: .5rem; } .detail { margin-left: 0; } }
</style>
</head>
<body>
<main>
<h1>$title</h1>
<p><time datetime="$at">$shown_at</time></p>
$sections
</main>
</body>
</html>
""")
_SECTION = Template("""\
<section aria-label="$alias">
<h2>$alias <span class="$status">$verdict</span></h2>
$description
<ol>
$stages
</ol>
$certificates
</section>""")
_STAGE = Template("""\
<li>
<div class="row"><span>$name <span class="$status">$word</span></span>\
<span class="track"><span class="bar $status" style="margin-left:$left%;width:$width%"></span></span>\
<span class="ms">$ms</span></div>
$lines
</li>""")


def page(reports: Sequence[Report], descriptions: Mapping[str, str | None]) -> str:
    """The page of some tests, in ASCII; descriptions as they may be shown, by alias."""
    good = sum(report.ok for report in reports)
    now = dt.datetime.now(dt.timezone.utc)
    made = _PAGE.substitute(
        title=f"Milvus profiles: {good} of {len(reports)} good",
        at=now.isoformat(timespec="seconds"),
        shown_at=f"{now:%Y-%m-%d %H:%M:%S} UTC",
        sections="\n".join(_section(report, descriptions.get(report.alias)) for report in reports),
    )
    return made.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _line(text: str, kind: str) -> str:
    return f'<p class="{kind}">{_escaped(text)}</p>'


def _section(report: Report, description: str | None) -> str:
    failed = report.failure
    if failed is not None:
        status, verdict = "failed", f"failed at {failed.name} (exit status {report.exit_code})"
    else:
        status, verdict = ("warning" if report.warnings else "ok"), f"ok, {report.server}"
    whole = sum(stage.ms for stage in report.stages) or 1.0
    stages, before = [], 0.0
    for stage in report.stages:
        stages.append(_stage(stage, before / whole, stage.ms / whole))
        before += stage.ms
    return _SECTION.substitute(
        alias=_escaped(report.alias),
        status=status,
        verdict=_escaped(verdict),
        description=_line(description, "quiet") if description else "",
        stages="\n".join(stages),
        certificates=_certificates(report),
    )


def _stage(stage: Stage, left: float, width: float) -> str:
    lines = [_line(stage.detail, "detail")] if stage.detail else []
    if stage.hint:
        lines.append(_line(f"hint: {stage.hint}", f"detail {stage.status}"))
    return _STAGE.substitute(
        name=stage.name,
        status=stage.status,
        word="" if stage.status == "ok" else stage.status,
        left=f"{min(left, 1.0) * 100:.2f}",
        width=f"{width * 100:.2f}",
        ms="" if stage.status == "skipped" else f"{stage.ms:.1f} ms",
        lines="\n".join(lines),
    )


def _certificates(report: Report) -> str:
    """What the stage of TLS tells experts: a line for each certificate of the chain."""
    notes = [note for stage in report.stages if stage.name == "tls" for note in stage.notes]
    if not notes:
        return ""
    lines = "\n".join(f"<li><code>{_escaped(note)}</code></li>" for note in notes)
    return f"<h3>TLS</h3>\n<ul>\n{lines}\n</ul>"
