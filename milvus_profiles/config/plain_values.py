"""Profiles of plain values, read without the models: what is so plain that every validation lets it through.

For what has to begin before pydantic is imported.  Whatever is not plain is for the machinery to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..endpoint import DEFAULT_PORT, Address, Endpoint, parse_address
from ..masked import SecretText
from .values import RawProfile

__all__ = ["DEFAULT_TIMEOUT", "address_of", "are_plain", "endpoint_of", "plain_endpoint"]

DEFAULT_TIMEOUT = 10.0
"""The model's."""
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


def are_plain(given: Mapping[tuple[str, ...], Any]) -> bool:
    """Whether every field is among those that are understood here, with a plain value."""
    return all(path in _PLAIN and _PLAIN[path](value) for path, value in given.items())


def address_of(given: Mapping[tuple[str, ...], Any]) -> Address | None:
    """The address that plain values make; None where they contradict each other."""
    uri, host, port = (given.get((name,)) for name in ("uri", "host", "port"))
    if (uri is None) == (host is None) or (uri is not None and port is not None):
        return None
    return parse_address(uri or f"{host}:{port or DEFAULT_PORT}")


def endpoint_of(address: Address, given: Mapping[tuple[str, ...], Any]) -> Endpoint:
    """The endpoint, with the TLS that plain values ask for."""
    return address.endpoint(True if any(path[0] == "ssl" for path in given) else None)


def plain_endpoint(raw: RawProfile) -> tuple[Endpoint, float] | None:
    """Where a profile leads, and the seconds that it allows for it, wherever its secret is.

    Returns:
        None where the address is not plain, or where it is open whether the profile may be used: a project's with more
        than addresses in it, which may need trust, and a secret that would go in plaintext.

    Raises:
        AddressError: the address is wrong.
    """
    secrets = {path for path in raw.values if path[0] in ("token", "password")}
    others = {path: value.value for path, value in raw.values.items() if path not in secrets}
    if not are_plain(others):
        return None
    is_project = any(value.origin.layer == "project" for value in raw.values.values())
    if is_project and any(path[1:] not in ((), ("keyring",)) for path in raw.values):
        return None  # names a file, a variable or a program
    if is_project and (secrets or ("user",) in others):
        return None  # nobody is spoken to for whom the keyring has no secret
    if (address := address_of(others)) is None or address.kind != "tcp":
        return None
    endpoint = endpoint_of(address, others)
    if (secrets or ("user",) in others) and not endpoint.tls and not endpoint.is_loopback:
        return None
    return endpoint, others.get(("timeout",), DEFAULT_TIMEOUT)
