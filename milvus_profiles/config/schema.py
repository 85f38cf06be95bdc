"""What the root of a milvus.toml may hold, and the JSON Schema of the whole, for editors (taplo, Even Better TOML).

The root is validated by pydantic-settings through two of its sources that hold what was found: its source of the
environment makes phantom profiles, that of dotenv lets a repository's ``.env`` in, and merging files field by field
would send one file's secret to another file's address.  Profiles are imported where they are described: to connect
takes none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from ..names import ALIAS_LONGEST, ALIAS_PATTERN
from .fields import MAX_CONNECTIONS


class _Model(BaseSettings):
    """The fields of :class:`.settings.Settings`, with what each may be."""

    model_config = SettingsConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    default_profile: str | None = None
    max_connections: Annotated[int, Field(ge=1, le=MAX_CONNECTIONS)] = MAX_CONNECTIONS
    keyring_backends: list[str] = []
    profile: str | None = None
    environment: Any = None  # made by ourselves, so there is nothing to validate

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files; see the module's text for what is left out."""
        given: Any = init_settings
        return tuple(InitSettingsSource(settings_cls, found) for found in given.init_kwargs["read_from"])


def validated(*found: dict[str, Any]) -> dict[str, Any]:
    """What was found, strongest first, each value checked to be what it may be."""
    model = _Model(read_from=found)  # type: ignore[call-arg]  # for the sources
    return {name: getattr(model, name) for name in _Model.model_fields}


EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "": {
        "default_profile": "prod",
        "max_connections": 1000,
        "keyring_backends": ["keyrings.cryptfile.cryptfile.CryptFileKeyring"],
    },
    "Profile": {
        "description": "production, read replicas",
        "uri": "https://milvus.example:19530",
        "host": "milvus.example",
        "port": 19530,
        "user": "reader",
        "password": {"keyring": True},
        "token": {"env": "MILVUS_API_KEY"},
        "db_name": "analytics",
        "ssl": {"ca": "certs/ca.pem"},
        "timeout": 10,
        "call_timeout": 30,
        "retry": {"attempts": 4, "initial": 0.1, "max": 1.0},
        "keepalive": {"time": 30, "timeout": 10},
        "proxy": "http://proxy.example:3128",
        "management_port": 9091,
        "allow_insecure": True,
        "protected": True,
        "extends": "base",
        "pool": {"mode": "exclusive", "max_total_per_key": 20},
    },
    "SSL": {
        "ca": "certs/ca.pem",
        "cert": "certs/client.pem",
        "key": "certs/client.key",
        "server_name": "milvus.internal",
    },
    "Retry": {"attempts": 3, "initial": 0.2, "max": 2.0},
    "Keepalive": {"time": 30, "timeout": 5},
    "EnvRef": {"env": "MILVUS_API_KEY"},
    "FileRef": {"file": "/run/secrets/milvus-token"},
    "CommandRef": {"command": ["op", "read", "op://team/milvus/token"], "pass_env": ["OP_SESSION"]},
    "KeyringRef": {"keyring": True},
    "PoolSettings": {
        "mode": "exclusive",
        "max_channels": 8,
        "soft_limit": 80,
        "hard_limit": 100,
        "max_idle_per_key": 10,
        "min_idle_per_key": 2,
        "max_total_per_key": 20,
        "block_when_exhausted": False,
        "max_block_wait": 0.5,
        "min_evictable_idle": 60,
        "test_on_borrow": True,
        "test_on_return": False,
        "test_while_idle": True,
        "max_lifetime": 3600,
        "lifetime_jitter": 0.2,
        "max_uses": 10000,
        "max_waiting": 100,
        "leak_threshold": 30,
    },
}
"""An example of every key, by the model that has it; the root of the file has no name."""


def file_schema() -> dict[str, Any]:
    """The schema of a whole file, draft 2020-12, made from the models that validate it."""
    from ..profile import Profile

    profile = Profile.model_json_schema()
    definitions: dict[str, Any] = profile.pop("$defs")
    properties = profile["properties"]
    del properties["alias"]
    profile.pop("required", None)
    # `true` stands for the default policy; the model only ever holds a policy or false.
    default = properties["retry"]["default"]
    properties["retry"] = {"anyOf": [{"$ref": "#/$defs/Retry"}, {"type": "boolean"}], "default": default}
    _say_what_models_check(profile, definitions)
    definitions["Profile"] = profile
    for name, model in definitions.items():
        _describe(model)
        model.pop("title", None)
        model["title"] = name
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "milvus.toml",
        "description": "Connection profiles for Milvus, read by milvus-profiles.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "default_profile": {"type": "string", "description": "Alias of the profile taken when none is named."},
            "max_connections": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_CONNECTIONS,
                "default": MAX_CONNECTIONS,
                "description": "Live connections that a process may hold at once.",
            },
            "keyring_backends": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Further keyring backends to allow, by dotted name; in the user's file only.",
            },
            "profiles": {
                "type": "object",
                "description": "The profiles, by alias.",
                "propertyNames": {"maxLength": ALIAS_LONGEST, "pattern": f"^{ALIAS_PATTERN}$"},
                "additionalProperties": {"$ref": "#/$defs/Profile"},
            },
        },
        "$defs": definitions,
    }
    for name, examples in EXAMPLES.items():
        properties = (definitions[name] if name else schema)["properties"]
        for key, example in examples.items():
            properties[key]["examples"] = [example]
    return schema


def _say_what_models_check(profile: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Add what pydantic derives from no type: the rules between fields, as far as one table shows them."""
    from ..fieldtypes import MANY
    from ..pool_settings import POOL_WIDE

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
