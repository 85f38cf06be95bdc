"""``config path | validate | schema``: the files themselves."""

from __future__ import annotations

import os
from typing import Any

from ...config.documents import read_document
from ...config.invalid import FINDINGS, Findings
from ...config.locations import (
    current_directory,
    find_project_file,
    home_fault,
    named,
    named_file,
    user_file,
    user_file_fault,
)
from ...config.permissions import refusal
from ...config.trust import TrustStore
from ...errors import ConfigError, MilvusProfilesError
from ..file_warnings import warn_about_files, warn_of_literals, warn_of_unread
from ..output import answer, counted, emit_json, error_record, print_error, say, shorten, table, warn
from ..session import current

__all__ = ["path", "schema", "validate"]


def path() -> None:
    """Show which files are read, strongest first, and where new profiles go."""
    rows = _files()
    if current().json:
        emit_json(rows)
        return
    table(
        ["", "FILE", "PATH", "STATE"],
        [
            [
                "*" if row["target"] else "",
                row["role"],
                shorten(row["path"]),
                ("exists" if row["exists"] else "missing") + ("" if row["trusted"] else ", not trusted"),
            ]
            for row in rows
        ],
    )
    say("* `profile add` writes here")


def _files() -> list[dict[str, Any]]:
    session = current()
    file = named(session.config, session.env)
    cwd = current_directory()
    if file:
        found = [("named", named_file(file, session.env, cwd))]
    else:
        project, unread = find_project_file(cwd, session.env)
        found = [("project", project)] if project else []
        own, fault = user_file(session.env), user_file_fault(session.env)
        if own is not None and fault is None:
            found.append(("user", own))
        warn_of_unread([*unread, *([fault] if fault else [])])
        if own is None and (missing := home_fault(session.env)) is not None:
            warn(f"there is no place for a file of your own: {missing[0]}; {missing[1]}")
    store = TrustStore.load(session.env)
    rows = []
    for index, (role, file) in enumerate(found):
        exists = os.path.lexists(file)
        trusted = True
        if role == "project":
            try:
                trusted = store.trusts(read_document(file, "project"))
            except ConfigError:
                trusted = False
        rows.append({"role": role, "path": file, "exists": exists, "trusted": trusted, "target": index == 0})
    return rows


def validate() -> None:
    """Check every profile of every file in force, and every variable."""
    profiles = current().profiles()
    findings: list[MilvusProfilesError] = []
    more, left = 0, len(profiles)
    for _, _, result in profiles.examined():
        left -= 1
        if isinstance(result, Findings):
            errors = result.errors(FINDINGS - len(findings))
            findings += errors
            more += result.number - len(errors)
    refused = {document.path: error for document in profiles.documents if (error := refusal(document)) is not None}
    findings += refused.values()
    warn_about_files(profiles, [document for document in profiles.documents if document.path not in refused])
    warn_of_literals(profiles.documents)
    try:
        profiles.select()
    except MilvusProfilesError as error:
        if any("default_profile" in document.root for document in profiles.documents):
            findings.append(error)
    if not findings:
        files = [document.path for document in profiles.documents]
        answer(
            {"valid": True, "profiles": len(profiles), "files": files},
            f"{counted(len(profiles), 'profile')}: all valid",
        )
        return
    if more or left:
        rest = [counted(more, "more finding")] if more else []
        rest += [f"{counted(left, 'more profile')} not looked at"] if left else []
        findings.append(ConfigError(", ".join(rest), hint="correct those above first"))
    if not current().json:
        for finding in findings[:-1]:
            print_error(finding)
        raise findings[-1]
    raise _Findings(findings)


def schema() -> None:
    """Print the JSON Schema of a milvus.toml, for editors."""
    from ...config.schema import file_schema

    emit_json(file_schema())


class _Findings(ConfigError):
    """Several findings as the one error of a JSON run."""

    def __init__(self, findings: list[MilvusProfilesError]) -> None:
        first = findings[0]
        super().__init__(first.message, hint=first.hint, location=first.location)
        self.details = {"errors": [error_record(finding) for finding in findings]}
