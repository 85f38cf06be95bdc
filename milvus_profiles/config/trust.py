"""What a project file that was merely found may do before its user trusts it.

A cloned repository must not be able to have a token sent anywhere, a program run or a file read: such fields are gated
until ``milvus-profiles trust`` pins the file's path and content.  Endpoint-bound keyring entries need no trust, since
a foreign address finds no entry.  Precedents are listed in the project's security notes (git CVE-2020-5260 and kin).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..endpoint import AddressError, parse_address
from ..errors import UntrustedError
from ..profile import Profile
from .documents import Document
from .environment import secret_values
from .fields import ADDRESS_FIELDS, SECRET_FIELDS
from .locations import state_directory
from .values import RawProfile, from_table

__all__ = ["TrustStore", "check_endpoint", "check_fields", "gated_fields", "gated_names", "is_gated"]

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)
_GATED_SSL = frozenset({"ca", "cert", "key", "server_name"})
_GATED_REFERENCES = frozenset({"env", "file", "command", "pass_env"})


@dataclass(frozen=True)
class TrustStore:
    """The state file that remembers which project files are trusted, by real path and content.

    Attributes:
        path: the state file.
        files: real path to what was pinned: ``sha256`` and the gated fields at that time.
    """

    path: str
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, env: Mapping[str, str]) -> TrustStore:
        """Read the state; what cannot be read trusts nothing.

        Args:
            env: the environment, for the state directory.
        """
        path = os.path.join(state_directory(env), "trust.json")
        try:
            with open(path, encoding="utf-8") as file:
                files = json.load(file)["files"]
        except _UNREADABLE:
            return cls(path)
        return cls(path, files if isinstance(files, dict) else {})

    def trusts(self, document: Document) -> bool:
        """Whether a document's every field counts: it was named, is the user's own, or is pinned as it stands."""
        if document.role != "project":
            return True
        entry = self.files.get(os.path.realpath(document.path))
        return isinstance(entry, dict) and entry.get("sha256") == document.sha256

    def pinned(self, document: Document) -> Mapping[str, Any] | None:
        """What was pinned for the path, whatever the content is now; None if it never was."""
        entry = self.files.get(os.path.realpath(document.path))
        return entry if isinstance(entry, dict) else None

    def pin(self, document: Document) -> TrustStore:
        """Trust a document as it stands.

        Raises:
            MilvusProfilesError: the state file cannot be written.
        """
        entry = {"sha256": document.sha256, "gated": gated_fields(document)}
        return self._update(os.path.realpath(document.path), entry)

    def unpin(self, path: str) -> TrustStore:
        """Trust the file at a path no longer, whether it exists or not."""
        return self._update(os.path.realpath(path), None)

    def _update(self, real_path: str, entry: dict[str, Any] | None) -> TrustStore:
        from .atomic import locked, write_atomic

        with locked(self.path, 10.0):
            # Another process may have pinned another file since this store was loaded.
            try:
                with open(self.path, encoding="utf-8") as file:
                    state = json.load(file)
                files = dict(state["files"])
            except _UNREADABLE:
                files = {}
            if entry is None:
                files.pop(real_path, None)
            else:
                files[real_path] = entry
            # A gated field of the wrong type may be a date, which JSON does not know.
            content = json.dumps({"version": 1, "files": files}, indent=1, sort_keys=True, default=str) + "\n"
            write_atomic(self.path, content.encode("utf-8"), mode=0o600)
        return TrustStore(self.path, files)


def is_gated(path: tuple[str, ...], value: Any, directory: str) -> bool:
    """Whether a field of a project file needs trust.

    Args:
        path: the field.
        value: its value, with paths made absolute.
        directory: the directory of the project file; addresses that are paths may not lead out of it.
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


def _remedy(document: Document) -> str:
    return (
        f"read it, then run `milvus-profiles trust {document.path}`; "
        f"in containers and CI set MILVUS_PROFILES_FILE={document.path}"
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
    """Refuse a profile whose file is untrusted and whose fields need trust.

    Args:
        raw: the profile, overrides included.
        store: what is trusted.

    Raises:
        UntrustedError: a gated field is in force, or a secret of the environment or of the call would go to the
            address of an untrusted project file.
    """
    document = raw.document
    if document is None or store.trusts(document):
        return
    own = {path: value for path, value in raw.values.items() if value.origin.document is document}
    gated = [path for path, value in own.items() if is_gated(path, value.value, document.directory)]
    if gated:
        names = ", ".join(".".join(path) for path in gated)
        raise UntrustedError(
            f"the profile {raw.alias!r} of a project file that is not trusted sets {names}",
            hint=_remedy(document),
            location=own[gated[0]].origin.location("key"),
        )
    if not any(path[0] in ADDRESS_FIELDS for path in own):
        return
    foreign = secret_values({path: value for path, value in raw.values.items() if path not in own})
    if foreign:
        raise UntrustedError(
            f"{foreign[0].origin} would be sent to the address of {raw.alias!r} in a project file that is not trusted",
            hint=_remedy(document),
            location=raw.declared.location("key"),
        )


def check_endpoint(profile: Profile, raw: RawProfile, store: TrustStore, own: Profile | None, own_file: str) -> None:
    """Refuse an untrusted project's profile that takes the name of one of the user's for another server.

    Args:
        profile: the project's.
        raw: where it comes from.
        store: what is trusted.
        own: the user's profile of the same alias; None if the user's file has none that is valid.
        own_file: the user's file and line, for the message.

    Raises:
        UntrustedError: the two lead to different endpoints.
    """
    document = raw.document
    if document is None or store.trusts(document) or (own is not None and own.is_template):
        return
    if not any(path[0] in ADDRESS_FIELDS for path, v in raw.values.items() if v.origin.document is document):
        return
    if own is None or own.endpoint != profile.endpoint:
        leads = own.endpoint.uri if own is not None else "somewhere that cannot be read"
        raise UntrustedError(
            f"the profile {profile.alias!r} leads to {profile.endpoint.uri} in a project file that is not trusted, "
            f"and to {leads} in {own_file}",
            hint=_remedy(document),
            location=raw.declared.location("key"),
        )


def check_default(document: Document, alias: str, store: TrustStore, declared: bool) -> None:
    """Refuse an untrusted project's default_profile that names a profile of someone else.

    Raises:
        UntrustedError: it does.
    """
    if not declared and not store.trusts(document):
        raise UntrustedError(
            f"default_profile names {alias!a}, which this project file does not declare, and the file is not trusted",
            hint=_remedy(document),
            location=document.location(("default_profile",), at="value"),
        )
