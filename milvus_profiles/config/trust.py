"""What a project file that was merely found may do before its user trusts it.

A cloned repository must not be able to have a token sent anywhere, a program run or a file read: such fields are gated
until ``milvus-profiles trust`` pins the file's path and content.  Endpoint-bound keyring entries need no trust, since
a foreign address finds no entry.  Precedents are listed in the project's security notes (git CVE-2020-5260 and kin).
"""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..connectable import Connectable
from ..endpoint import AddressError, parse_address
from ..errors import ConfigError, Location, UntrustedError
from ..files.paths import leads_out
from ..masked import as_given
from ..text import milvus_profiles, quote
from .disclosure import shown
from .documents import Document
from .fields import ADDRESS_FIELDS, SECRET_FIELDS, find_field
from .locations import state_directory
from .settings import secret_values
from .state import State, read_state, update_state
from .values import RawProfile, from_table

_NAME_OF_STATE = "trust.json"
_WHAT_IT_IS = "the list of trusted files"
_CONTENTS = 1000
"""Contents of one file that are remembered; the oldest make room."""
_GATED_SSL = frozenset({"ca", "cert", "key", "server_name"})
_GATED_REFERENCES = frozenset({"env", "file", "command", "pass_env"})


@dataclass(frozen=True)
class TrustStore:
    """The state file that remembers which project files are trusted, by real path and content.

    Attributes:
        path: the state file; None where there is no place for one.
        files: real path to what was pinned last: ``sha256``, the ``directory`` it was read from and the gated fields;
            and in ``approved``, by directory, the ``sha256`` of each content that was pinned before.  An earlier
            version, which wrote no such list, reads the last one.
        fault: why the state file is not believed, and what to do; None if it is, or if there is none.
    """

    path: str | None
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fault: tuple[str, str] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, env: Mapping[str, str]) -> TrustStore:
        """Read the state; what cannot be read, or could have been written by somebody else, trusts nothing."""
        directory = state_directory(env)
        state = read_state(_NAME_OF_STATE, env)
        path = None if directory is None else os.path.join(directory, _NAME_OF_STATE)
        return cls(path, _files(state), state.fault, env)

    def trusts(self, document: Document) -> bool:
        """Whether a document's every field counts: it was named, is the user's own, or is pinned as it stands."""
        if document.role != "project":
            return True
        # The directory too: reached by a link from elsewhere, the same text has its relative paths lead elsewhere.
        return document.sha256 in _approved(self.pinned(document)).get(os.path.realpath(document.directory), ())

    def pinned(self, document: Document) -> Mapping[str, Any] | None:
        """What was pinned last for the path, whatever the content is now; None if it never was."""
        entry = self.files.get(os.path.realpath(document.path))
        return entry if isinstance(entry, dict) else None

    def changes(self, document: Document) -> dict[str, tuple[Any, Any]]:
        """The gated fields that differ from what was pinned, as they may be shown before and after; None is absent."""
        entry = self.pinned(document) or {}
        pinned = entry.get("gated")
        before: dict[str, Any] = pinned if isinstance(pinned, dict) else {}
        digests = entry.get("digests")
        old: dict[str, Any] = digests if isinstance(digests, dict) else {}
        after = gated_fields(document)
        new = _digests(after, str(entry.get("salt")))
        return {
            name: (before.get(name), shown_gated(name, after[name]) if name in after else None)
            for name in sorted({*before, *after})
            if old.get(name) != new.get(name)
        }

    def pin(self, document: Document) -> TrustStore:
        """Trust a document as it stands, and what was trusted before under its path; an error where that cannot be
        kept."""
        salt = os.urandom(16).hex()
        gated = gated_fields(document)
        entry = {
            "sha256": document.sha256,
            "directory": os.path.realpath(document.directory),
            "gated": {name: shown_gated(name, value) for name, value in gated.items()},
            # To tell that a value changed which is not shown.
            "salt": salt,
            "digests": _digests(gated, salt),
        }
        return self._update(os.path.realpath(document.path), entry)

    def unpin(self, path: str) -> TrustStore:
        """Trust the file at a path no longer, whether it exists or not, whatever its content; errors as :meth:`pin`."""
        return self._update(os.path.realpath(path), None)

    def unpin_all(self) -> TrustStore:
        return self._update(None, None)

    def contents(self, path: str) -> list[str]:
        """The ``sha256`` of each content that is trusted of the file at a real path, wherever it was read from."""
        entry = self.files.get(path)
        return [one for found in _approved(entry if isinstance(entry, dict) else None).values() for one in found]

    def _update(self, real_path: str | None, entry: dict[str, Any] | None) -> TrustStore:
        if self.fault is not None and self.path is not None:
            raise ConfigError(f"{_WHAT_IT_IS} {self.fault[0]}", hint=self.fault[1], location=Location(self.path))

        def change(values: dict[str, Any]) -> dict[str, Any]:
            # Another process may have pinned another file since this store was loaded.
            files.update(_files(State(values)))
            if real_path is None:
                files.clear()
            elif entry is None:
                files.pop(real_path, None)
            else:
                before = files.get(real_path)
                approved = _approved(before if isinstance(before, dict) else None)
                here = [one for one in approved.get(entry["directory"], []) if one != entry["sha256"]]
                files[real_path] = {**entry, "approved": {**approved, entry["directory"]: here[1 - _CONTENTS :]}}
            return {"version": 1, "files": files}

        files: dict[str, Any] = {}
        path, _ = update_state(_NAME_OF_STATE, self.env, _WHAT_IT_IS, change)
        return TrustStore(path, files, env=self.env)


