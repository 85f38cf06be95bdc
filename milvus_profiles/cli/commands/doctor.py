"""``doctor``: what is wrong with this installation, its files and its surroundings, without asking any server."""

from __future__ import annotations

import datetime as dt

import typer

from .. import keyring_access
from ..output import emit_json, say, table
from ..session import current

__all__ = ["doctor"]

_FAILED = 3
_MARKS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped", "warning": "warning"}


def doctor() -> None:
    """Examine this installation: libraries, files, keyring, variables; no server is asked."""
    from ...config.locations import current_directory
    from ...doctor import examine
    from ...doctor.finding import DoctorContext

    session = current()
    context = DoctorContext(
        env=session.env,
        cwd=current_directory(),
        load=session.profiles,
        keyring=keyring_access.keyring,
        now=lambda: dt.datetime.now(dt.timezone.utc),
        standing=session.standing,
    )
    findings = list(examine(context))
    failed = sum(finding.status == "failed" for finding in findings)
    warned = sum(finding.status == "warning" for finding in findings)
    if session.json:
        emit_json({"ok": not failed, "findings": [finding.as_json() for finding in findings]})
    else:
        rows = [
            [_MARKS[finding.status], finding.name, finding.detail + (f"\nhint: {finding.hint}" if finding.hint else "")]
            for finding in findings
            if finding.status != "skipped" or session.verbose
        ]
        table(["", "WHAT", "FOUND"], rows)
        if failed:
            say(f"{failed} failed, {warned} to look at", color="red")
        else:
            say(f"nothing failed, {warned} to look at", color="yellow" if warned else "green")
    if failed:
        raise typer.Exit(_FAILED)
