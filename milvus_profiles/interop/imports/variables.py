"""Variables that tools in the field read, from the environment or from a .env file.

Names differ from tool to tool: the address is ``MILVUS_URI``, ``MILVUS_ADDRESS``, ``MILVUS_URL``, or a host and a port.
Attu (``AuthForm.tsx``) reads addresses with a database after a slash from ``MILVUS_SERVERS``, separated by commas.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from ...config.service_links import is_service_link
from .found import Entry, ImportedProfiles, Unusable, check_blanks, entry_of, found_of, parsed

if TYPE_CHECKING:
    from dotenv.parser import Binding

__all__ = ["attu_dotenv", "attu_env", "from_dotenv", "from_env", "without"]

_ADDRESSES = ("MILVUS_URI", "MILVUS_ADDRESS", "MILVUS_URL", "ZILLIZ_URI")
_TOKENS = ("MILVUS_TOKEN", "MILVUS_API_KEY", "ZILLIZ_TOKEN", "ZILLIZ_API_KEY")
_USERS = ("MILVUS_USER", "MILVUS_USERNAME")
_DATABASES = ("MILVUS_DB", "MILVUS_DB_NAME", "MILVUS_DATABASE")
_TRUE = ("1", "true", "yes", "on")
_SECRETS = (*_TOKENS, "MILVUS_PASSWORD")


def from_env(env: Mapping[str, str]) -> ImportedProfiles:
    """The one connection that the environment declares."""
    return found_of([_connection(env, "the environment")])


def from_dotenv(content: bytes, path: str) -> ImportedProfiles:
    """The one connection that a .env file declares; nothing in it is expanded."""
    return found_of([_connection(_dotenv(content, path), "the file")], path, content)


def attu_env(env: Mapping[str, str]) -> ImportedProfiles:
    """Attu's list of servers."""
    return found_of(_servers(env))


def attu_dotenv(content: bytes, path: str) -> ImportedProfiles:
    """Attu's list of servers, from the .env file that its container is given."""
    return found_of(_servers(_dotenv(content, path)), path, content)


def without(content: bytes, keys: Collection[str]) -> bytes | None:
    """A .env file without the lines that hold the secrets of its connection."""

    def holds(binding: Binding) -> bool:
        in_address = binding.key in _ADDRESSES and "@" in (binding.value or "")
        return binding.key in _SECRETS or in_address

    left = [binding.original.string for binding in _bindings(content, "") if not (keys and holds(binding))]
    return "".join(left).encode() if any(line.strip() for line in left) else None


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)


def _connection(env: Mapping[str, str], place: str) -> Entry | Unusable:
    env = {name: value for name, value in env.items() if not is_service_link(name, value)}
    uri = _first(env, _ADDRESSES)
    if uri is None and env.get("MILVUS_HOST"):
        host = env["MILVUS_HOST"]
        uri = f"{host}:{env['MILVUS_PORT']}" if env.get("MILVUS_PORT") else host
    if uri is None:
        return Unusable(place, f"it has none of {', '.join((*_ADDRESSES, 'MILVUS_HOST'))}")
    secure = (_first(env, ("MILVUS_SECURE", "MILVUS_SSL", "MILVUS_USE_SECURE")) or "").lower() in _TRUE
    return entry_of(
        env.get("MILVUS_CONN_ALIAS") or "",
        uri,
        origin=place,
        key="env",
        token=_first(env, _TOKENS),
        user=_first(env, _USERS),
        password=env.get("MILVUS_PASSWORD"),
        db_name=_first(env, _DATABASES),
        ssl=True if secure and not uri.lower().startswith("https://") else None,
        allow_insecure=(env.get("MILVUS_ALLOW_INSECURE") or "").lower() in _TRUE,
    )


def _servers(env: Mapping[str, str]) -> Iterator[Entry | Unusable]:
    text = env.get("MILVUS_SERVERS") or env.get("MILVUS_URL") or ""
    if not text.replace(",", " ").strip():
        yield Unusable("the variables", "neither MILVUS_SERVERS nor MILVUS_URL is set")
    for number, server in enumerate(text.split(","), 1):
        if not server.strip():
            continue
        yield entry_of(
            "",
            server.strip(),
            origin=f"server {number}",
            key=str(number),
            db_name=None if "/" in server.rpartition("://")[2] else env.get("MILVUS_DATABASE"),
        )


def _dotenv(content: bytes, path: str) -> dict[str, str]:
    return {binding.key: binding.value or "" for binding in _bindings(content, path) if binding.key is not None}


def _bindings(content: bytes, path: str) -> list[Binding]:
    """The lines of a .env file, as python-dotenv takes them apart; what it would expand stays as it is."""
    from dotenv.parser import parse_stream

    def parse(text: str) -> list[Binding]:
        check_blanks(text, path)
        return list(parse_stream(io.StringIO(text)))

    return parsed(content, path, parse, "is not UTF-8")
