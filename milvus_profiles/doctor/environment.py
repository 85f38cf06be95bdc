"""What the machine around says: files and who may read them, variables, `.env` files, proxies, the clock."""

from __future__ import annotations

import datetime as dt
import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.aliases import is_service_link
from ..config.documents import exposure
from ..config.git_index import is_tracked, work_tree
from ..config.invalid import FINDINGS, Findings
from ..config.layers import into_keyring
from ..config.locations import state_fault
from ..config.settings import CONTROL, FAMILY, PREFIX
from ..config.trust import gated_fields
from ..config.values import has_address
from ..connectable import Connectable
from ..errors import ConfigError, MilvusProfilesError
from ..files.paths import home_directory, home_fault, is_absolute
from ..files.regular_file import FileFault, read_regular
from ..names import suggest
from ..probe.sockets import PROXY_VARIABLES
from ..text import IN_QUOTES, command, counted, is_quoted, milvus_profiles, printable
from .finding import DoctorContext, Examined, Finding

if TYPE_CHECKING:
    from ..config.profiles import Profiles

_BEGINNING = "MILVUS_"
_PYMILVUS_ONLY = ("MILVUS_CONN_TIMEOUT", "MILVUS_DEFAULT_CONNECTION")
_SECRET = re.compile(r"MILVUS_(?:PROFILES__[A-Za-z0-9_]+__)?(?:TOKEN|PASSWORD)")
_TELLING = re.compile(r"MILVUS_.*|PYTHON_KEYRING_BACKEND|GRPC_.*|(?:grpc|https?|all|no)_proxy", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*=", re.MULTILINE)
_DOTENV_LIMIT = 1 << 20
_LATE = dt.timedelta(minutes=5)


# --- variables -------------------------------------------------------------------------------------------------------


def check_variables(profiles: Profiles | None, examined: Examined, context: DoctorContext) -> Iterator[Finding]:
    """Variables that look as if they said something, and say nothing; values are never shown."""
    env = context.env
    found = [*_unknown(context), *([] if profiles is None else _idle(profiles, examined))]
    if env.get("MILVUS_URI") and (env.get("MILVUS_TOKEN") or env.get("MILVUS_TOKEN_FILE")):
        losers = [name for name in ("MILVUS_USER", "MILVUS_PASSWORD") if env.get(name)]
        if losers:
            found.append(_finding(f"{' and '.join(losers)} mean nothing beside a token", f"unset {' '.join(losers)}"))
    empty = [name for name in (*FAMILY, *CONTROL) if name in env and not env[name]]
    if empty:
        found.append(_finding(f"{', '.join(empty)}: set and empty, which counts as unset", f"unset {' '.join(empty)}"))
    if quoted := [name for name in sorted(env) if _SECRET.fullmatch(name) and is_quoted(env[name])]:
        found.append(_finding(f"{', '.join(quoted)}: in quotes, which are sent with the secret", IN_QUOTES))
    yield from found
    if not found:
        known = [name for name in (*FAMILY, *CONTROL) if env.get(name)]
        fields = sum(name.startswith(PREFIX) and not is_service_link(name, env[name]) for name in env)
        said = known + ([f"{fields} with {PREFIX}"] if fields else [])
        yield Finding("variables", "ok", f"in use: {', '.join(said)}" if said else "none is set")


def _finding(detail: str, hint: str) -> Finding:
    return Finding("variables", "warning", detail, hint)


def _unknown(context: DoctorContext) -> Iterator[Finding]:
    names = [
        name
        for name in sorted(context.env)
        if name.startswith(_BEGINNING)
        and not name.startswith("MILVUS_PROFILES")
        and name not in (*FAMILY, *CONTROL)
        and not is_service_link(name, context.env[name])
    ]
    for name in names[:FINDINGS]:
        if name in _PYMILVUS_ONLY:
            yield _finding(f"{name} is read by pymilvus alone", f"set {PREFIX}ALIAS__TIMEOUT, or uri, in its place")
            continue
        # By what follows the common beginning, which makes all of them look alike.
        near = suggest(name.removeprefix(_BEGINNING), [known.removeprefix(_BEGINNING) for known in FAMILY])
        yield _finding(
            f"{printable(name)[:64]} is no variable of milvus-profiles, and is not read",
            f"did you mean {_BEGINNING}{near}?"
            if near
            else f"the variables are {', '.join(FAMILY)} and {PREFIX}ALIAS__FIELD",
        )
    yield from _left(len(names), "are no variables of milvus-profiles")


def _left(count: int, what: str) -> Iterator[Finding]:
    """What is said of those that are not told one by one: an environment can hold tens of thousands."""
    if count > FINDINGS:
        yield _finding(f"{count - FINDINGS} more {what}", "correct these first")


def _idle(profiles: Profiles, examined: Examined) -> Iterator[Finding]:
    environment = profiles.settings.environment
    if environment.ignored:
        yield _finding(
            f"{', '.join(environment.ignored)}: ignored, because MILVUS_URI is not set",
            f"set MILVUS_URI beside them, or {PREFIX}ALIAS__TOKEN for a profile of a file",
        )
    idle = [(key, alias) for key, alias in environment.names.items() if not _leads(profiles, alias, examined)]
    for key, alias in idle[:FINDINGS]:
        # Names of variables are capitals, whatever the alias is.
        names = [str(value.origin) for value in environment.fields[key].values()]
        near = profiles.nearest.to(alias, other=True)
        yield _finding(
            f"{', '.join(names[:3])}: there is no profile {alias!r} with an address",
            f"did you mean the profile {near!r}?" if near else f"set {PREFIX}{alias.upper()}__URI, or unset them",
        )
    yield from _left(len(idle), "set fields of profiles that have no address")


def _leads(profiles: Profiles, alias: str, examined: Examined) -> bool:
    """Whether a profile has an address, or something is wrong with it that is told among the profiles."""
    if isinstance(known := examined.get(alias), Connectable):
        return not known.is_template
    try:
        return has_address(profiles.raw(alias).values)
    except ConfigError:
        return True


# --- .env ------------------------------------------------------------------------------------------------------------


def dotenv_files(context: DoctorContext) -> list[str]:
    """The `.env` files that an import of pymilvus would read: python-dotenv's own search, in its two forms.

    A program's import looks from the directory of pymilvus upwards; an interactive one, or one under a debugger, from
    the current directory.  The first file that is found ends a search.
    """
    begins = [context.cwd]
    spec = find_spec("pymilvus")
    if spec is not None and spec.origin is not None:
        begins.append(os.path.dirname(os.path.abspath(spec.origin)))
    found: list[str] = []
    for begin in begins:
        candidates = (os.path.join(folder, ".env") for folder in (begin, *map(str, Path(begin).parents)))
        found += islice(filter(os.path.isfile, candidates), 1)
    return list(dict.fromkeys(found))


def names_in(path: str) -> list[str]:
    """The variables that a `.env` file sets; its values are not looked at."""
    try:
        text = read_regular(path, _DOTENV_LIMIT).content.decode("utf-8-sig", "replace")
    except FileFault:
        return []
    return list(dict.fromkeys(_ASSIGNMENT.findall(text)))


def check_dotenv(context: DoctorContext) -> Iterator[Finding]:
    """What an import of pymilvus puts into the environment of a whole program."""
    if context.env.get("PYTHON_DOTENV_DISABLED", "").lower() in ("1", "true", "t", "yes", "y"):
        yield Finding("dotenv", "ok", "PYTHON_DOTENV_DISABLED keeps pymilvus from reading .env files")
        return
    files = dotenv_files(context)
    for path in files:
        telling = [name for name in names_in(path) if _TELLING.fullmatch(name)]
        if telling:
            yield Finding(
                "dotenv", "warning",
                f"{printable(path)} sets {', '.join(telling[:8])}: `import pymilvus` puts that into the environment",
                "milvus-profiles keeps its own imports from doing that; for other programs set "
                "PYTHON_DOTENV_DISABLED=1, or rename the file",
            )  # fmt: skip
        else:
            yield Finding("dotenv", "ok", f"{printable(path)} sets nothing that concerns Milvus, keyring or proxies")
    if not files:
        yield Finding("dotenv", "ok", "no .env file that pymilvus would read")


# --- proxies, the clock ----------------------------------------------------------------------------------------------


def check_proxies(context: DoctorContext) -> Iterator[Finding]:
    present = [name for name in PROXY_VARIABLES if context.env.get(name)]
    if present:
        yield Finding(
            "proxy", "warning", f"{', '.join(present)}: not used; only a profile with `proxy` goes through one",
            f"where a proxy is needed: {context.standing.change('ALIAS', 'proxy=http://HOST:PORT')}",
        )  # fmt: skip
    else:
        yield Finding("proxy", "ok", "no proxy variable is set")


def check_clock(profiles: Profiles | None, context: DoctorContext) -> Iterator[Finding]:
    """Whether the clock is behind what it has witnessed: certificates are judged by it."""
    now = context.now()
    paths = [__file__, *([] if profiles is None else [document.path for document in profiles.documents])]
    newest, path = max((_changed(path), path) for path in paths)
    if newest - now > _LATE:
        yield Finding(
            "clock", "failed", f"{now:%Y-%m-%d %H:%M} UTC, before {printable(path)} was written ({newest:%Y-%m-%d})",
            "set the clock (timedatectl set-ntp true); until then certificates seem not valid yet",
        )  # fmt: skip
    else:
        yield Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


def _changed(path: str) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(os.stat(path).st_mtime, dt.timezone.utc)
    except (OSError, OverflowError, ValueError):
        return dt.datetime.fromtimestamp(0, dt.timezone.utc)


# --- files ------------------------------------------------------------------------------------------------------------

_SHOWN = 5
_SECRET_ENDINGS = ("TOKEN", "PASSWORD")
_KEPT = "the history of the repository keeps the old one"
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
    clean = True
    for document in profiles.documents:
        tracked = bool(document.literals) and is_tracked(document.path)
        if not document.literals or not (tracked or document.role == "project"):
            continue
        clean = False
        holds = f"{printable(document.path)} holds a token or password, and"
        move = f"move it into the keyring with {into_keyring(document)}"
        if tracked:
            change = f"and change it at the server: {_KEPT}"
            yield Finding("tracked", "failed", f"{holds} git tracks it", f"{move}, {change}")
        else:
            yield Finding("tracked", "warning", f"{holds} goes where the project goes", move)
    for path in dotenv_files(context):
        secrets = [name for name in names_in(path) if name.startswith("MILVUS_") and name.endswith(_SECRET_ENDINGS)]
        if secrets and is_tracked(path):
            clean = False
            yield Finding(
                "tracked", "failed", f"{printable(path)} sets {', '.join(secrets)}, and git tracks it",
                f"run {command('git', 'rm', '--cached', '--', os.path.basename(path))} there, "
                f"name the file in .gitignore, and change the secret at the server: {_KEPT}",
            )  # fmt: skip
    if clean and work_tree(profiles.cwd) is not None:
        yield Finding("tracked", "ok", "git tracks no file with a token or password in it")
