"""The pages of the reference, made from the code: nothing in them is typed twice."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import milvus_profiles as mp
from milvus_profiles.cli.help import every
from milvus_profiles.cli.manual import GROUPS as COMMANDS
from milvus_profiles.cli.manual import PAGES, STATUSES, VARIABLES
from milvus_profiles.cli.output_schemas import SCHEMAS, output_schema
from milvus_profiles.config.fields import FIELDS, SECRET_FIELDS
from milvus_profiles.config.schema import EXAMPLES, file_schema
from milvus_profiles.config.settings import FAMILY, PREFIX
from milvus_profiles.config.trust import is_gated
from milvus_profiles.log import EVENTS
from milvus_profiles.tomltext.lines import value_text

# The tables of a profile, by the field that holds them.
TABLES = {"ssl": "SSL", "retry": "Retry", "keepalive": "Keepalive", "pool": "PoolSettings"}
REFERENCES = ("KeyringRef", "EnvRef", "FileRef", "CommandRef")

ABOUT_FIELDS = """\
# Fields of milvus.toml

Durations are seconds. Where a variable is named, it overrides the field of one profile; `PROD` stands for the alias.
*Trusted only*: in a project's file the field counts when the file is trusted ([why](../understanding/trust.md)).

The same as a JSON Schema, for editors: [milvus.json](../schema/milvus.json), or `milvus-profiles config schema`.
"""
ABOUT_STATUSES = """\
# Exit statuses

What a program, a script or a container's probe can tell apart. `0` is success; with `--json` the code stands in `error`
on stderr.
"""
MORE_STATUSES = """\
- `130`: interrupted by Ctrl-C; `141`: the reader of the pipe went away.
- `exec` ends with the status of the program that it ran.
- `profile test` of several: the lowest of theirs that is not 0.
"""
ABOUT_VARIABLES = """\
# Variables

`PROD` stands for an alias, in capitals, with `_` for `-` and `.`. An empty value counts as unset. A name that begins
with `MILVUS_PROFILES__` and is none of these is an error with a suggestion.
"""
FAMILY_SAYS = {
    "MILVUS_URI": "the address: it declares a profile, which replaces one of a file whole",
    "MILVUS_CONN_ALIAS": "the alias of that profile; `default` without it",
    "MILVUS_TOKEN": "its token, an API key or `user:password`; goes before user and password",
    "MILVUS_TOKEN_FILE": "a file with the token; one newline at its end is dropped",
    "MILVUS_USER": "its user",
    "MILVUS_PASSWORD": "the password of that user",
    "MILVUS_DB": "its database",
    "MILVUS_DB_NAME": "the same; an error where they differ",
    "MILVUS_ALLOW_INSECURE": "whether its secret may cross the network in plaintext",
}
ABOUT_COMMANDS = """\
# Commands

What `milvus-profiles help COMMAND` prints. The program's short name is `mvp`; each command of a profile works without
the word `profile`.
"""
ABOUT_ERRORS = """\
# Errors

Every failure has a code, in JSON and on its page here, an exit status, and a class in Python. The same pages in the
terminal: `milvus-profiles explain tls`, `explain 7`, `explain TLSError`.
"""
ABOUT_EXCEPTIONS = """\
# Exceptions

Each has a `code`, an `exit_status`, a `message`, a `hint` and a `location`; and a `stage`, where it comes up in one of
the steps that `profile test` shows.
"""
ABOUT_LOG = """\
# Logging

The logger is `milvus_profiles`. Nothing is written unless your program listens; on the command line `-vv` shows it. No
record holds a secret. Each has its parts as fields (`extra=`), for structured loggers.
"""
MORE_OF_LOG = """\
`forgotten` and `orm` go to standard error where no program listens.

Where exceptions are thrown into threads (`PyThreadState_SetAsyncExc`), Python's logging may leave a handler's lock
held: set `logging.getLogger("milvus_profiles").propagate = False` there.
"""
ABOUT_SHAPES = """\
# JSON shapes

