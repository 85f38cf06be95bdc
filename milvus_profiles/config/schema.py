"""The JSON Schema of a milvus.toml, for editors that complete and check TOML (taplo, Even Better TOML)."""

from __future__ import annotations

import re
from typing import Any

from ..alias import ALIAS_LONGEST, ALIAS_PATTERN
from ..fieldtypes import MANY
from ..profile import POOL_WIDE, Profile
from .settings import MAX_CONNECTIONS

__all__ = ["file_schema"]


def file_schema() -> dict[str, Any]:
    """The schema of a whole file, draft 2020-12, made from the models that validate it."""
    profile = Profile.model_json_schema()
    definitions: dict[str, Any] = profile.pop("$defs")
    properties = profile["properties"]
    del properties["alias"]
    profile.pop("required", None)
    # `true` stands for the default policy; the model only ever holds a policy or false.
    properties["retry"] = {"anyOf": [{"$ref": "#/$defs/Retry"}, {"type": "boolean"}]}
    _say_what_models_check(profile, definitions)
    definitions["Profile"] = profile
    for name, model in definitions.items():
        _describe(model)
        model.pop("title", None)
        model["title"] = name
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "milvus.toml",
        "description": "Connection profiles for Milvus, read by milvus-profiles.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "default_profile": {"type": "string", "description": "Alias of the profile taken when none is named."},
            "max_connections": {"type": "integer", "minimum": 1, "maximum": MAX_CONNECTIONS},
            "keyring_backends": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Further keyring backends to allow, by dotted name; in the user's file only.",
            },
            "profiles": {
                "type": "object",
                "propertyNames": {"maxLength": ALIAS_LONGEST, "pattern": f"^{ALIAS_PATTERN}$"},
                "additionalProperties": {"$ref": "#/$defs/Profile"},
            },
        },
        "$defs": definitions,
    }


def _say_what_models_check(profile: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Add what pydantic derives from no type: the rules between fields, as far as one table shows them."""
    command = definitions["CommandRef"]["properties"]
    command["command"]["minItems"] = command["command"].pop("minLength", 1)
    command["command"]["maxItems"] = command["pass_env"]["maxItems"] = MANY
    for name in POOL_WIDE:
        del definitions["PoolSettings"]["properties"][name]
    definitions["SSL"]["dependentRequired"] = {"cert": ["key"], "key": ["cert"]}
    profile["properties"]["user"]["pattern"] = "^[^:]*$"  # beside what its type says
    https = {"properties": {"uri": {"pattern": "^[Hh][Tt][Tt][Pp][Ss]://"}, "ssl": {"const": False}}}
    # No `allOf`: taplo completes no key of a table that has one.
    pairs = (["uri", "host"], ["uri", "port"], ["token", "password"])
    profile["not"] = {"anyOf": [*({"required": pair} for pair in pairs), {**https, "required": ["uri", "ssl"]}]}
    # What a profile extends may have a user for it, and one without an address is not connected with.
    profile["if"] = {
        "required": ["password"],
        "anyOf": [{"required": ["uri"]}, {"required": ["host"]}],
        "not": {"required": ["extends"]},
    }
    profile["then"] = {"required": ["user"]}


_ROLE = re.compile(r":\w+:`~?([^`]*)`")
_ATTRIBUTE = re.compile(r"^\s*(\w+): (.*(?:\n\s{8,}.*)*)", re.MULTILINE)


def _describe(model: dict[str, Any]) -> None:
    """Move the attributes' descriptions out of the model's docstring to where editors show them."""
    text, _, attributes = str(model.get("description", "")).partition("\n\nAttributes:\n")
    if text:
        model["description"] = " ".join(text.split())
    for name, words in _ATTRIBUTE.findall(attributes):
        if name in model.get("properties", {}):
            words = _ROLE.sub(r"`\1`", " ".join(words.split())).replace("``", "`")
            model["properties"][name]["description"] = words
            model["properties"][name].pop("title", None)
