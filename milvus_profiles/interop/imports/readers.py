"""The files, lists of addresses and variables of other tools, each read into what ``found`` knows.

The Milvus CLI (1.2.1, ``history.py``) keeps an object of connections in JSON; the Zilliz CLI keeps INI: an API key in
``credentials``, and in ``config`` beside it the endpoint and the database of the cluster that was chosen.  Names of
variables differ from tool to tool.  Attu (``AuthForm.tsx``) reads addresses with a database after a slash from
``MILVUS_SERVERS``, separated by commas.
"""

from __future__ import annotations

import configparser
import io
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...config.aliases import is_service_link
from ...masked import MaskedMapping
from .found import LIMIT, Entry, ImportedProfiles, Unusable, check_blanks, entry_of, found_of, parsed, read_source

if TYPE_CHECKING:
    from dotenv.parser import Binding

_KEY_NAMES = ("api_key", "token")


# --- the Milvus CLI --------------------------------------------------------------------------------------------------


def milvus_cli(content: bytes, path: str) -> ImportedProfiles:
    """``~/.milvus_cli_connections.json``."""
    results: list[Entry | Unusable] = []
    connections = parsed(content, path, _object, "is not the JSON object that the Milvus CLI writes")
    for number, (name, connection) in enumerate(connections.items(), 1):
        origin = f"connection {number}"
        if not isinstance(connection, dict) or not isinstance(connection.get("uri"), str):
            results.append(Unusable(origin, "it has no uri"))
            continue
        wrong = [key for key in ("token", "cert") if not isinstance(connection.get(key), (str, type(None)))]
        if wrong:
            results.append(Unusable(origin, f"its {wrong[0]} is no text"))
            continue
        if connection.get("tlsmode") == 2:
            # It says so itself when it is asked to connect; the certificate's key is not kept.
            results.append(Unusable(origin, "mutual TLS, of which the Milvus CLI keeps no key"))
            continue
        ssl: dict[str, str] | bool | None = True if connection.get("tlsmode") == 1 else None
        if ssl and connection.get("cert"):
            ssl = {"ca": connection["cert"].strip()}
        # Without a name of its own a connection is called by its address.
        uri = connection["uri"]
        named = "" if name == uri else name
        token = (connection.get("token") or "").strip()
        results.append(entry_of(named, uri, origin=origin, key=name, token=token, ssl=ssl))
    return found_of(results, path, content)


def _object(text: str) -> dict[str, Any]:
    if not isinstance(data := json.loads(text), dict):
        raise ValueError
    return data


def without_connections(content: bytes, keys: Collection[str]) -> bytes | None:
    data = json.loads(content.decode("utf-8-sig"))
    left = {name: value for name, value in data.items() if name not in keys}
    return (json.dumps(left, indent=2) + "\n").encode() if left else None


# --- the Zilliz CLI --------------------------------------------------------------------------------------------------


def zilliz(content: bytes, path: str) -> ImportedProfiles:
    """``~/.zilliz/credentials``, with the ``config`` beside it."""
    credentials = _ini(content, path)
    config_path = os.path.join(os.path.dirname(path), "config")
    contexts = _ini(read_source(config_path), config_path) if os.path.exists(config_path) else _parser()
    # The chosen cluster stands in a section of the same name, or in the first one that has an endpoint.
    chosen = next((contexts[name] for name in contexts.sections() if contexts[name].get("endpoint")), None)
    results: list[Entry | Unusable] = []
    for section in credentials.sections():
        key = next((credentials[section][name] for name in _KEY_NAMES if credentials[section].get(name)), None)
        origin = f"[{section}]"
        if key is None:
            continue
        place = contexts[section] if section in contexts and contexts[section].get("endpoint") else chosen
        if place is None:
            results.append(Unusable(origin, "no cluster is chosen, so its key has no address (`zilliz context set`)"))
            continue
        endpoint = place["endpoint"]
        uri = endpoint if "://" in endpoint else f"https://{endpoint}"
        name = "zilliz" if section.lower() == "default" else section
        results.append(
            entry_of(name, uri, origin=origin, key=section, token=key, db_name=place.get("database") or None)
        )
    return found_of(results, path, content)


def without_credentials(content: bytes, keys: Collection[str]) -> bytes | None:
    lines, section, left = [], None, False
    for line in content.decode("utf-8-sig").splitlines(keepends=True):
        stripped = line.strip()
        if stripped.startswith("[") and stripped.endswith("]"):
            section = stripped[1:-1]
        name = stripped.partition("=")[0].partition(":")[0].strip().lower()
        if section in keys and name in _KEY_NAMES:
            continue
        lines.append(line)
        left |= bool(stripped) and not stripped.startswith(("[", "#", ";"))
    return "".join(lines).encode() if left else None


def _parser() -> configparser.RawConfigParser:
    # Raw: a % in a key is a %.
    return configparser.RawConfigParser(strict=False, default_section="\0")


def _ini(content: bytes, path: str) -> configparser.RawConfigParser:
    def parse(text: str) -> configparser.RawConfigParser:
        check_blanks(text, path)
        parser = _parser()
        parser.read_string(text)
        return parser

    return parsed(content, path, parse, "is not an INI file as the Zilliz CLI writes it")


# --- addresses -------------------------------------------------------------------------------------------------------


def uris(content: bytes, path: str) -> ImportedProfiles:
    """One address a line, as pymilvus takes it: with a user and a password in it."""
    lines = parsed(content, path, str.splitlines, "is not UTF-8")
    results = (
        entry_of("", line.strip(), origin=f"line {number}", key=str(number))
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    )
    return found_of(results, path, content)