With `--json`, before or after the command, stdout holds exactly one JSON value, of `ping` and `watch` one a line, and
no secret is in it. Where a command fails, stdout is empty (`test` keeps its report) and stderr holds the error; a
warning is a line of stderr. What `exec` prints is its program's. `milvus-profiles config schema WHAT` prints each
schema; WHAT is a command with `-` between its words.
"""


def pages() -> dict[str, str]:
    """Path below the directory of the pages -> text."""
    schemas = {"milvus": file_schema(), **{what: output_schema(what) for what in SCHEMAS}}
    return {
        "reference/fields.md": fields(),
        "reference/variables.md": variables(),
        "reference/commands.md": commands(),
        "reference/exit-statuses.md": exit_statuses(),
        "reference/json.md": shapes(),
        "reference/logging.md": logged(),
        "reference/python.md": python(),
        "reference/exceptions.md": exceptions(),
        "errors/index.md": errors(),
        **{f"errors/{page.code}.md": page.text + "\n" for page in every()},
        **{f"schema/{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas.items()},
    }


# --- fields ---


def fields() -> str:
    schema = file_schema()
    models = schema["$defs"]
    parts = [
        ABOUT_FIELDS,
        "## The root of the file",
        *_keys(schema, "", ()),
        "## A profile: `[profiles.ALIAS]`",
        *_keys(models["Profile"], "Profile", ()),
    ]
    for name, model in TABLES.items():
        parts += [f"## The table `{name}`", _plain(models[model]["description"]), *_keys(models[model], model, (name,))]
    parts += ["## Where a secret is to be had: `token`, `password`", "A text, or one of these tables."]
    for model in REFERENCES:
        parts += [f"### {_code(EXAMPLES[model])}", _plain(models[model]["description"])]
        parts += [f"- `{key}`: {_plain(entry['description'])}" for key, entry in models[model]["properties"].items()]
    return _page(parts)


def _keys(model: dict[str, Any], name: str, table: tuple[str, ...]) -> Iterator[str]:
    for key, entry in model["properties"].items():
        if not name and key == "profiles":
            continue
        path = (*table, key)
        yield f"### `{'.'.join(path)}` {{ #{'-'.join(('root', key) if not name else path)} }}"
        yield _plain(entry.get("description", ""))
        facts = [f"Type: {_type(entry)}", f"Default: {_default(entry)}"]
        if key in EXAMPLES[name]:
            facts.append(f"Example: {_code({key: EXAMPLES[name][key]})}")
        if name:
            facts += [f"Variable: {_variable(path)}", f"Set by: {_layers(path)}"]
        elif key == "keyring_backends":
            facts.append("Set by: the user's file only")
        yield "\n".join(f"- {fact}" for fact in facts)


def _variable(path: tuple[str, ...]) -> str:
    variable = f"{PREFIX}PROD__{'__'.join(path).upper()}"
    if path == ("extends",):
        return f"`{variable}`, with its parent in the environment, too"
    if path[0] in SECRET_FIELDS:
        ends = ("_FILE", "__ENV", "__COMMAND", "__KEYRING")
        return ", ".join((f"`{variable}` (the text)", *(f"`{variable}{end}`" for end in ends)))
    return f"by its keys, `{variable}__…`" if path[-1] in ("keepalive", "pool") else f"`{variable}`"


def _layers(path: tuple[str, ...]) -> str:
    if path == ("token",) or path == ("password",):
        return "call, variable, every file; *trusted only* are its tables other than `{ keyring = true }`"
    if path == ("uri",):
        return "call, variable, every file; *trusted only* is a path that leads out of the project"
    if path == ("ssl",):
        return "call, variable, every file; *trusted only* are its keys"
    if is_gated(path, "x", "/"):
        return "call, variable, every file; *trusted only*"
    return "call, variable, every file"


def _type(entry: dict[str, Any]) -> str:
    return " or ".join(dict.fromkeys(_types(entry)))


def _types(entry: dict[str, Any]) -> Iterator[str]:
    for part in entry.get("anyOf", entry.get("oneOf", ())):
        yield from _types(part)
    if "$ref" in entry:
        yield "table"
    elif "enum" in entry:
        yield from (f"`{json.dumps(value)}`" for value in entry["enum"])
    elif "const" in entry:
        yield f"`{json.dumps(entry['const'])}`"
    elif entry.get("type") not in (None, "null"):
        yield _limits(entry)


def _limits(part: dict[str, Any]) -> str:
    text = {"array": "array of strings", "object": "table"}.get(part["type"], str(part["type"]))
    for key, words in (
        ("minimum", "from {}"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "to {}"),
        ("exclusiveMaximum", "below {}"),
    ):
        if key in part:
            text += f", {words.format(f'{part[key]:g}' if isinstance(part[key], float) else part[key])}"
    return text


def _default(entry: dict[str, Any]) -> str:
    if entry.get("default") is None:
        return "none"
    return _code(entry["default"])


def _code(value: Any) -> str:
    """A value as TOML writes it; of a table with one key the line."""
    return f"`{value_text(value)}`" if not isinstance(value, dict) else f"`{_inline(value)}`"


def _inline(value: dict[str, Any]) -> str:
    [(key, one), *others] = value.items()
    return f"{key} = {value_text(one)}" if not others else value_text(value)


# --- variables, commands ---


def variables() -> str:
    if set(FAMILY_SAYS) != set(FAMILY):
        raise SystemExit("FAMILY_SAYS of scripts/reference.py is not the family of config/settings.py")
    named = "\n".join(f"| `{name}` | {says} |" for name, says in VARIABLES.items())
    family = "\n".join(f"| `{name}` | {says} |" for name, says in FAMILY_SAYS.items())
    fields_of = "\n".join(f"| {_variable((name,))} | [`{name}`](fields.md#{name}) |" for name in FIELDS)
    return _page(
        [
            ABOUT_VARIABLES,
            "## The `MILVUS_URI` family",
            f"| variable | what it is |\n|---|---|\n{family}",
            "## Fields of a profile",
            f"| variable | field |\n|---|---|\n{fields_of}",
            "## What chooses, tunes and looks",
            f"| variable | what it is |\n|---|---|\n{named}",
        ]
    )


def commands() -> str:
    parts = [ABOUT_COMMANDS]
    for title, names in COMMANDS[""].items():
        parts.append(f"## {title}")
        for name in names:
            inner = [f"{name} {one}" for group in COMMANDS.get(name, {}).values() for one in group]
            for path in [name] if name == "profile" or not inner else inner:
                parts += [f"### `{path}`", *_command(path)]
    return _page(parts)


def _command(path: str) -> Iterator[str]:
    """The page that `help` prints, with links in the place of what it names."""
    page = PAGES[path]
    yield page.summary
    done = subprocess.run(
        [sys.executable, "-m", "milvus_profiles", "help", *path.split()],
        env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    yield f"```text\n{done.stdout.partition(chr(10) + 'Docs:')[0].rstrip()}\n```"
    if page.docs:
        target = page.docs.rstrip("/")
        below = f"../{target}.md" if target != "errors" else "../errors/index.md"
        yield f"[More about it]({below})"


def errors() -> str:
    rows = "\n".join(f"| [`{page.code}`]({page.code}.md) | {page.exit_status} | {page.title} |" for page in every())
    return _page([ABOUT_ERRORS, f"| code | exit status | |\n|---|---|---|\n{rows}"])


# --- statuses, shapes ---


def exit_statuses() -> str:
    lines = [
        f"| {status} | {STATUSES.get(status, '')} | [`{page.code}`](../errors/{page.code}.md) | "
        f"{', '.join(_api(name) for name in page.names(status))} |"
        for page in every()
        for status in sorted({one.exit_status for one in page.classes})
    ]
    table = "| status | | code | Python |\n|---|---|---|---|\n" + "\n".join(sorted(lines, key=_status_of))
    return _page([ABOUT_STATUSES, table, MORE_STATUSES])


def _status_of(line: str) -> int:
    return int(line.split("|")[1])


def shapes() -> str:
    parts = [ABOUT_SHAPES]
    for what in SCHEMAS:
        schema = output_schema(what)
        parts += [
            f"## {what}",
            f"{schema['description']} [{what}.json](../schema/{what}.json)",
            f"```json\n{json.dumps(schema, indent=2)}\n```",
        ]
    return _page(parts)


# --- the log ---


def logged() -> str:
    rows = "\n".join(
        f"| `{name}` | {logging.getLevelName(event.level)} | {event.message.replace('|', ' ')} | "
        f"{', '.join(f'`milvus_{part}`' for part in event.parts)} |"
        for name, event in EVENTS.items()
    )
    return _page([ABOUT_LOG, f"| `milvus_event` | level | message | fields |\n|---|---|---|---|\n{rows}", MORE_OF_LOG])


# --- Python ---

GROUPS = {
    "Connecting": (
        "connect",
        "Connection",
        "disconnect",
        "disconnect_all",
        "list_connections",
        "has_connection",
        "ConnectionInfo",
    ),
    "Profiles": ("load", "Profiles", "Profile", "Endpoint", "SSL", "Retry", "Keepalive"),
    "Pool": ("ConnectionPool", "PoolSettings", "PoolStats", "KeyStats"),
    "Diagnosis": ("diagnose", "Report", "Stage"),
    "For pymilvus and others": ("connection_args", "orm", "connections"),
    "asyncio": ("aio",),
    "Warnings": ("InsecureFileWarning", "InsecureTransportWarning"),
}


def python() -> str:
    listed = {name for names in GROUPS.values() for name in names}
    errors = {
        name for name in mp.__all__ if isinstance(getattr(mp, name), type) and issubclass(getattr(mp, name), Exception)
    }
    missing = set(mp.__all__) - listed - errors - {"__version__"}
    if missing:
        raise SystemExit(f"scripts/reference.py puts these into no group: {sorted(missing)}")
    parts = ["# Python", "Every public name of `milvus_profiles`. What is raised is in [Exceptions](exceptions.md)."]
    for title, names in GROUPS.items():
        parts += [f"## {title}", *(f"::: milvus_profiles.{name}" for name in names)]
    return _page(parts)


def exceptions() -> str:
    parts = [
        ABOUT_EXCEPTIONS,
    ]
    for page in every():
        public = [error.__name__ for error in page.classes if error.__name__ in mp.__all__]
        if public:
            parts += [f"## `{page.code}` {{ #code-{page.code} }}", f"[What it means](../errors/{page.code}.md)"]
            parts += [f"::: milvus_profiles.{name}" for name in public]
    return _page(parts)


def _api(name: str) -> str:
    if name not in mp.__all__:
        return "(on the command line)"
    return f"[`{name}`](exceptions.md#milvus_profiles.{name})"


def _plain(text: str) -> str:
    """A docstring's words as Markdown, beginning with a capital letter and ended."""
    text = text.replace("``", "`")
    return f"{text[:1].upper()}{text[1:]}" if text else ""


def _page(parts: list[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part) + "\n"
