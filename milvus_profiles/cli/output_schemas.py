"""JSON Schemas of what the commands print with ``--json``, for the programs that read it."""

from __future__ import annotations

from typing import Any, TypeAlias, get_args

from ..connectable import Kind
from ..diagnosis.report import STAGES, Status
from ..interop.exports import FORMATS
from ..interop.imports import SOURCES
from ..probe.http import NAMES
from .help import every

Shape: TypeAlias = dict[str, Any]


def output_schema(what: str) -> Shape:
    """The schema of one output, draft 2020-12: of the value, or of each line where a command prints several.

    Args:
        what: a name of :data:`SCHEMAS`.
    """
    name = what.replace("-", " ")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"milvus-profiles {what}",
        "description": _ABOUT.get(what) or f"What `{name} --json` prints.",
        **SCHEMAS[what],
    }


_ABOUT = {
    "test": "What `test --json` prints; with `--watch` it prints what `watch` does.",
    "watch": "A line of what `watch --json` prints.",
    "ping": "A line of what `ping --json` prints.",
    "config-validate": "What `config validate --json` prints where all is valid.",
    "config-schema": "What `config schema --json` prints: a schema.",
    "help": "What `help --json` and `COMMAND --help --json` print.",
    "error": "What every command prints on stderr with --json where it fails.",
    "warning": "A line of what every command prints on stderr with --json to warn.",
}


def _object(*optional: str, **properties: Shape) -> Shape:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _array(items: Shape) -> Shape:
    return {"type": "array", "items": items}


def _mapping(values: Shape) -> Shape:
    return {"type": "object", "additionalProperties": values}


def _either(*shapes: Shape) -> Shape:
    return {"anyOf": [*shapes]}


def _one_of(*values: str) -> Shape:
    return {"enum": [*values]}


def _told(shape: Shape, description: str) -> Shape:
    return shape | {"description": description}


_TEXT: Shape = {"type": "string"}
_TEXT_OR_NOTHING: Shape = {"type": ["string", "null"]}
_BOOLEAN: Shape = {"type": "boolean"}
_COUNT: Shape = {"type": "integer", "minimum": 0}
_ORDINAL: Shape = {"type": "integer", "minimum": 1}
_MILLISECONDS: Shape = {"type": "number", "minimum": 0}
_MILLISECONDS_OR_NOTHING: Shape = {"type": ["number", "null"]}
_NOTHING: Shape = {"type": "null"}

_CODE = _one_of(*sorted(page.code for page in every()))
_AUTH = _told(_one_of("none", *get_args(Kind)), "where the secret is to be had")
_STATUS = _one_of(*get_args(Status))
_CONSOLE = _one_of(*NAMES)
_LOOKED_FOR = _array(_object(console=_CONSOLE, url=_TEXT, found=_BOOLEAN, detail=_TEXT))

_PROFILE = _object(
    alias=_TEXT,
    uri=_told(_TEXT_OR_NOTHING, "canonical address; null for a template"),
    db_name=_TEXT_OR_NOTHING,
    tls=_BOOLEAN,
    auth=_AUTH,
    default=_told(_BOOLEAN, "whether it is the selected profile"),
    origin=_told(_TEXT, '"PATH:LINE", or "env"'),
    trusted=_BOOLEAN,
    error=_told(_either(_NOTHING, _object(code=_CODE, location=_TEXT_OR_NOTHING)), "why the profile is invalid"),
    description=_told(_TEXT_OR_NOTHING, "what the profile says about itself"),
)
_VALUES = _told(
    _mapping(_object(value={}, origin=_TEXT)),
    'by field, and by "TABLE.KEY" for each key of a table; secrets are "********"',
)
_STAGE = _object(
    "notes",
    name=_one_of(*STAGES),
    status=_STATUS,
    ms=_MILLISECONDS,
    detail=_TEXT,
    hint=_TEXT_OR_NOTHING,
    notes=_told(_array(_TEXT), "with --verbose"),
)


def _report(**more: Shape) -> Shape:
    return _object(
        alias=_TEXT,
        ok=_BOOLEAN,
        exit_code=_told(_COUNT, "the exit status of a test of it alone"),
        server_version=_TEXT_OR_NOTHING,
        stages=_array(_STAGE),
        **more,
    )


_TRIP = _told(_MILLISECONDS_OR_NOTHING, "milliseconds of one call over the open connection")
_ANSWER = _object(
    alias=_TEXT,
    number=_ORDINAL,
    ms=_told(_MILLISECONDS_OR_NOTHING, "null where nothing answered"),
    error=_told(_either(_NOTHING, _CODE), "why nothing answered"),
)
_FIGURES = dict.fromkeys(("min", "median", "p99", "max"), _MILLISECONDS)
_STEPS = _told(_mapping(_MILLISECONDS), "milliseconds of each step of connecting")
_SUMMARY = _told(
    _object(*_FIGURES, alias=_TEXT, answers=_COUNT, **_FIGURES, stages=_STEPS | {"propertyNames": _one_of(*STAGES)}),
    "the last line; without figures where nothing answered",
)
_CHANGE = _object(alias=_TEXT, file=_TEXT, changed=_BOOLEAN, diff=_TEXT)
_PLAN = _told(_object(alias=_TEXT, file=_TEXT, diff=_TEXT), "with --dry-run")
_DEFAULT = _told(_TEXT_OR_NOTHING, "null where there is no default any more")
_BEFORE_AND_AFTER: Shape = {"type": "array", "minItems": 2, "maxItems": 2}
_PINNED = _object(file=_TEXT, now=_one_of("trusted", "changed", "missing"), contents=_COUNT)
_UNTRUSTED = _object(file=_TEXT, trusted={"const": False})
_SOURCE = _object(
    source=_one_of(*SOURCES),
    path=_TEXT_OR_NOTHING,
    profiles=_array(_object(alias=_TEXT, uri=_TEXT)),
    error=_TEXT_OR_NOTHING,
)
_IMPORTED = _object(
    alias=_TEXT, uri=_TEXT, db_name=_TEXT_OR_NOTHING, user=_TEXT_OR_NOTHING, secret=_BOOLEAN, origin=_TEXT
)
_PAGE = {
    "error": _CODE,
    "exit_status": _COUNT,
    "classes": _array(_object(name=_TEXT, exit_status=_COUNT)),
    "title": _TEXT,
    "url": _TEXT,
    "text": _TEXT,
}
_SECTION = _object(title=_TEXT, rows=_array(_object(term=_TEXT, text=_TEXT)))
_ERROR = {"error": _CODE, "message": _TEXT, "hint": _TEXT_OR_NOTHING, "location": _TEXT_OR_NOTHING}

