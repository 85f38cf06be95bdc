"""What ``list`` shows of profiles, without pydantic where every one of them is plain.

Each row is made by the command, of the same fields; here is only what validation would have made of plain values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..alias import is_alias
from ..config.locations import current_directory, named, named_file
from ..config.permissions import file_warnings
from ..config.plain_values import address_of, are_plain, endpoint_of
from ..config.values import RawProfile
from ..endpoint import Endpoint
from ..files.given import is_given
from ..live.liveness import PlainLayers, plain_layers

__all__ = ["Glanced", "Glimpse", "glance"]

_SECRETS = ("token", "password")


@dataclass(frozen=True)
class Glimpse:
    """A profile of plain values, as far as a list shows it; the names are those of the model."""

    description: str | None
    db_name: str | None
    auth: str
    is_template: bool
    endpoint: Endpoint


@dataclass(frozen=True)
class Glanced:
    """All profiles, in the order of the layers, and which one is selected."""

    selected: str | None
    profiles: list[tuple[str, RawProfile, Glimpse]]


def glance(file: str | None, alias: str | None, env: Mapping[str, str]) -> Glanced | None:
    """Look at every profile in force; None, or any exception, where that is for the machinery.

    Args:
        file: what ``--config`` names.
        alias: what ``--profile`` names.
        env: the environment.
    """
    if (text := named(file, env)) and is_given(named_file(text, env, current_directory())):
        return None  # it can be read once
    found = plain_layers(file, env)
    if found is None or found.unread or file_warnings(found.documents):
        return None
    profiles = [*_glimpses(found)]
    if not profiles or None in profiles:
        return None
    choices = found.layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    selected = found.layers.find(choices[0][0]) if choices else None
    if choices and selected is None:
        return None  # something names one that there is not
    if alias is not None and env.get("MILVUS_PROFILE"):
        return None  # which may be one to warn of
    return Glanced(selected, [one for one in profiles if one is not None])


def _glimpses(found: PlainLayers) -> Iterator[tuple[str, RawProfile, Glimpse] | None]:
    for alias in found.layers.aliases.values():
        raw = found.layers.raw(alias)
        glimpse = None if raw is None else _glimpse(raw)
        yield None if raw is None or glimpse is None else (alias, raw, glimpse)
        if glimpse is None:
            return


def _glimpse(raw: RawProfile) -> Glimpse | None:
    keyring = {path for path in raw.values if path[0] in _SECRETS and path[1:] == ("keyring",)}
    if not all(raw.values[path].value is True for path in keyring) or not is_alias(raw.alias):
        return None
    given = {path: value.value for path, value in raw.values.items()}
    if not are_plain({path: value for path, value in given.items() if path not in keyring}):
        return None
    if any(path[0] == "ssl" and path[1:] not in ((), ("server_name",)) for path in given):
        return None  # files, which are looked at
    uri, host, port, user = (given.get((name,)) for name in ("uri", "host", "port", "user"))
    secrets = [path for path in given if path[0] in _SECRETS]
    if len(secrets) > 1 or (uri is not None and host is not None) or (host is None and port is not None):
        return None
    if user is None and secrets and secrets[0][0] == "password":
        return None
    auth = "none" if user is None else "keyring"
    if secrets:
        auth = secrets[0][1] if secrets[0][1:] else "inline"
    description, database = given.get(("description",)), given.get(("db_name",))
    if uri is None and host is None:
        return Glimpse(description, database, auth, True, Endpoint("tcp"))
    if (address := address_of(given)) is None:
        return None
    has_ssl = any(path[0] == "ssl" for path in given)
    if address.kind == "unix" or None not in (database, address.database) or (address.kind == "lite" and has_ssl):
        return None
    if address.kind == "lite":
        auth = "none"
    return Glimpse(description, address.database or database, auth, False, endpoint_of(address, given))
