"""What the machine around says: variables that mean nothing, `.env` files, proxies, the clock."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.environment import CONTROL, FAMILY, PREFIX
from ..config.invalid import FINDINGS
from ..config.service_links import is_service_link
from ..config.values import has_address
from ..connectable import Connectable
from ..errors import ConfigError
from ..files.regular_file import FileFault, read_regular
from ..names import suggest
from ..probe.sockets import PROXY_VARIABLES
from ..text import IN_QUOTES, is_quoted, printable
from .finding import DoctorContext, Examined, Finding

if TYPE_CHECKING:
    from ..config.profiles import Profiles

__all__ = ["check_clock", "check_dotenv", "check_proxies", "check_variables", "dotenv_files", "names_in"]

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
    """Variables from which other programs take a proxy."""
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
