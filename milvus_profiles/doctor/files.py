"""The configuration files: what was found, who may read them, whether they are trusted, and what is in a repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..config.databases import is_tracked
from ..config.documents import exposure
from ..config.invalid import Findings
from ..config.locations import state_fault
from ..config.trust import gated_fields
from ..errors import MilvusProfilesError
from ..files.paths import home_directory, home_fault, is_absolute
from ..text import command, counted, milvus_profiles, printable
from .environment import dotenv_files, names_in
from .finding import DoctorContext, Examined, Finding

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["check_files", "check_home", "check_profiles", "check_tracked", "check_trust"]

_SHOWN = 5
_PLACES = ("APPDATA", "LOCALAPPDATA") if sys.platform == "win32" else ("XDG_CONFIG_HOME", "XDG_STATE_HOME")


def check_files(profiles: Profiles) -> Iterator[Finding]:
    """Which files are read, which are not because of their owner, and what others may do with those that are."""
    for unread in profiles.unread:
        yield Finding("files", "warning", printable(str(unread)), unread.hint)
    if not profiles.documents and profiles.user_file is not None:
        yield Finding("files", "ok", f"none; {printable(profiles.user_file)} would be yours")
    for document in profiles.documents:
        number = len(document.aliases)
        mode = "" if document.mode is None else f", mode {document.mode:04o}"
        said = f"{printable(document.path)} ({document.role}): {counted(number, 'profile')}{mode}"
        if (found := exposure(document)) is None:
            yield Finding("files", "ok", said)
        else:
            status = "failed" if found.refused else "warning"
            yield Finding("files", status, f"{said}; it {found.message}", found.hint)  # type: ignore[arg-type]


def check_home(context: DoctorContext) -> Iterator[Finding]:
    """Whether there is a place for the user's own file, and one to remember in, that are nobody else's."""
    env = context.env
    relative = [name for name in _PLACES if env.get(name) and not is_absolute(env[name])]
    seen = "{} is not an absolute path, and counts as unset"
    faults = [Finding("home", "warning", seen.format(name), f"unset {name}, or correct it") for name in relative]
    if (missing := home_fault(env)) is not None:
        seen = f"there is no home directory for your own file and for trust: {printable(missing[0])}"
        faults.append(Finding("home", "warning", seen, missing[1]))
    elif (fault := state_fault(env)) is not None:
        seen = f"the state directory is not used: {printable(str(fault))}"
        faults.append(Finding("home", "failed", seen, fault.hint))
    yield from faults or [Finding("home", "ok", printable(home_directory(env) or ""))]


def check_profiles(profiles: Profiles, examined: Examined) -> Iterator[Finding]:
    """Whether every profile is valid, and the one that is selected exists."""
    invalid = [(alias, result) for alias, result in examined.items() if isinstance(result, Findings)]
    for alias, findings in invalid[:_SHOWN]:
        [error] = findings.errors(1)
        yield Finding.of("profiles", error, "correct it there", whose=f"{alias}: ")
    if len(invalid) > _SHOWN:
        left = len(profiles) - len(examined)
        rest = f", and {left} not looked at" if left else ""
        yield Finding(
            "profiles",
            "failed",
            f"{len(invalid) - _SHOWN} more are invalid{rest}",
            profiles.standing.command("config", "validate"),
        )
    try:
        chosen = profiles.select()
    except MilvusProfilesError as error:
        if profiles.settings.profile is not None or any("default_profile" in d.root for d in profiles.documents):
            yield Finding.of("profiles", error)
            return
        selected = "none is selected"
    else:
        selected = f"{chosen.alias} is selected: {chosen.reason}"
    if not invalid:
        yield Finding("profiles", "ok", f"{len(profiles)}, all valid; {selected}")


def check_trust(profiles: Profiles) -> Iterator[Finding]:
    """Whether project files have the trust that they need."""
    if (fault := profiles.trust.fault) is not None:
        yield Finding("trust", "failed", f"the list of trusted files {fault[0]}", fault[1])
    for document in profiles.documents:
        if document.role != "project":
            continue
        path = printable(document.path)
        if profiles.trust.trusts(document):
            yield Finding("trust", "ok", f"{path} is trusted")
        elif gated := gated_fields(document):
            names = ", ".join(sorted(gated)[:_SHOWN]) + (" …" if len(gated) > _SHOWN else "")
            yield Finding(
                "trust", "warning", f"{path} is not trusted, and sets {printable(names)}",
                f"read it, then run {milvus_profiles('trust', document.path)}",
            )  # fmt: skip
        else:
            yield Finding("trust", "ok", f"{path} is not trusted, and sets nothing that needs it")


def check_tracked(profiles: Profiles, context: DoctorContext) -> Iterator[Finding]:
    """Whether git tracks a file with a token or password in it."""
    clean = True
    for document in profiles.documents:
        if not document.literals:
            continue
        if is_tracked(document.path):
            clean = False
            yield Finding(
                "tracked", "failed", f"{printable(document.path)} holds a token or password, and git tracks it",
                f"move it into the keyring with {document.standing.command('secret', 'set', document.literals[0])}, "
                "take it out of the file, and change it at the server: the history of the repository keeps the old one",
            )  # fmt: skip
        elif document.role == "project":
            clean = False
            yield Finding(
                "tracked", "warning",
                f"{printable(document.path)} holds a token or password, and goes where the project goes",
                f"move it into the keyring with {document.standing.command('secret', 'set', document.literals[0])}, "
                "and take it out of the file",
            )  # fmt: skip
    for path in dotenv_files(context):
        secrets = [name for name in names_in(path) if name.startswith("MILVUS_") and name.endswith(_SECRET_ENDINGS)]
        if secrets and is_tracked(path):
            clean = False
            yield Finding(
                "tracked", "failed", f"{printable(path)} sets {', '.join(secrets)}, and git tracks it",
                f"run {command('git', 'rm', '--cached', '--', os.path.basename(path))} there, "
                "name the file in .gitignore, and change the secret at the server: "
                "the history of the repository keeps the old one",
            )  # fmt: skip
    if clean:
        yield Finding("tracked", "ok", "git tracks no file with a token or password in it")


_SECRET_ENDINGS = ("TOKEN", "PASSWORD")
