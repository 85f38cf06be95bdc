"""One profile, put together: where it comes from, and what connecting may ask of it without the models.

What is so plain that every validation lets it through is read here, for connecting, and for what has to begin before
pydantic is imported; the rest is for the models to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..connectable import Connectable, KeyringSource, PlainEnv, PlainFile, PlainProfile, PlainTLS, address_of
from ..endpoint import Address, AddressError, Endpoint, parse_host
from ..errors import InsecureTransportError
from ..files.paths import absolute_path
from ..files.regular_file import PEM_LIMIT, FileFault, is_pem, read_regular
from ..masked import SecretText
from ..names import is_alias
from .fields import ADDRESS_FIELDS, SECRET_FIELDS
from .layers import standing_of
from .values import FieldPath, Layer, Origin, RawProfile

if TYPE_CHECKING:
    from ..profile import Profile
    from .invalid import Findings


def sends_plaintext(profile: Connectable) -> bool:
    """Whether a secret of the profile would cross a network in plaintext.

    A proxy takes the bytes off this machine, whatever the address says.
    """
    endpoint = profile.endpoint
    stays = endpoint.is_loopback and (profile.proxy is None or endpoint.kind != "tcp")
    return profile.credential is not None and not endpoint.tls and not stays


def check_plaintext(resolved: Resolved) -> str | None:
    """Refuse a secret over plaintext; a warning where it was chosen deliberately, None where nothing is to be said."""
    profile, raw = resolved.connectable, resolved.raw
    if not sends_plaintext(profile):
        return None
    where = f"{profile.endpoint.authority}" + (f" through the proxy {profile.proxy}" if profile.proxy else "")
    warning = f"the secret of {profile.alias!r} is sent to {where} unencrypted"
    # Only layers of full trust can set the field: it is gated in an untrusted project file.
    if profile.allow_insecure:
        return warning
    secret, address = _layers_of(SECRET_FIELDS, raw), _layers_of(ADDRESS_FIELDS, raw)
    deliberate = profile.uri is None or profile.address.cleartext_spelled
    if deliberate and secret == address and secret in ({"call"}, {"environment"}):
        return warning
    raise InsecureTransportError(
        f"the secret of {profile.alias!r} would be sent to {where} unencrypted",
        hint="use https:// (or ssl = true); if the network is trusted: "
        + standing_of(raw).change(profile.alias, "allow_insecure=true"),
        location=resolved.origin_of("uri" if ("uri",) in raw.values else "host").location(),
    )


def _layers_of(names: Sequence[str], raw: RawProfile) -> set[Layer]:
    return {value.origin.layer for path, value in raw.values.items() if path[0] in names and path[1:2] != ("keyring",)}


_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}")
_PATH = re.compile(r"/[A-Za-z0-9_./@+=,-]{1,1000}")
_TOKEN = re.compile(r"[A-Za-z0-9_.:@+=,/!?#~-]{1,8000}")
_HOST = re.compile(r"[a-z0-9][a-z0-9.-]{0,200}")
_LONGEST_TIME = 3600


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and pattern.fullmatch(value) is not None


def _is_token(value: Any) -> bool:
    return type(value) is SecretText and _TOKEN.fullmatch(value.reveal()) is not None


def _is_path(value: Any) -> bool:
    return type(value) is str and _PATH.fullmatch(value) is not None and absolute_path(value, base="/") == value


def _is_boolean(value: Any) -> bool:
    return type(value) is bool


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= _LONGEST_TIME


def _is_port(value: Any) -> bool:
    return type(value) is int and 0 < value < 65536


def _is_host(value: Any) -> bool:
    return type(value) is str and _HOST.fullmatch(value) is not None and parse_host(value) == value


# The fields that are understood here, and what in them is so plain that every validation lets it through.
_SECRET_FORMS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    "keyring": (lambda value: value is True, lambda _: KeyringSource()),
    "env": (_matches(re.compile("[A-Za-z_][A-Za-z0-9_]{0,200}")), PlainEnv),
    "file": (_is_path, PlainFile),
}
_PLAIN: Mapping[tuple[str, ...], Callable[[Any], bool]] = {
    ("description",): _matches(re.compile(r"[ -~]{0,1000}")),
    ("uri",): _matches(re.compile(r"[A-Za-z0-9_.:/@\[\]-]{1,1000}")),
    ("host",): _is_host,
    ("port",): _is_port,
    ("user",): _matches(_WORD),
    ("db_name",): _matches(_WORD),
    ("ssl",): lambda value: value is True,
    ("ssl", "ca"): _is_path,
    ("ssl", "cert"): _is_path,
    ("ssl", "key"): _is_path,
    ("ssl", "server_name"): _is_host,
    ("timeout",): _is_time,
    ("call_timeout",): _is_time,
    ("management_port",): _is_port,
    ("allow_insecure",): _is_boolean,
    ("protected",): _is_boolean,
    ("extends",): _matches(_WORD),
    **{(name,): _is_token for name in SECRET_FIELDS},
    **{(name, form): test for name in SECRET_FIELDS for form, (test, _) in _SECRET_FORMS.items()},
}


# What a call may say of a field that it does not set.
_OPTIONAL = ("description", "uri", "host", "port", "user", "password", "token", "db_name", "ssl", "call_timeout")


def plain_profile(raw: RawProfile, *, check_files: bool = True) -> PlainProfile | None:
    """The profile that validation would make of plain values; None where one is not, or two contradict each other."""
    given = {path: v.value for path, v in raw.values.items() if v.value is not None or path[0] not in _OPTIONAL}
    standing = standing_of(raw)

    def validate() -> Profile:
        from .invalid import Findings, refuse, validate

        # The files were looked at when it was read, and may be others by now.
        found = validate(raw, check_files=False)
        return (refuse(found, standing) if isinstance(found, Findings) else found).placed(standing)

    if not is_alias(raw.alias) or (fields := _plain_fields(given)) is None:
        return None
    if check_files and not all(map(_is_pem_file, (given.get(("ssl", name)) for name in ("ca", "cert", "key")))):
        return None
    values, address = fields
    return PlainProfile({"alias": raw.alias, **values}, address, standing, validate)


def _plain_fields(given: Mapping[FieldPath, Any]) -> tuple[dict[str, Any], Address | None] | None:
    """The fields in the form that the models give them, and the address; None where that is for the models to judge."""
    try:
        if not all(path in _PLAIN and _PLAIN[path](value) for path, value in given.items()):
            return None
        uri, host, port, user = (given.get((name,)) for name in ("uri", "host", "port", "user"))
        if uri is not None and (host is not None or port is not None):
            return None
        address = address_of(uri, host, port)
    except AddressError:
        return None
    values = {path[0]: value for path, value in given.items() if len(path) == 1}
    for name in ("timeout", "call_timeout"):
        if name in values:
            values[name] = float(values[name])
    secrets = [path for path in given if path[0] in SECRET_FIELDS]
    if len(secrets) > 1 or (user is None and secrets and secrets[0][0] == "password"):
        return None
    for name, *form in secrets:
        values[name] = _SECRET_FORMS[form[0]][1](given[name, form[0]]) if form else given[name,]
    ssl = {path[1]: value for path, value in given.items() if path[0] == "ssl" and path[1:]}
    if ssl:
        if "ssl" in values or ("cert" in ssl) != ("key" in ssl):
            return None
        values["ssl"] = PlainTLS(**ssl)
    if address is not None:
        if address.kind == "lite" and "ssl" in values:
            return None
        if address.database is not None and values.setdefault("db_name", address.database) != address.database:
            return None
    return values, address


def _is_pem_file(path: str | None) -> bool:
    try:
        return path is None or is_pem(read_regular(path, PEM_LIMIT).content)
    except FileFault:
        return False


def plain_endpoint(raw: RawProfile) -> tuple[Endpoint, float] | None:
    """Where a profile leads, wherever its secret is, and the seconds that it allows for it; None where not plain.

    So it is where it is open whether the profile may be used: a project's with more than addresses in it, which may
    need trust, and a secret that would go in plaintext.
    """
    secrets = {path for path in raw.values if path[0] in SECRET_FIELDS}
    others = {path: value for path, value in raw.values.items() if path not in secrets}
    profile = plain_profile(replace(raw, values=others), check_files=False)
    if profile is None or profile.is_template or profile.address.kind != "tcp":
        return None
    is_project = any(value.origin.layer == "project" for value in raw.values.values())
    if is_project and any(path[1:] not in ((), ("keyring",)) for path in raw.values):
        return None  # names a file, a variable or a program
    has_secret = bool(secrets) or profile.user is not None
    if is_project and has_secret:
        return None  # nobody is spoken to for whom the keyring has no secret
    endpoint = profile.endpoint
    if has_secret and not endpoint.tls and not endpoint.is_loopback:
        return None
    return endpoint, profile.timeout


ProfileCache = dict[str, tuple["RawProfile", "Connectable | None"]]
"""Folded alias to a profile's fields, and the profile itself unless that depends on more than files and variables."""

Examined = tuple[str, "RawProfile | None", "Profile | Findings"]
"""An alias, its fields, or None where they cannot be had, and the profile, or what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile with everything known about where it comes from.

    Attributes:
        raw: its fields with their origins, and what they overrode.
        trusted: False only for a profile of a project file that is not trusted.
    """

    connectable: Connectable
    raw: RawProfile = field(repr=False)
    trusted: bool

    @property
    def profile(self) -> Profile:
        validated: Profile = self.connectable.validated()
        return validated

    @property
    def origin(self) -> Origin:
        return self.raw.declared

    def origin_of(self, name: str) -> Origin:
        """The origin of a field, or the first of its table's; a default's where nobody set it."""
        for path, value in self.raw.values.items():
            if path[0] == name:
                return value.origin
        return Origin("default")
