"""JSON Schemas of what the commands print with ``--json``, for the programs that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from ..connectable import Kind
from ..diagnosis.report import STAGES, Status
from ..interop.exports import FORMATS
from ..interop.imports import SOURCES
from ..probe.http import NAMES
from .explanations import every

__all__ = ["SCHEMAS", "output_schema"]

_TEXT = {"type": "string"}
_TEXT_OR_NOTHING = {"type": ["string", "null"]}
_BOOLEAN = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_MILLISECONDS = {"type": "number", "minimum": 0}


def output_schema(what: str) -> dict[str, Any]:
    """The schema of one output, draft 2020-12: of the value, or of each line where a command prints several.

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


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _either(*shapes: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*shapes]}


def _code() -> dict[str, Any]:
    return {"enum": sorted(page.code for page in every())}


_AUTH = {"enum": ["none", *get_args(Kind)], "description": "where the secret is to be had"}


def _list() -> dict[str, Any]:
    return {
        "type": "array",
        "items": _object(
            {
                "alias": _TEXT,
                "uri": {**_TEXT_OR_NOTHING, "description": "canonical address; null for a template"},
                "db_name": _TEXT_OR_NOTHING,
                "tls": _BOOLEAN,
                "auth": _AUTH,
                "default": {**_BOOLEAN, "description": "whether it is the selected profile"},
                "origin": {**_TEXT, "description": '"PATH:LINE", or "env"'},
                "trusted": _BOOLEAN,
                "error": {
                    "anyOf": [{"type": "null"}, _object({"code": _code(), "location": _TEXT_OR_NOTHING})],
                    "description": "why the profile is invalid",
                },
                "description": {**_TEXT_OR_NOTHING, "description": "what the profile says about itself"},
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
    return _array(_report())


def _report(**more: Any) -> dict[str, Any]:
    stage = _object(
        {
            "name": {"enum": list(STAGES)},
            "status": {"enum": list(get_args(Status))},
            "ms": _MILLISECONDS,
            "detail": _TEXT,
            "hint": _TEXT_OR_NOTHING,
            "notes": {**_array(_TEXT), "description": "with --verbose"},
        },
        optional=("notes",),
    )
    return _object(
        {
            "alias": _TEXT,
            "ok": _BOOLEAN,
            "exit_code": {**_COUNT, "description": "the exit status of a test of it alone"},
            "server_version": _TEXT_OR_NOTHING,
            "stages": _array(stage),
            **more,
        }
    )


def _watch() -> dict[str, Any]:
    trip = {"type": ["number", "null"], "description": "milliseconds of one call over the open connection"}
    return _object(
        {
            "round": {"type": "integer", "minimum": 1},
            "at": {**_TEXT, "format": "date-time"},
            "reports": _array(_report(round_trip_ms=trip)),
        }
    )


def _ping() -> dict[str, Any]:
    figures = dict.fromkeys(("min", "median", "p99", "max"), _MILLISECONDS)
    answer = _object(
        {
            "alias": _TEXT,
            "number": {"type": "integer", "minimum": 1},
            "ms": {"type": ["number", "null"], "description": "null where nothing answered"},
            "error": {**_either({"type": "null"}, _code()), "description": "why nothing answered"},
        }
    )
    stages = {"type": "object", "description": "milliseconds of each step of connecting"}
    summary = _object(
        {
            "alias": _TEXT,
            "answers": _COUNT,
            **figures,
            "stages": {**stages, "propertyNames": {"enum": list(STAGES)}, "additionalProperties": _MILLISECONDS},
        },
        optional=tuple(figures),
        description="the last line; without figures where nothing answered",
    )
    return _either(answer, summary)


def _open() -> dict[str, Any]:
    console = {"enum": list(NAMES)}
    return _object(
        {"alias": _TEXT, "console": console, "url": _TEXT, "opened": _BOOLEAN, "looked_for": _array(_looked_for())}
    )


def _looked_for() -> dict[str, Any]:
    return _object({"console": {"enum": list(NAMES)}, "url": _TEXT, "found": _BOOLEAN, "detail": _TEXT})


def _current() -> dict[str, Any]:
    return _object({"alias": _TEXT, "uri": _TEXT_OR_NOTHING, "db_name": _TEXT_OR_NOTHING, "reason": _TEXT})


def _connect() -> dict[str, Any]:
    selected = {"uri": _TEXT, "file": _TEXT_OR_NOTHING, "selected": _BOOLEAN, "hidden_by": _TEXT_OR_NOTHING}
    return _either(
        _object({"alias": _TEXT, **selected, "secret_stored": _BOOLEAN}),
        _object({"alias": _TEXT_OR_NOTHING, "file": _TEXT, "disconnected": _BOOLEAN}, description="with -D"),
    )


def _planned(alias: Mapping[str, Any] = _TEXT) -> dict[str, Any]:
    return _object({"alias": alias, "file": _TEXT, "diff": _TEXT}, description="with --dry-run")


def _add() -> dict[str, Any]:
    written = {"alias": _TEXT, "uri": _TEXT, "file": _TEXT, "auth": _AUTH}
    return _either(_object({**written, "secret_stored": _BOOLEAN, "default": _BOOLEAN}), _planned())


def _use() -> dict[str, Any]:
    alias = {**_TEXT_OR_NOTHING, "description": "null where there is no default any more"}
    return _either(
        _object({"alias": alias, "file": _TEXT, "hidden_by": _TEXT_OR_NOTHING}),
        _planned(alias),
        _object(
            {"alias": _TEXT, "shell": {**_TEXT, "description": "the line for a shell"}}, description="with --shell"
        ),
    )


def _edit() -> dict[str, Any]:
    return _object({"file": _TEXT, "changed": _BOOLEAN})


def _change() -> dict[str, Any]:
    return _object({"alias": _TEXT, "file": _TEXT, "changed": _BOOLEAN, "diff": _TEXT})


def _remove() -> dict[str, Any]:
    return _either(
        _object({"alias": _TEXT, "file": _TEXT, "removed": _BOOLEAN, "secret_deleted": _BOOLEAN}), _planned()
    )


def _secret(done: str) -> Callable[[], dict[str, Any]]:
    return lambda: _object({"alias": _TEXT, "account": _TEXT, done: _BOOLEAN})


def _secret_status() -> dict[str, Any]:
    keyring = {"backend": _TEXT_OR_NOTHING, "account": _TEXT_OR_NOTHING}
    return _object({"alias": _TEXT, "auth": _AUTH, "present": _BOOLEAN, **keyring})


def _trust() -> dict[str, Any]:
    changed = {"type": "array", "minItems": 2, "maxItems": 2, "description": "before and after, masked; null is absent"}
    return _either(
        _object(
            {
                "file": _TEXT,
                "trusted": {"const": True},
                "changed": {"type": "object", "additionalProperties": changed},
                "databases": {"type": "object", "additionalProperties": _TEXT},
            }
        ),
        _array(_object({"file": _TEXT, "now": {"enum": ["trusted", "changed", "missing"]}, "contents": _COUNT}))
        | {"description": "with --list"},
    )


def _untrust() -> dict[str, Any]:
    one = _object({"file": _TEXT, "trusted": {"const": False}})
    return _either(one, _array(one) | {"description": "with --all"})


def _export() -> dict[str, Any]:
    return _object({"alias": _TEXT, "format": {"enum": list(FORMATS)}, "text": _TEXT, "gaps": _array(_TEXT)})


def _import() -> dict[str, Any]:
    profile = {"alias": _TEXT, "uri": _TEXT}
    more = {"db_name": _TEXT_OR_NOTHING, "user": _TEXT_OR_NOTHING, "secret": _BOOLEAN, "origin": _TEXT}
    there = {"source": {"enum": list(SOURCES)}, "path": _TEXT_OR_NOTHING, "profiles": _array(_object(profile))}
    return _either(
        _array(_object({**there, "error": _TEXT_OR_NOTHING})) | {"description": "without --from"},
        _object(
            {
                "file": _TEXT,
                "imported": _BOOLEAN,
                "profiles": _array(_object({**profile, **more})),
                "unusable": _array(_object({"origin": _TEXT, "reason": _TEXT})),
            }
        ),
    )


def _config_path() -> dict[str, Any]:
    role = {"enum": ["named", "project", "user"]}
    return _array(_object({"role": role, "path": _TEXT, "exists": _BOOLEAN, "trusted": _BOOLEAN, "target": _BOOLEAN}))


def _config_validate() -> dict[str, Any]:
    return _object({"valid": {"const": True}, "profiles": _COUNT, "files": _array(_TEXT)})


def _config_schema() -> dict[str, Any]:
    return {"$ref": "https://json-schema.org/draft/2020-12/schema"}


def _doctor() -> dict[str, Any]:
    status = {"enum": list(get_args(Status))}
    finding = _object({"name": _TEXT, "status": status, "detail": _TEXT, "hint": _TEXT_OR_NOTHING})
    return _object({"ok": _BOOLEAN, "findings": _array(finding)})


def _explain() -> dict[str, Any]:
    named = _array(_object({"name": _TEXT, "exit_status": _COUNT}))
    page = {"error": _code(), "exit_status": _COUNT, "classes": named, "title": _TEXT, "url": _TEXT}
    whole = _object({**page, "text": _TEXT})
    return _either(whole, _array(_object({**page, "text": _TEXT}, optional=("text",))))


def _help() -> dict[str, Any]:
    rows = _array(_object({"term": _TEXT, "text": _TEXT}))
    section = _object({"title": _TEXT, "rows": rows})
    texts = {"text": _array(_TEXT), "sections": _array(section), "docs": _TEXT_OR_NOTHING}
    return _object({"command": _TEXT, "usage": _TEXT, **texts})


def _error() -> dict[str, Any]:
    common = {"error": _code(), "message": _TEXT, "hint": _TEXT_OR_NOTHING, "location": _TEXT_OR_NOTHING}
    more = {"errors": _array(_object(common)), "looked_for": _array(_looked_for())}
    return _object({**common, **more}, optional=tuple(more))


SCHEMAS: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "list": ("What `list --json` prints.", _list),
    "show": ("What `show --json` prints.", _show),
    "test": ("What `test --json` prints; with `--watch` it prints what `watch` does.", _test),
    "watch": ("A line of what `watch --json` prints.", _watch),
    "ping": ("A line of what `ping --json` prints.", _ping),
    "open": ("What `open --json` prints.", _open),
    "connect": ("What `connect --json` prints.", _connect),
    "add": ("What `add --json` prints.", _add),
    "use": ("What `use --json` prints.", _use),
    "current": ("What `current --json` prints.", _current),
    "edit": ("What `edit --json` prints.", _edit),
    **{name: (f"What `{name} --json` prints.", _change) for name in ("set", "unset", "rename", "copy")},
    "remove": ("What `remove --json` prints.", _remove),
    "secret-set": ("What `secret set --json` prints.", _secret("stored")),
    "secret-delete": ("What `secret delete --json` prints.", _secret("deleted")),
    "secret-status": ("What `secret status --json` prints.", _secret_status),
    "trust": ("What `trust --json` prints.", _trust),
    "untrust": ("What `untrust --json` prints.", _untrust),
    "export": ("What `export --json` prints.", _export),
    "import": ("What `import --json` prints.", _import),
    "config-path": ("What `config path --json` prints.", _config_path),
    "config-validate": ("What `config validate --json` prints where all is valid.", _config_validate),
    "config-schema": ("What `config schema --json` prints: a schema.", _config_schema),
    "doctor": ("What `doctor --json` prints.", _doctor),
    "explain": ("What `explain --json` prints.", _explain),
    "completion": ("What `completion --json` prints.", lambda: _object({"script": _TEXT})),
    "version": ("What `version --json` prints.", lambda: _object({"version": _TEXT})),
    "help": ("What `help --json` and `COMMAND --help --json` print.", _help),
    "error": ("What every command prints on stderr with --json where it fails.", _error),
    "warning": (
        "A line of what every command prints on stderr with --json to warn.",
        lambda: _object({"warning": _TEXT}),
    ),
}
"""What each output is, and what makes its schema, by the command with ``-`` between its words."""