SCHEMAS: dict[str, Shape] = {
    "list": _array(_PROFILE),
    "show": _object(
        alias=_TEXT,
        values=_VALUES,
        overridden=_told(_array(_object(field=_TEXT, origin=_TEXT)), "what a stronger layer hides"),
    ),
    "test": _array(_report()),
    "watch": _object(round=_ORDINAL, at=_TEXT | {"format": "date-time"}, reports=_array(_report(round_trip_ms=_TRIP))),
    "ping": _either(_ANSWER, _SUMMARY),
    "open": _object(alias=_TEXT, console=_CONSOLE, url=_TEXT, opened=_BOOLEAN, looked_for=_LOOKED_FOR),
    "connect": _either(
        _object(
            alias=_TEXT,
            uri=_TEXT,
            file=_TEXT_OR_NOTHING,
            selected=_BOOLEAN,
            hidden_by=_TEXT_OR_NOTHING,
            secret_stored=_BOOLEAN,
        ),
        _told(_object(alias=_TEXT_OR_NOTHING, file=_TEXT, disconnected=_BOOLEAN), "with -D"),
    ),
    "add": _either(
        _object(alias=_TEXT, uri=_TEXT, file=_TEXT, auth=_AUTH, secret_stored=_BOOLEAN, default=_BOOLEAN), _PLAN
    ),
    "use": _either(
        _object(alias=_DEFAULT, file=_TEXT, hidden_by=_TEXT_OR_NOTHING),
        _told(_object(alias=_DEFAULT, file=_TEXT, diff=_TEXT), "with --dry-run"),
        _told(_object(alias=_TEXT, shell=_told(_TEXT, "the line for a shell")), "with --shell"),
    ),
    "current": _object(alias=_TEXT, uri=_TEXT_OR_NOTHING, db_name=_TEXT_OR_NOTHING, reason=_TEXT),
    "edit": _object(file=_TEXT, changed=_BOOLEAN),
    **dict.fromkeys(("set", "unset", "rename", "copy"), _CHANGE),
    "remove": _either(_object(alias=_TEXT, file=_TEXT, removed=_BOOLEAN, secret_deleted=_BOOLEAN), _PLAN),
    "secret-set": _object(alias=_TEXT, account=_TEXT, stored=_BOOLEAN),
    "secret-delete": _object(alias=_TEXT, account=_TEXT, deleted=_BOOLEAN),
    "secret-status": _object(
        alias=_TEXT, auth=_AUTH, present=_BOOLEAN, backend=_TEXT_OR_NOTHING, account=_TEXT_OR_NOTHING
    ),
    "trust": _either(
        _object(
            file=_TEXT,
            trusted={"const": True},
            changed=_mapping(_told(_BEFORE_AND_AFTER, "before and after, masked; null is absent")),
            databases=_mapping(_TEXT),
        ),
        _told(_array(_PINNED), "with --list"),
    ),
    "untrust": _either(_UNTRUSTED, _told(_array(_UNTRUSTED), "with --all")),
    "export": _object(alias=_TEXT, format=_one_of(*FORMATS), text=_TEXT, gaps=_array(_TEXT)),
    "import": _either(
        _told(_array(_SOURCE), "without --from"),
        _object(
            file=_TEXT,
            imported=_BOOLEAN,
            profiles=_array(_IMPORTED),
            unusable=_array(_object(origin=_TEXT, reason=_TEXT)),
        ),
    ),
    "config-path": _array(
        _object(
            role=_one_of("named", "project", "user"), path=_TEXT, exists=_BOOLEAN, trusted=_BOOLEAN, target=_BOOLEAN
        )
    ),
    "config-validate": _object(valid={"const": True}, profiles=_COUNT, files=_array(_TEXT)),
    "config-schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"},
    "doctor": _object(
        ok=_BOOLEAN, findings=_array(_object(name=_TEXT, status=_STATUS, detail=_TEXT, hint=_TEXT_OR_NOTHING))
    ),
    "explain": _either(_object(**_PAGE), _array(_object("text", **_PAGE))),
    "completion": _object(script=_TEXT),
    "version": _object(version=_TEXT),
    "help": _object(command=_TEXT, usage=_TEXT, text=_array(_TEXT), sections=_array(_SECTION), docs=_TEXT_OR_NOTHING),
    "error": _object("errors", "looked_for", **_ERROR, errors=_array(_object(**_ERROR)), looked_for=_LOOKED_FOR),
    "warning": _object(warning=_TEXT),
}
"""The shape of each output, by the command with ``-`` between its words."""
