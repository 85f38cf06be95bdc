"""Reports as one page for a browser: stages as bars over time, certificates, hints.

The page holds all that it needs, runs no script and asks nobody for anything; its own policy forbids both, should a
text ever come through as more than text.  It is ASCII, whatever is in it.
"""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import TYPE_CHECKING

from ..text import printable

if TYPE_CHECKING:
    from ..diagnosis.report import Report, Stage

__all__ = ["MARK", "page"]

MARK = re.compile(rb"\s*<!doctype html>\s*<html lang=\"en\" data-by=\"milvus-profiles\">")
"""How a page of ours begins."""

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
    """The page of some tests, in ASCII.

    Args:
        reports: the tests.
        descriptions: alias to the profile's description, as it may be shown.
    """
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
