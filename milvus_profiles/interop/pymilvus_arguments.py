"""The arguments of pymilvus's ``connections`` as fields of a profile.

What pymilvus ignores in silence is an error here (a misspelled name) or is obeyed (a CA without ``secure``, a client
certificate beside ``server_pem_path``): nobody gives a certificate in order to connect without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config.fields import FIELDS
from ..errors import ParamError
from ..live.request import CallFields
from ..masked import SecretText
from ..spelling import suggest

__all__ = ["CREDENTIALS", "DEFAULT_HOST", "hidden", "profile_fields"]

DEFAULT_HOST = "localhost"
"""pymilvus's host where only a port is given."""

CREDENTIALS = ("user", "password", "token")

# One shared channel for each alias does what each of them promised.
_POOLS = ("QueuePool", "SingletonThread", "Singleton")
_TLS = ("server_pem_path", "ca_pem_path", "client_pem_path", "client_key_path", "server_name")
_ADDRESS = ("address", "uri", "host", "port")
_NAMES = frozenset({*_ADDRESS, *CREDENTIALS, *_TLS, "db_name", "secure", "timeout", "handler", "pool", "keep_alive"})
_TAKEN = _NAMES.union(FIELDS)


def profile_fields(arguments: CallFields) -> CallFields:
    """The fields of a profile that pymilvus's arguments stand for; errors are those of ``connect``."""
    for name in arguments:
        if name not in _TAKEN:
            near = suggest(name, _TAKEN)
            raise ParamError(f"unknown argument {name!a}", hint=f"did you mean {near!r}?" if near else None)
    given = CallFields({name: value for name, value in arguments.items() if value is not None and value != ""})
    _check_manner(given.pop("handler", "GRPC"), given.pop("pool", None))
    given.pop("keep_alive", None)
    fields = CallFields({name: value for name, value in given.items() if name not in _NAMES})
    for name in ("address", "uri", "host", "user", "db_name", *_TLS):
        if name in given and not isinstance(given[name], str):
            raise ParamError(f"{name} must be text, not {type(given[name]).__name__}")
    _put_address(given, fields)
    _put_tls(given, fields)
    _put_credentials(given, fields)
    fields.update({name: given[name] for name in ("db_name", "timeout") if name in given})
    return fields


def _check_manner(handler: Any, pool: Any) -> None:
    if handler != "GRPC":
        raise NotImplementedError(f"the handler {str(handler)[:32]!a} does not exist: Milvus is reached by GRPC")
    if pool is not None and pool not in _POOLS:
        raise ParamError(
            f"the pool {str(pool)[:32]!a} is not supported", hint=f"leave it out, or take one of {', '.join(_POOLS)}"
        )


def _put_address(given: CallFields, fields: CallFields) -> None:
    if "address" in given or "uri" in given:
        fields["uri"] = given.get("address", given.get("uri"))
    elif "host" in given or "port" in given:
        fields["host"] = given.get("host", DEFAULT_HOST)
        if "port" in given:
            fields["port"] = _port(given["port"])


def _port(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
        return int(value)
    raise ParamError("port must be a number from 1 to 65535")


def _put_tls(given: CallFields, fields: CallFields) -> None:
    secure = given.get("secure", False)
    if not isinstance(secure, bool):
        raise ParamError(f"secure must be True or False, not {type(secure).__name__}")
    files = {
        "ca": given.get("server_pem_path", given.get("ca_pem_path")),
        "cert": given.get("client_pem_path"),
        "key": given.get("client_key_path"),
        "server_name": given.get("server_name"),
    }
    table = {name: value for name, value in files.items() if value is not None}
    # secure=False is pymilvus's default, which https:// and certificates beat.
    if table or secure:
        fields["ssl"] = table or True


def _put_credentials(given: CallFields, fields: CallFields) -> None:
    if "token" in given:
        fields["token"] = given["token"]
    else:
        fields.update({name: given[name] for name in ("user", "password") if name in given})


def hidden(value: Any) -> Any:
    """A secret as SecretText; as it is where there is none."""
    if value is None or value == "" or isinstance(value, (SecretText, Mapping)):
        return value
    return SecretText(str(value))
