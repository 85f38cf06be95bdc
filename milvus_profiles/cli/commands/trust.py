"""``trust`` and ``untrust``: a person says that a project file may do what is gated otherwise."""

from __future__ import annotations

import os
import stat
import sys
from typing import Annotated, Any

from typer import Argument, Option

from ...config.databases import brought_databases
from ...config.documents import read_document
from ...config.locations import current_directory, find_project_file, named, named_file
from ...config.trust import TrustStore
from ...errors import ConfigError, Location, MilvusProfilesError, UsageError
from ...text import milvus_profiles
from ..output import answer, emit_json, note, say, shorten, table, warn, whole
from ..session import current

FileArgument = Annotated[
    str | None, Argument(metavar="[FILE]", help="The file; default: that of --config, else the project's.")
]


def trust(
    file: FileArgument = None,
    show: bool = Option(False, "--list", help="Show what is trusted, and change nothing."),
) -> None:
    """Let a project file use secrets, programs, certificates and proxies.

    It is pinned by path and content: any change but this program's own needs trust again, unless it goes back to a
    content that was trusted before.
    """
    if show:
        if file is not None:
            raise UsageError("--list shows all files", hint="leave FILE out")
        _list()
        return
    session = current()
    path = _path(file)
    document = read_document(path, "project")
    store = TrustStore.load(session.env)
    changes = store.changes(document)
    known = store.trusts(document)
    databases = brought_databases(document, session.env)
    _warn_of_neighbours(document.path)
    if not known or changes:  # those since it was trusted last
        store.pin(document)
    mark = "=" if known else "+"
    answer(
        {"file": document.path, "trusted": True, "changed": changes, "databases": databases},
        *(_line(name, before, after) for name, (before, after) in changes.items()),
        *(
            f"  {mark} {alias} brings the database {shorten(place)}, which was not made from here"
            for alias, place in databases.items()
        ),
        f"{'already trusted' if known else 'trusted'}: {shorten(document.path)}",
    )
    if databases and not session.json:
        warn(
            "Milvus Lite acts on what stands in a database: functions of its collections may send texts, and an API "
            "key of the environment, to addresses that it names; later changes of it need no trust again"
        )
    if not known:
        note(
            f"a change by anything but milvus-profiles needs {milvus_profiles('trust')} again, "
            "unless it takes back another"
        )


def untrust(
    file: FileArgument = None,
    everything: bool = Option(False, "--all", help="Trust none of all files any longer."),
) -> None:
    """Trust a project file no longer, in none of the contents that were trusted."""
    store = TrustStore.load(current().env)
    if everything:
        if file is not None:
            raise UsageError("FILE and --all are both given", hint="give one of them")
        files = sorted(store.files)
        store.unpin_all()
        answer(
            [{"file": path, "trusted": False} for path in files],
            *(f"not trusted: {shorten(path)}" for path in files),
            *([] if files else ["no file was trusted"]),
        )
        return
    path = _path(file)
    store.unpin(path)
    answer({"file": path, "trusted": False}, f"not trusted: {shorten(path)}")


def _list() -> None:
    store = TrustStore.load(current().env)
    if store.fault is not None:
        raise ConfigError(
            f"the list of trusted files {store.fault[0]}", hint=store.fault[1], location=Location(store.path or "")
        )
    rows: list[dict[str, Any]] = []
    for path in sorted(store.files):
        contents = store.contents(path)
        rows.append({"file": path, "now": _now(path, contents), "contents": len(contents)})
    if current().json:
        emit_json(rows)
    elif rows:
        table(("FILE", "NOW", "CONTENTS"), [(shorten(row["file"]), row["now"], str(row["contents"])) for row in rows])
    else:
        say("no file is trusted")


def _now(path: str, contents: list[str]) -> str:
    """What trust means for a file as it stands now."""
    if not os.path.lexists(path):
        return "missing"
    try:
        return "trusted" if read_document(path, "project").sha256 in contents else "changed"
    except MilvusProfilesError:
        return "changed"  # into something that cannot be read


def _path(file: str | None) -> str:
    session, cwd = current(), current_directory()
    if (file := session.config if file is None else file) is not None:
        return named_file(file, session.env, cwd)
    if other := named(None, session.env):
        # No project file is in force, and nobody meant this one by a command that does not name it.
        raise UsageError(
            "MILVUS_PROFILES_FILE names the file that is read, and what is named needs no trust",
            hint=f"name the file that is to be trusted where it is found: {milvus_profiles('trust', other)}",
        )
    found, unread = find_project_file(cwd, session.env)
    if found is None and unread:
        raise ConfigError(f"the file {unread[0].reason}", hint=unread[0].hint, location=Location(unread[0].path))
    if found is None:
        raise ConfigError(
            "there is no project file here",
            hint=f"name one: {milvus_profiles('trust', 'FILE')}",
            location=Location(cwd),
        )
    return found


def _warn_of_neighbours(path: str) -> None:
    """Say that what the file refers to is not pinned, where others may put something there.

    A warning and no refusal: the text itself is pinned, so that nobody can change it under its name.
    """
    directory = os.path.dirname(os.path.realpath(path))
    mode = os.stat(directory).st_mode
    if sys.platform != "win32" and mode & stat.S_IWOTH:
        warn(
            f"every user of this machine can write to {directory}: only the text of the file is pinned, and what its "
            "relative paths lead to may be anybody's"
        )


def _line(name: str, before: Any, after: Any) -> str:
    if before is None:
        return f"  + {name} = {_show(after)}"
    return f"  - {name} = {_show(before)}" if after is None else f"  ~ {name} = {_show(before)} -> {_show(after)}"


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return whole(text)
