"""JSON Schemas of what the commands print with ``--json``, for the programs that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from ..diagnosis.report import STAGES, Status
from ..references import Kind
from .explanations import every

__all__ = ["SCHEMAS", "output_schema"]

_TEXT = {"type": "string"}
_TEXT_OR_NOTHING = {"type": ["string", "null"]}


def output_schema(what: str) -> dict[str, Any]:
    """The schema of one output, draft 2020-12.

    Args:
        what: a name of :data:`SCHEMAS`.
    """
    description, shape = SCHEMAS[what]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"milvus-profiles {what}",
        "description": description,
        **shape(),
    }


def _object(properties: Mapping[str, Any], *, optional: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **more,
    }


def _code() -> dict[str, Any]:
    return {"enum": sorted(page.code for page in every())}


def _list() -> dict[str, Any]:
    return {
        "type": "array",
        "items": _object(
            {
                "alias": _TEXT,
                "uri": {**_TEXT_OR_NOTHING, "description": "canonical address; null for a template"},
                "db_name": _TEXT_OR_NOTHING,
                "tls": {"type": "boolean"},
                "auth": {"enum": ["none", *get_args(Kind)], "description": "where the secret is to be had"},
                "default": {"type": "boolean", "description": "whether it is the selected profile"},
                "origin": {**_TEXT, "description": '"PATH:LINE", or "env"'},
                "trusted": {"type": "boolean"},
                "error": {
                    "anyOf": [{"type": "null"}, _object({"code": _code(), "location": _TEXT_OR_NOTHING})],
                    "description": "why the profile is invalid",
                },
            }
        ),
    }


def _show() -> dict[str, Any]:
    return _object(
        {
            "alias": _TEXT,
            "values": {
                "type": "object",
                "description": 'by field, and by "TABLE.KEY" for each key of a table; secrets are "********"',
                "additionalProperties": _object({"value": {}, "origin": _TEXT}),
            },
            "overridden": {
                "type": "array",
                "description": "what a stronger layer hides",
                "items": _object({"field": _TEXT, "origin": _TEXT}),
            },
        }
    )


def _test() -> dict[str, Any]:
    stage = _object(
        {
            "name": {"enum": list(STAGES)},
            "status": {"enum": list(get_args(Status))},
            "ms": {"type": "number", "minimum": 0},
            "detail": _TEXT,
            "hint": _TEXT_OR_NOTHING,
            "notes": {"type": "array", "items": _TEXT, "description": "with --verbose"},
        },
        optional=("notes",),
    )
    return {
        "type": "array",
        "items": _object(
            {
                "alias": _TEXT,
                "ok": {"type": "boolean"},
                "exit_code": {"type": "integer", "minimum": 0, "description": "the exit status of a test of it alone"},
                "server_version": _TEXT_OR_NOTHING,
                "stages": {"type": "array", "items": stage},
            }
        ),
    }


def _error() -> dict[str, Any]:
    return _object({"error": _code(), "message": _TEXT, "hint": _TEXT_OR_NOTHING, "location": _TEXT_OR_NOTHING})


SCHEMAS: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "list": ("What `profile list --json` prints.", _list),
    "show": ("What `profile show --json` prints.", _show),
    "test": ("What `profile test --json` prints; a round of `--watch` is one such value a line.", _test),
    "error": ("What every command prints on stderr with --json where it fails.", _error),
}
"""What each output is, and what makes its schema."""
