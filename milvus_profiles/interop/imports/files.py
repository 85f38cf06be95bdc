"""The files of the Milvus CLI and of the Zilliz CLI, and lists of addresses.

The Milvus CLI (1.2.1, ``history.py``) keeps an object of connections in JSON; the Zilliz CLI keeps INI: an API key in
``credentials``, and in ``config`` beside it the endpoint and the database of the cluster that was chosen.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Collection
from typing import Any

from .found import Entry, ImportedProfiles, Unusable, check_blanks, entry_of, found_of, parsed, read_source

__all__ = ["milvus_cli", "uris", "without_connections", "without_credentials", "without_uris", "zilliz"]

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
    """The file of the Milvus CLI without some connections."""
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
    """The credentials of the Zilliz CLI without the keys of some sections."""
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
    """A list of addresses without some lines."""
    lines = content.decode("utf-8-sig").splitlines(keepends=True)
    left = [line for number, line in enumerate(lines, 1) if str(number) not in keys]
    return "".join(left).encode() if any(line.strip() for line in left) else None
