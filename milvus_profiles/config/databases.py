"""Which Milvus Lite databases this user had made here: what an untrusted project may have opened, and nothing else.

A database that came with a project is somebody else's data, and Milvus Lite acts on it: it deletes what a list in it
names, and a function that a schema in it declares sends texts, with an API key of the environment, wherever that says.

One that is made here gets a seal, a small file in its directory: the HMAC of its real path and inode number under a key
in the state directory.  What git, tar and cp bring has none, or that of another path or directory.  Files that git puts
into a sealed directory give themselves away in git's index.
"""

from __future__ import annotations

import hmac
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from ..connectable import Connectable
from ..endpoint import AddressError, Untrusted, parse_address
from ..errors import ConfigError, Location, MilvusProfilesError, UntrustedError
from ..files.held_directory import HeldDirectory
from .documents import Document
from .git_index import is_tracked
from .locations import STATE_VARIABLES, state_directory
from .state import read_state, update_state
from .trust import TrustStore, remedy
from .values import RawProfile, from_table

SEAL = ".made-by-milvus-profiles"
"""The name of the seal in a database's directory."""

_STATE_FILE = "databases.json"
_WHAT_IT_IS = "the list of databases"


@contextmanager
def enclosing(path: str, untrusted: Untrusted | None) -> Iterator[tuple[HeldDirectory, str]]:
    """Hold the directory that a database stands in, or is to be made in; yields it and the name of the database in it.

    Of what an untrusted project file names, no part below the project's directory may be a link, the last one neither,
    and nothing leads out of it: UntrustedError.  Otherwise links are followed, those of the last part too.
    """
    if untrusted is None:
        directory, name = os.path.split(os.path.realpath(path))
        with HeldDirectory(directory, passing=True) as held:
            yield held, name
        return
    project = os.path.dirname(untrusted.file)
    real = os.path.realpath(project)
    parts = _below(project, path) or _below(real, path)
    if parts is None:
        raise _not_trusted(untrusted, f"the database {path} is outside of the project")
    with ExitStack() as stack:
        held = stack.enter_context(HeldDirectory(real, passing=True))
        for part in parts[:-1]:
            _refuse_link(held, part, untrusted)
            held = stack.enter_context(held.enter(part, passing=True))
        _refuse_link(held, parts[-1], untrusted)
        yield held, parts[-1]


def _below(directory: str, path: str) -> list[str] | None:
    """The parts of a path from a directory on; None where it is not in that directory."""
    try:
        parts = os.path.relpath(path, directory).split(os.sep)
    except ValueError:  # another drive
        return None
    return None if parts[0] in (os.pardir, os.curdir) else parts


def _refuse_link(held: HeldDirectory, name: str, untrusted: Untrusted) -> None:
    if held.leads_away(name):
        link = os.path.join(held.path, name)
        raise _not_trusted(untrusted, f"the path of the database leads through the link {link}")


def _not_trusted(untrusted: Untrusted, reason: str, location: Location | None = None) -> UntrustedError:
    return UntrustedError(
        f"{reason}, and the project file is not trusted",
        hint=untrusted.remedy,
        location=location or Location(untrusted.file),
    )


def check_origin(
    parent: HeldDirectory, name: str, untrusted: Untrusted, *, index: bool, location: Location | None = None
) -> None:
    """Refuse a database under a name in a directory that is there and that this user did not have made there.

    ``index``: look into git's index too, which may be large.  The error points to ``location``, else to the file.
    """
    try:
        held = parent.enter(name)
    except OSError:
        return  # there is none, or it cannot be opened; whoever opens it says why
    with held:
        if held.is_empty:
            return
        reason = None if _is_sealed(held, untrusted.env) else "it was there already, and was not made from here"
        if reason is None and index and is_tracked(held.path, below=True):
            reason = "git tracks files in it"
        if reason is None:
            return
    if state_directory(untrusted.env) is None:
        reason += " (without a home directory nothing is remembered)"
    raise _not_trusted(untrusted, f"the database {held.path} may be somebody else's: {reason}", location)


def seal(held: HeldDirectory, env: Mapping[str, str]) -> str | None:
    """Remember a database, empty still, as made from here; why it is not remembered, None if it is."""
    from .atomic import write_in

    try:
        write_in(held, SEAL, f"{_seal_of(held, _key(env, make=True))}\n".encode("ascii"))
    except MilvusProfilesError as error:
        return str(error.message)
    except OSError as error:
        return error.strerror or "it cannot be written"
    return None