def _files(state: State) -> dict[str, Any]:
    files = state.values.get("files")
    return files if isinstance(files, dict) else {}


def _approved(entry: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """The contents of a file that were approved, by the directory that it was read from; the last at the end."""
    listed = {} if entry is None else entry.get("approved")
    found = {
        directory: [one for one in contents if isinstance(one, str)]
        for directory, contents in (listed.items() if isinstance(listed, dict) else ())
        if isinstance(contents, list)
    }
    directory, content = (entry.get("directory"), entry.get("sha256")) if entry is not None else (None, None)
    if isinstance(directory, str) and isinstance(content, str):
        found.setdefault(directory, []).append(content)
    return found


def _digests(gated: Mapping[str, Any], salt: str) -> dict[str, str]:
    return {
        name: hmac.new(salt.encode(), repr(value).encode("utf-8", "surrogatepass"), "sha256").hexdigest()
        for name, value in gated.items()
    }


def is_gated(path: tuple[str, ...], value: Any, directory: str) -> bool:
    """Whether a field of a project file needs trust.

    Paths in its value are absolute; addresses that are paths may not lead out of the project's directory.
    """
    if path == ("ssl",) or path[0] not in {"ssl", "proxy", "allow_insecure", "uri", *SECRET_FIELDS}:
        return False
    if path[0] == "ssl":
        return path[1] in _GATED_SSL
    if path[0] in SECRET_FIELDS:
        return path[1:2] != () and path[1] in _GATED_REFERENCES
    if path[0] == "uri":
        return _leads_out(value, directory)
    return True  # proxy, allow_insecure


def _leads_out(uri: Any, directory: str) -> bool:
    try:
        address = parse_address(uri, base=directory) if isinstance(uri, str) else None
    except AddressError:
        return False  # nothing will be opened
    if address is None or address.kind == "tcp":
        return False
    if sys.platform == "win32":
        # By its text alone.  A link on the way to a database is refused when that is looked at.
        return address.kind == "unix" or leads_out(address.path, directory)
    inside, target = os.path.realpath(directory), os.path.realpath(address.path)
    try:
        return os.path.commonpath([inside, target]) != inside
    except ValueError:  # another drive
        return True


def gated_fields(document: Document) -> dict[str, Any]:
    """The gated fields of a whole file: ``ALIAS.FIELD`` to value, for ``trust`` to show."""
    found: dict[str, Any] = {}
    for alias, table in document.profiles.items():
        if isinstance(table, dict):
            for path, value in from_table(document, alias).items():
                if is_gated(path, value.value, document.directory):
                    found[".".join((alias, *path))] = value.value
    return found


def shown_gated(name: str, value: Any) -> Any:
    """A gated value as it may be shown and remembered; its name is ``ALIAS.FIELD``, as :func:`gated_fields` has it."""
    path = tuple(name.split(".")[-2:])
    return shown(path if find_field(path) else path[-1:], value)


def remedy(document: Document, store: TrustStore) -> str:
    if store.fault is not None:
        return f"the list of trusted files {store.fault[0]}; {store.fault[1]}"
    return (
        f"read it, then run {milvus_profiles('trust', document.path)}; "
        f"in containers and CI set MILVUS_PROFILES_FILE={quote(document.path)}"
    )


def gated_names(raw: RawProfile) -> list[str]:
    """The fields of a profile, set by the file that declares it, that need trust."""
    document = raw.document
    if document is None:
        return []
    return [
        ".".join(path)
        for path, value in raw.values.items()
        if value.origin.document is document and is_gated(path, value.value, document.directory)
    ]


def check_fields(raw: RawProfile, store: TrustStore) -> None:
    """Refuse a profile, overrides included, whose file is untrusted and whose fields need trust: UntrustedError.

    So is one where a secret of the environment or of the call would go to the address of an untrusted project file.
    """
    document = raw.document
    if document is None or store.trusts(document):
        return
    own = {path: value for path, value in raw.values.items() if value.origin.document is document}
    gated = [path for path, value in own.items() if is_gated(path, value.value, document.directory)]
    if gated:
        names = ", ".join(".".join(path) for path in gated)
        message = f"the profile {raw.alias!r} of a project file that is not trusted sets {names}"
        raise UntrustedError(message, hint=remedy(document, store), location=own[gated[0]].origin.location("key"))
    if not any(path[0] in ADDRESS_FIELDS for path in own):
        return
    foreign = secret_values({path: value for path, value in raw.values.items() if path not in own})
    if foreign:
        raise UntrustedError(
            f"{foreign[0].origin} would be sent to the address of {raw.alias!r} in a project file that is not trusted",
            hint=remedy(document, store),
            location=raw.declared.location("key"),
        )


def check_endpoint(
    profile: Connectable, raw: RawProfile, store: TrustStore, own: Connectable | None, own_file: str
) -> None:
    """Refuse an untrusted project's profile that takes the name of one of the user's and leads somewhere else.

    Elsewhere is another server, another database there, or another of the user's accounts: its keyring entry would be
    used for what the name does not stand for.  So is the same server without the TLS that the user's file asks for.

    ``own`` is the user's profile of the same alias, None if that is not valid; ``own_file`` its file and line, for the
    UntrustedError.
    """
    document = raw.document
    if document is None or store.trusts(document):
        return
    if not any(path[0] in ADDRESS_FIELDS for path, v in raw.values.items() if v.origin.document is document):
        # The address is the user's, of a variable or a call; how it is reached is what the file hides.
        if profile.endpoint.tls or _is_overridden("ssl", raw) or (own is not None and not own.ssl):
            return
        there = f"{profile.endpoint.uri} without TLS"
        mine = "it with TLS" if own is not None else "somewhere that cannot be read"
    elif own is not None and own.is_template:
        return
    elif own is None:
        there, mine = profile.endpoint.uri, "somewhere that cannot be read"
    elif own.endpoint != profile.endpoint:
        there, mine = profile.endpoint.uri, own.endpoint.uri
    elif _database(own) != _database(profile) and not _is_overridden("db_name", raw):
        there, mine = f"the database {as_given(_database(profile))!r}", f"{as_given(_database(own))!r}"
    elif own.user != profile.user and profile.auth == "keyring" and not _is_overridden("user", raw):
        there, mine = f"the account of {_account(profile)}", f"that of {_account(own)}"
    else:
        return
    raise UntrustedError(
        f"the profile {profile.alias!r} leads to {there} in a project file that is not trusted, and to {mine} in "
        f"{own_file}",
        hint=remedy(document, store),
        location=raw.declared.location("key"),
    )


def _is_overridden(name: str, raw: RawProfile) -> bool:
    """Whether a call or a variable sets a field: somebody with full trust, whatever the file says."""
    value = raw.values.get((name,))
    return value is not None and value.origin.document is not raw.document


def _database(profile: Connectable) -> str:
    return profile.db_name or "default"  # what a server takes where none is named


def _account(profile: Connectable) -> str:
    return repr(as_given(profile.user)) if profile.user is not None else "a token"


def check_default(document: Document, alias: str, store: TrustStore, declared: bool) -> None:
    """Refuse an untrusted project's default_profile that names a profile of someone else, with UntrustedError."""
    if not declared and not store.trusts(document):
        raise UntrustedError(
            f"default_profile names {as_given(alias)!r}, which this project file does not declare, and the file is "
            "not trusted",
            hint=remedy(document, store),
            location=document.location(("default_profile",), at="value"),
        )