def without_uris(content: bytes, keys: Collection[str]) -> bytes | None:
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    left = [line for number, line in enumerate(lines, 1) if str(number) not in keys]
    return "".join(left).encode() if any(line.strip() for line in left) else None


# --- variables, from the environment or from a .env file --------------------------------------------------------------

_ADDRESSES = ("MILVUS_URI", "MILVUS_ADDRESS", "MILVUS_URL", "ZILLIZ_URI")
_TOKENS = ("MILVUS_TOKEN", "MILVUS_API_KEY", "ZILLIZ_TOKEN", "ZILLIZ_API_KEY")
_USERS = ("MILVUS_USER", "MILVUS_USERNAME")
_DATABASES = ("MILVUS_DB", "MILVUS_DB_NAME", "MILVUS_DATABASE")
_SECURE = ("MILVUS_SECURE", "MILVUS_SSL", "MILVUS_USE_SECURE")
_OTHERS = ("MILVUS_HOST", "MILVUS_PORT", "MILVUS_CONN_ALIAS", "MILVUS_ALLOW_INSECURE")
_TRUE = ("1", "true", "yes", "on")
_SECRETS = (*_TOKENS, "MILVUS_PASSWORD")
_READ = frozenset((*_ADDRESSES, *_USERS, *_DATABASES, *_SECRETS, *_SECURE, *_OTHERS))
# As python-dotenv has it: ${NAME} and ${NAME:-DEFAULT}.
_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")
_REFERENCES = re.compile(r"(?:\$\{[^}:]*\})+")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


def from_env(env: Mapping[str, str]) -> ImportedProfiles:
    return found_of([_connection(env, "the environment")])


def from_dotenv(content: bytes, path: str) -> ImportedProfiles:
    return found_of([_connection(_dotenv(content, path), "the file")], path, content)


def attu_env(env: Mapping[str, str]) -> ImportedProfiles:
    return found_of(_servers(env))


def attu_dotenv(content: bytes, path: str) -> ImportedProfiles:
    """Attu's list of servers, from the .env file that its container is given."""
    return found_of(_servers(_dotenv(content, path)), path, content)


def without_secrets(content: bytes, keys: Collection[str]) -> bytes | None:
    """A .env file without the lines that hold the secrets of its connection."""

    def holds(binding: Binding) -> bool:
        value = binding.value or ""
        if binding.key in _ADDRESSES and "@" in value:
            value = value.rpartition("@")[0].rpartition(":")[2]
        elif binding.key not in _SECRETS:
            return False
        # What only refers to others is no secret, and whoever reads the file needs it.
        return _REFERENCES.fullmatch(value) is None

    left = [binding.original.string for binding in _bindings(content, "") if not (keys and holds(binding))]
    return "".join(left).encode() if any(line.strip() for line in left) else None


def staying(content: bytes) -> list[str]:
    """The variables of a .env file that its connection's secret refers to: they stay, for they may be of other use."""
    found: dict[str, None] = {}
    for binding in _bindings(content, ""):
        if binding.key in (*_SECRETS, *_ADDRESSES):
            found |= dict.fromkeys(match[1] for match in _REFERENCE.finditer(binding.value or ""))
    return [name for name in found if _NAME.fullmatch(name)]


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)


def _connection(env: Mapping[str, str], place: str) -> Entry | Unusable:
    env = MaskedMapping({name: value for name, value in env.items() if not is_service_link(name, value)})
    if unresolved := next(((n, v) for n, v in env.items() if n in _READ and isinstance(v, _Unresolved)), None):
        return Unusable(place, " ".join(unresolved))
    uri = _first(env, _ADDRESSES)
    if uri is None and env.get("MILVUS_HOST"):
        host = env["MILVUS_HOST"]
        uri = f"{host}:{env['MILVUS_PORT']}" if env.get("MILVUS_PORT") else host
    if uri is None:
        return Unusable(place, f"it has none of {', '.join((*_ADDRESSES, 'MILVUS_HOST'))}")
    secure = (_first(env, _SECURE) or "").lower() in _TRUE
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
    if isinstance(text, _Unresolved):
        yield Unusable("the variables", f"MILVUS_SERVERS {text}")
        return
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


class _Unresolved(str):
    """In the place of a value that cannot be had: why, as the end of a sentence."""

    __slots__ = ()


def _dotenv(content: bytes, path: str) -> dict[str, str]:
    """The variables of a .env file, expanded as python-dotenv does it, but from the file alone.

    Not from the environment: a repository's file could put any secret of it into a token for its own server.
    """
    values: dict[str, str] = {}
    for binding in _bindings(content, path):
        if binding.key is not None:
            values[binding.key] = _expanded(binding.value or "", values)
    return values


def _expanded(text: str, values: Mapping[str, str]) -> str:
    parts: list[str] = []
    size = end = 0
    for match in _REFERENCE.finditer(text):
        name, default = match[1], match[2]
        value = values.get(name, default)
        if value is None or isinstance(value, _Unresolved):
            # A name may be a part of a password that nobody meant to be expanded.
            shown = f"${{{name}}}" if _NAME.fullmatch(name) else "a variable"
            return value or _Unresolved(f"refers to {shown}, which the file does not set")
        parts += (text[end : match.start()], value)
        end = match.end()
        size += len(value)
        if size > LIMIT:
            return _Unresolved("is too long")
    return "".join((*parts, text[end:]))


def _bindings(content: bytes, path: str) -> list[Binding]:
    """The lines of a .env file, as python-dotenv takes them apart; what it would expand stays as it is."""
    from dotenv.parser import parse_stream

    def parse(text: str) -> list[Binding]:
        check_blanks(text, path)
        return list(parse_stream(io.StringIO(text)))

    return parsed(content, path, parse, "is not UTF-8")