def _is_sealed(held: HeldDirectory, env: Mapping[str, str]) -> bool:
    try:
        wanted = _seal_of(held, _key(env, make=False))
        with os.fdopen(held.open(SEAL, os.O_RDONLY), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return False
            found = file.read(len(wanted) + 2)
    except (MilvusProfilesError, OSError):
        return False
    return hmac.compare_digest(found.strip(), wanted.encode())


def _seal_of(held: HeldDirectory, key: bytes) -> str:
    # Not the number of the device: that of many file systems is another one after each start of the machine.
    text = f"{held.own_status.st_ino}:{held.path}"
    return hmac.new(key, os.fsencode(text), "sha256").hexdigest()


def _key(env: Mapping[str, str], *, make: bool) -> bytes:
    """The key of this user's seals; ConfigError where there is none, or it is not to be believed, or cannot be made."""
    key = _read_key(env)
    if key is None and make:
        made = {"version": 1, "databases": {"key": os.urandom(32).hex()}}
        # Another process may have made one meanwhile.
        update_state(_STATE_FILE, env, _WHAT_IT_IS, lambda values: values if _key_in(values) else made)
        key = _read_key(env)
    if key is None:
        raise ConfigError("no database was made from here yet")
    return key


def _read_key(env: Mapping[str, str]) -> bytes | None:
    state = read_state(_STATE_FILE, env)
    if state.fault is not None:
        raise ConfigError(f"{_WHAT_IT_IS} {state.fault[0]}", hint=state.fault[1])
    return _key_in(state.values)


def _key_in(values: Mapping[str, Any]) -> bytes | None:
    try:
        key = bytes.fromhex(values["databases"]["key"])  # what a file holds may be anything
    except (KeyError, TypeError, ValueError):
        return None
    return key if len(key) >= 32 else None


def untrusted_origin(
    profile: Connectable, raw: RawProfile, store: TrustStore, env: Mapping[str, str]
) -> Untrusted | None:
    """What a profile with a Milvus Lite database must be held to; None where its address is trusted.

    An address of the environment or of the call is trusted, whatever the file is.
    """
    document, address = raw.document, raw.values.get(("uri",))
    if document is None or address is None or address.origin.document is not document:
        return None
    if profile.is_template or profile.endpoint.kind != "lite" or store.trusts(document):
        return None
    deciding = {name: env[name] for name in STATE_VARIABLES if name in env}
    return Untrusted(document.path, remedy(document, store), deciding)


def refuse_brought(profile: Connectable, raw: RawProfile) -> None:
    """Refuse a profile of an untrusted project file whose database somebody else may have made, or is behind a link.

    It is looked at again, and closer, when it is opened.
    """
    if profile.untrusted is None:
        return
    try:
        with enclosing(profile.endpoint.path, profile.untrusted) as (parent, name):
            place = raw.values["uri",].origin.location()
            check_origin(parent, name, profile.untrusted, index=False, location=place)
    except OSError:
        return  # whoever opens it says what is wrong


def brought_databases(document: Document, env: Mapping[str, str]) -> dict[str, str]:
    """The databases that a project file names and that this user did not have made: alias to path."""
    found: dict[str, str] = {}
    for alias, table in document.profiles.items():
        if not isinstance(table, dict) or (value := from_table(document, alias).get(("uri",))) is None:
            continue
        try:
            address = parse_address(value.value, base=document.directory) if isinstance(value.value, str) else None
        except AddressError:
            continue
        if address is not None and address.kind == "lite" and _is_brought(address.path, document, env):
            found[alias] = address.path
    return found


def _is_brought(path: str, document: Document, env: Mapping[str, str]) -> bool:
    with suppress(OSError, ValueError, UntrustedError), ExitStack() as stack:
        if sys.platform == "win32":
            # Nothing outside of the project is looked at, and no link followed: it may be a share of another machine.
            parent, name = stack.enter_context(enclosing(path, Untrusted(document.path, "", env)))
            held = stack.enter_context(parent.enter(name))
        else:
            held = stack.enter_context(HeldDirectory(path))
        return not held.is_empty and (not _is_sealed(held, env) or is_tracked(held.path, below=True))
    return False
