"""``config path | validate | schema``: the files themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from typer import Argument

from ...config.documents import Role, read_document, refusal
from ...config.invalid import FINDINGS, Findings
from ...config.loading import load_alone
from ...config.locations import current_directory, find_project_file, named, named_file, user_file, user_file_fault
from ...config.places import real_path
from ...config.trust import TrustStore
from ...errors import ConfigError, MilvusProfilesError, UsageError
from ...files.paths import home_fault
from ...files.regular_file import is_given
from ...masked import as_given
from ...names import suggest
from ...text import counted
from ..options import begun
from ..output import (
    answer,
    emit_json,
    error_record,
    print_error,
    say,
    shorten,
    table,
    warn,
    warn_about_files,
    warn_of_literals,
    warn_of_unread,
)
from ..session import current

if TYPE_CHECKING:
    from ...config.profiles import Profiles


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
    if any(row["target"] for row in rows):
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
        target = index == 0 and not is_given(file)
        rows.append({"role": role, "path": file, "exists": exists, "trusted": trusted, "target": target})
    return rows


def validate(
    files: list[str] | None = Argument(
        None, metavar="[FILE]...", help="These files alone; default: what is in force here."
    ),
) -> None:
    """Check every profile of every file in force, and every variable; or of some files alone, as pre-commit asks."""
    findings: list[MilvusProfilesError] = []
    checked: list[Profiles] = []
    more = left = 0
    for load in _loaders(files or []):
        try:
            profiles = load()
        except ConfigError as error:
            if not files:
                raise
            findings.append(error)
            continue
        checked.append(profiles)
        further, unseen = _examine(profiles, findings)
        more, left = more + further, left + unseen
    if not findings:
        number = sum(map(len, checked))
        paths = [document.path for profiles in checked for document in profiles.documents]
        answer({"valid": True, "profiles": number, "files": paths}, f"{counted(number, 'profile')}: all valid")
        return
    if more or left:
        rest = [counted(more, "more finding")] if more else []
        rest += [f"{counted(left, 'more profile')} not looked at"] if left else []
        findings.append(ConfigError(", ".join(rest), hint="correct those above first"))
    if not current().json:
        for finding in findings[:-1]:
            print_error(finding, explained=False)
        raise findings[-1]
    raise _Findings(findings)


def _loaders(files: list[str]) -> list[Callable[[], Profiles]]:
    """What reads the profiles to be checked: those in force, or those of each file alone."""
    session = current()
    if not files:
        return [session.profiles]
    if session.config:
        raise UsageError("--config and files are both given", hint="give one of them")
    cwd, own = current_directory(), user_file(session.env)

    def loader(file: str) -> Callable[[], Profiles]:
        path = named_file(file, session.env, cwd)
        # As a project's: what comes with a repository opens no files of its choice before somebody trusts it.
        role: Role = "named" if is_given(path) else "project"
        if own is not None and real_path(path) == real_path(own):
            role = "user"
        return lambda: load_alone(path, role, cwd, env=session.env)

    return [loader(file) for file in dict.fromkeys(files)]


def _examine(profiles: Profiles, findings: list[MilvusProfilesError]) -> tuple[int, int]:
    """Add what is wrong to the findings, up to a limit; how many more there are, and profiles not looked at."""
    more, left = 0, len(profiles)
    for _, _, result in profiles.examined():
        left -= 1
        if isinstance(result, Findings):
            errors = result.errors(max(0, FINDINGS - len(findings)))
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
    return more, left


def _schemas(incomplete: str) -> list[str]:
    from ..output_schemas import SCHEMAS

    return begun(("file", *SCHEMAS))(incomplete)


def schema(
    what: str = Argument(
        "file",
        metavar="[WHAT]",
        help="A command, with - between its words, for what it prints with --json; error, for what each prints "
        "where it fails; default: file, for a milvus.toml.",
        show_default=False,
        autocompletion=_schemas,
    ),
) -> None:
    """Print the JSON Schema of a milvus.toml, for editors, or of what a command prints with --json."""
    from ...config.schema import file_schema
    from ..output_schemas import SCHEMAS, output_schema

    if what == "file":
        emit_json(file_schema())
    elif (name := what.replace(" ", "-")) in SCHEMAS:
        emit_json(output_schema(name))
    else:
        near = suggest(what, ("file", *SCHEMAS))
        raise UsageError(
            f"there is no schema of {as_given(what)!r}",
            hint=f"did you mean {near}?" if near else f"there are: file, {', '.join(SCHEMAS)}",
        )


class _Findings(ConfigError):
    """Several findings as the one error of a JSON run."""

    def __init__(self, findings: list[MilvusProfilesError]) -> None:
        first = findings[0]
        super().__init__(first.message, hint=first.hint, location=first.location)
        self.details = {"errors": [error_record(finding) for finding in findings]}
