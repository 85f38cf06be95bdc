"""A profile of plain values, read without pydantic: what validation would make of it, where that is beyond doubt.

To import pydantic and to describe the models to it takes longer than all else that a probe, or ``exec``, does.  The
layers, the rules of trust and the readers of secrets are those of the machinery; what is not plain is for it to judge.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..config.documents import Document
from ..config.environment import read_environment
from ..config.in_force import directory_of, documents_in_force
from ..config.layers import Layers
from ..config.locations import home_directory, named
from ..config.permissions import refusal
from ..config.values import RawProfile
from ..endpoint import DEFAULT_PORT, Address, Endpoint, parse_address
from ..masked import SecretText, secret_fault
from ..secrets.value import line_of, make_token

__all__ = ["PlainProfile", "PlainResolved", "plain", "token_of"]

_DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True)
class TLS:
    """The TLS settings of a profile, with the names of the model's."""

    ca: str | None
    cert: str | None
    key: str | None
    server_name: str | None


@dataclass(frozen=True)
class PlainProfile:
    """A profile of plain values, as far as connecting and the rule of plaintext ask for it; the model's names."""

    alias: str
    uri: str | None
    address: Address
    endpoint: Endpoint
    tls: TLS | None
    user: str | None
    db_name: str | None
    credential: tuple[str, ...] | None
    allow_insecure: bool
    timeout: float
    proxy: None = None


@dataclass(frozen=True)
class PlainResolved:
    """A profile, the fields that it was made of, and whether files are there that were not read."""

    profile: PlainProfile
    raw: RawProfile
    has_unread: bool


def plain(alias: str | None, file: str | None, env: Mapping[str, str]) -> PlainResolved | None:
    """The profile that is meant; None, or any exception, where only the machinery can tell.

    Args:
        alias: the profile; None takes the selected one.
        file: a file that is read instead of all others.
        env: the environment.
    """
    directory = directory_of(None, named(file, env))
    documents, unread = documents_in_force(file, env, directory, "--config")
    if not all(document.root.keys() <= {"default_profile"} for document in documents):
        return None
    if not all(isinstance(value, str) for document in documents for value in document.root.values()):
        return None
    if not _trusts(documents, env):
        return None
    layers = Layers(documents, read_environment(env, directory), home_directory(env) or "")
    choices = layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    raw = layers.raw(choices[0][0]) if choices else None
    if raw is None or (raw.document is not None and refusal(raw.document) is not None):
        return None
    profile = _plain_profile(raw)
    return None if profile is None else PlainResolved(profile, raw, bool(unread))


def _trusts(documents: tuple[Document, ...], env: Mapping[str, str]) -> bool:
    """Whether every file in force has full trust: of another, much of what it says depends on what it is."""
    projects = [document for document in documents if document.role == "project"]
    if not projects:
        return True
    from ..config.trust import TrustStore

    store = TrustStore.load(env)
    return store.fault is None and all(map(store.trusts, projects))


_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}")
_PATH = re.compile(r"/[A-Za-z0-9_./@+=,-]{1,1000}")
_TOKEN = re.compile(r"[A-Za-z0-9_.:@+=,/!?#~-]{1,8000}")
_LONGEST_TIME = 3600


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_token(value: Any) -> bool:
    return isinstance(value, SecretText) and _TOKEN.fullmatch(value.reveal()) is not None


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= _LONGEST_TIME


# The fields that are understood here, and what in them is so plain that every validation lets it through.
_SECRET_FORMS = {("env",): _matches(re.compile("[A-Za-z_][A-Za-z0-9_]*")), ("file",): _matches(_PATH), (): _is_token}
_PLAIN: Mapping[tuple[str, ...], Callable[[Any], bool]] = {
    ("description",): _matches(re.compile(r"[ -~]*")),
    ("uri",): _matches(re.compile(r"[A-Za-z0-9_.:/@\[\]-]+")),
    ("host",): _matches(re.compile(r"[a-z0-9][a-z0-9.-]{0,200}")),
    ("port",): lambda value: isinstance(value, int) and 0 < value < 65536 and not isinstance(value, bool),
    ("user",): _matches(_WORD),
    ("db_name",): _matches(_WORD),
    ("ssl",): lambda value: value is True,
    ("ssl", "ca"): _matches(_PATH),
    ("ssl", "cert"): _matches(_PATH),
    ("ssl", "key"): _matches(_PATH),
    ("ssl", "server_name"): _matches(re.compile(r"[a-z0-9][a-z0-9.-]{0,200}")),
    ("timeout",): _is_number,
    ("allow_insecure",): _is_boolean,
    ("protected",): _is_boolean,
    ("extends",): _matches(_WORD),
    **{(name, *form): test for name in ("token", "password") for form, test in _SECRET_FORMS.items()},
}


def _plain_profile(raw: RawProfile) -> PlainProfile | None:
    """The profile that validation would make of it; None where that is not plain."""
    if not all(path in _PLAIN and _PLAIN[path](value.value) for path, value in raw.values.items()):
        return None
    given = {path: value.value for path, value in raw.values.items()}
    uri, host, port, user = (given.get((name,)) for name in ("uri", "host", "port", "user"))
    secrets = [path for path in given if path[0] in ("token", "password")]
    if (uri is None) == (host is None) or (uri is not None and port is not None) or len(secrets) > 1:
        return None
    if (user is not None and not secrets) or (user is None and secrets and secrets[0][0] == "password"):
        return None  # the keyring's, or a fault
    address = parse_address(uri or f"{host}:{port or DEFAULT_PORT}")
    database = given.get(("db_name",))
    ssl = TLS(*(given.get(("ssl", name)) for name in ("ca", "cert", "key", "server_name")))
    has_ssl = any(path[0] == "ssl" for path in given)
    if address.kind != "tcp" or (ssl.cert is None) != (ssl.key is None):
        return None
    if None not in (database, address.database) and database != address.database:
        return None
    endpoint = address.endpoint(True if has_ssl else None)
    return PlainProfile(
        raw.alias,
        uri,
        address,
        endpoint,
        ssl if endpoint.tls else None,
        user,
        address.database or database,
        secrets[0] if secrets else None,
        given.get(("allow_insecure",), False),
        given.get(("timeout",), _DEFAULT_TIMEOUT),
    )


def token_of(resolved: PlainResolved, env: Mapping[str, str]) -> SecretText | None:
    """The token of a profile of plain values; any exception where it is not to be had in a plain way."""
    profile = resolved.profile
    if (path := profile.credential) is None:
        return None
    value = resolved.raw.values[path].value
    if path[1:] == ("file",):
        from ..secrets.file import read_file

        if not os.path.isfile(value):  # a pipe gives what it holds once
            raise ValueError
        secret, _ = read_file(value, 0.0)
    else:
        secret = line_of(value if path[1:] == () else SecretText(env[value]))
        if secret_fault(secret) is not None:
            raise ValueError
    return make_token(profile.user if path[0] == "password" else None, secret)
