"""May this text of a file be shown?  The one answer for errors, diffs, ``trust``, ``show`` and ``list``.

A value is shown if its field is known, holds no secret and does not look like one; an unknown key may be a misspelled
``token``.  Whatever is hidden becomes ``********``; what is shown still has to be escaped for a terminal.
"""

from __future__ import annotations

import re
from typing import Any

from ..endpoint import AddressError, parse_address
from ..masked import MASK, without_secrets
from ..spelling import suggest
from .fields import FIELDS, ROOT_KEYS, SECRET_FIELDS, find_field
from .positions import KeyPath, unquote

__all__ = ["broken_name", "hide", "looks_secret", "shown", "shown_comment", "shown_raw"]

_ADDRESSES = ("uri", "host", "proxy")
_WORDS = 1000  # of a command; one with more is none
_KINDS = {str: "str", bool: "bool", int: "int", float: "float"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An address with a mistake in it is shown all the same, unless the mistake may be a password.
_PLAIN_ADDRESS = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:/{2,3})?(?:\[[0-9A-Fa-f:.]*\]?|[\w.~-]*|unix:[\w.~-]*)"
    r"(?::[0-9]{0,5})?(?:/[\w./ ~-]*)?"
)
# A comment may be a line that was switched off: `# token = "…"`, `# user = "root:…"`.
_TELLING = re.compile(r"(?i)token|passw|pwd|secret|key|auth|command|\buser\w*[\"']?[ \t]*[=:][ \t]*\S{1,200}:(?!//)")
_ASSIGNED = re.compile(r"[=:][ \t]*(?=\S)")
_ENTRY = re.compile(r"""[ \t]*((?:[A-Za-z0-9_-]+[ \t]*\.[ \t]*)*[A-Za-z0-9_-]+)[ \t]*=[ \t]*""")
_SECRET_NAMES = (*SECRET_FIELDS, "passwd", "secret", "key", "api_key")


def hide(text: str) -> str:
    """A mask for each line of a text."""
    return re.sub(r"[^\r\n]+", MASK, text)


def looks_secret(path: tuple[str, ...], text: str) -> bool:
    """Whether the value of a field must not be shown.

    Args:
        path: the field, without the profile that it is of; one name of the root's, too.
        text: the value as text; a string without its quotes.
    """
    if not 0 < len(path) <= 2 or (find_field(path) is None and path[0] not in ROOT_KEYS):
        return True
    if path[0] in SECRET_FIELDS and path[-1] != "file":
        if path[-1] in ("env", "pass_env"):
            return _IDENTIFIER.fullmatch(text) is None
        return path[-1] != "keyring" or text not in ("true", "false")
    if path[-1] in _ADDRESSES:
        return _PLAIN_ADDRESS.fullmatch(text) is None and not _is_address(text)
    if path[-1] == "user":
        return ":" in text or "-----BEGIN" in text
    return without_secrets(text) != text or ("\n" in text and path[-1] != "description")


def _is_address(text: str) -> bool:
    try:
        return bool(parse_address(text, base="/", home="/"))
    except AddressError:
        return False


def shown(path: tuple[str, ...], value: Any) -> Any:
    """The value of a field, or the table of one, as it may be shown and remembered.

    Args:
        path: the field, without the profile that it is of.
        value: the value, as a file or JSON has it.
    """
    if isinstance(value, dict):
        return {key: shown((*path, key), inner) for key, inner in value.items()}
    if path[-1] == "command":
        # Its arguments may be secrets themselves; what they are stands in the file that is to be read.
        if not isinstance(value, list) or not value or without_secrets(str(value[0])) != value[0]:
            return MASK
        return [value[0], *[MASK] * min(len(value) - 1, _WORDS)]
    if isinstance(value, list):
        return [shown(path, item) for item in value]
    known = find_field(path)
    kinds = known.kinds if known else ()
    if _KINDS.get(type(value)) not in (*kinds, *(("str",) if "array" in kinds else ())):
        return MASK
    text = value if isinstance(value, str) else str(value).lower()
    return MASK if looks_secret(path, text) else value


def shown_raw(keys: KeyPath, raw: str) -> str:
    """The text of a value in a valid document as it may be shown, with as many newlines as it has.

    Args:
        keys: where it stands, from the root.
        raw: the value with its quotes.
    """
    names = tuple(key for key in keys if isinstance(key, str))
    path = names[2:] if names[0] == "profiles" else names if names[0] in ROOT_KEYS else ()
    # Which lines of a file are in a text of several is hard to see for people, too.
    if raw.startswith(('"""', "'''")):
        return hide(raw)
    if not looks_secret(path, unquote(raw) if raw[:1] in ("'", '"') else raw):
        return raw
    if path and path[-1] in _ADDRESSES:
        # Where only userinfo is hidden, one sees that an address changes.
        clear = without_secrets(raw)
        if clear != raw and not looks_secret(path, clear.strip("\"'").replace(f"{MASK}@", "")):
            return clear
    return hide(raw)


def shown_comment(text: str) -> str:
    """A comment as it may be shown, with the newline that it may have."""
    entry = _ENTRY.match(text.lstrip("# \t")) if "=" in text else None
    name = entry[1].rpartition(".")[2].strip()[:64] if entry else ""
    if name and name not in FIELDS and suggest(name, _SECRET_NAMES):
        at = text.index("=") + 1
    else:
        word = _TELLING.search(text)
        # The sign between a user and its value is within what tells of it.
        assigned = _ASSIGNED.search(text, word.start() if word[0].endswith(":") else word.end()) if word else None
        at = assigned.end() if assigned else len(text)
    return without_secrets(text[:at] + hide(text[at:]))


def broken_name(line: str) -> tuple[tuple[str, ...], int] | None:
    """The field that a line of a broken text sets, and where its value starts; None if it may be a piece of a secret.

    The path is empty where the name is only near that of a field.
    """
    entry = _ENTRY.match(line)
    if entry is None:
        return None
    names = tuple(name.strip() for name in entry[1].split("."))
    path = names[2:] if names[0] == "profiles" else names
    if path and (find_field(path[:3]) is not None or path[0] in ROOT_KEYS):
        return path, entry.end()
    return ((), entry.end()) if path and suggest(path[0], (*FIELDS, *ROOT_KEYS)) else None
