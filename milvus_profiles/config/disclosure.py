"""May this text of a file be shown?  The one answer for errors, diffs, ``trust``, ``show`` and ``list``.

A value is shown if its field is known, holds no secret and does not look like one; an unknown key may be a misspelled
``token``.  Whatever is hidden becomes ``********``; what is shown still has to be escaped for a terminal.
"""

from __future__ import annotations

import re
from typing import Any

from ..endpoint import AddressError, parse_address
from ..masked import MASK, without_pairs, without_secrets
from ..names import is_alias, suggest
from ..tomltext.positions import KeyPath, unquote
from .fields import FIELDS, ROOT_KEYS, SECRET_FIELDS, find_field

_ADDRESSES = ("uri", "host", "proxy")
_WORDS = 1000  # of a command; one with more is none
_KINDS = {str: "str", bool: "bool", int: "int", float: "float"}
_ROOT_KINDS = {"default_profile": "str", "max_connections": "int", "keyring_backends": "array"}
_PATHS = (("ssl", "ca"), ("ssl", "cert"), ("ssl", "key"))
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# An address with a mistake in it is shown all the same, unless the mistake may be a password.
_PLAIN_ADDRESS = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*:/{2,3})?(?:\[[0-9A-Fa-f:.]*\]?|[\w.~-]*|unix:[\w.~-]*)"
    r"(?::[0-9]{0,5})?(?:/[\w./ ~-]*)?"
)
_HOST = re.compile(r"[0-9A-Fa-f]*(?::[0-9A-Fa-f.]*){2,}")  # an IPv6 address without brackets
_SCALAR = re.compile(r"[\w.+-]{0,12}")  # a number or a switch, or what somebody took for one
_MODULES = re.compile(r"[\w.,'\"\s\[\]]*")
_ENCODED = re.compile(r"(?:\A|/)M[A-Z][A-Za-z0-9+/=\s]{60,}")  # the body of a private key
_ENTRY = re.compile(r"""[ \t]*((?:[A-Za-z0-9_-]+[ \t]*\.[ \t]*)*[A-Za-z0-9_-]+)[ \t]*=[ \t]*""")
_SECRET_NAMES = (*SECRET_FIELDS, "passwd", "secret", "key", "api_key")
# What a comment may tell: `# token = "…"`, a line that was switched off, or `# the password is …`.
_SEPARATOR = r"""["']?[ \t]*(?:[:=：][ \t]*|->[ \t]*|[ \t])"""
_TELLING = re.compile(
    r"(?i)\b(?:\w*(?:token(?!iz)|passw|passphrase|pwd|secret|credential|bearer|authori[sz]ation|kennwort)\w*|pw|creds?"
    rf"""|(?:pass|pin|auth|key|command|\w+_key)(?=["']?[ \t]*[:=：]))(?:{_SEPARATOR})?"""
)
_ASSIGNED = re.compile(r"[:=：][ \t]*\Z")
# The reference to a secret, or the path of a file, is none.
_REFERENCE = re.compile(
    r"""\{[ \t]*(?:env[ \t]*=[ \t]*"[A-Z_][A-Z0-9_]*"|file[ \t]*=[ \t]*"[^"\s:@]*"|keyring[ \t]*=[ \t]*true)"""
    r"""[ \t]*\}\s*|"[\w./~-]*\.(?:pem|key|crt)"[ \t},]*\s*"""
)
_IN_ADDRESS = re.compile(r"//[^/\s:@]*:(?![0-9]+(?:[/\s,]|\Z))")


def hide(text: str) -> str:
    return re.sub(r"[^\r\n]+", MASK, text)


def looks_secret(path: tuple[str, ...], text: str) -> bool:
    """Whether the value of a field, as text without quotes, must not be shown.

    The path is without the profile that it is of; one name of the root's, too.
    """
    if not 0 < len(path) <= 2 or (find_field(path) is None and path[0] not in ROOT_KEYS):
        return True
    if path[0] in SECRET_FIELDS and path[-1] != "file":
        if path[-1] in ("env", "pass_env"):
            return _IDENTIFIER.fullmatch(text) is None
        return path[-1] != "keyring" or text not in ("true", "false")
    if path[0] in SECRET_FIELDS or path in _PATHS:
        return without_secrets(text) != text or "\n" in text or _ENCODED.search(text) is not None
    if path[-1] in _ADDRESSES:
        if path[-1] == "host" and _HOST.fullmatch(text):
            return False
        return _PLAIN_ADDRESS.fullmatch(text) is None and not is_address(text)
    if path[-1] in ("extends", "default_profile"):
        return not is_alias(text)
    kind = _kind(path)
    if kind == "array":
        return _MODULES.fullmatch(text) is None
    if kind != "str":
        return _SCALAR.fullmatch(text) is None
    if path[-1] == "user":
        return ":" in text or "%3a" in text.lower() or "\n" in text or "-----BEGIN" in text
    return _clear(text, assigned=True) != text or ("\n" in text and path[-1] != "description")


def _kind(path: tuple[str, ...]) -> str | None:
    known = find_field(path)
    return known.kind if known else _ROOT_KINDS.get(path[0])


def is_address(text: str) -> bool:
    """Whether a text is an address in any form that a profile may have; no file is looked at."""
    try:
        return bool(parse_address(text, base="/", home="/"))
    except AddressError:
        return False


def shown(path: tuple[str, ...], value: Any) -> Any:
    """The value of a field, or the table of one, as it may be shown; ``path`` is as for :func:`looks_secret`."""
    if isinstance(value, dict):
        return {key: shown((*path, key), inner) for key, inner in value.items()}
    if path[-1] == "command":
        # Its arguments may be secrets themselves; what they are stands in the file that is to be read.
        if not isinstance(value, list) or not value or without_secrets(str(value[0])) != value[0]:
            return MASK
        if re.search(r"[\s=]", value[0]):  # more than a program
            return MASK
        return [value[0], *[MASK] * min(len(value) - 1, _WORDS)]
    if isinstance(value, list):
        return [shown(path, item) for item in value]
    known = find_field(path)
    kind = "str" if known and known.kind == "array" else known and known.kind
    if kind is None or _KINDS.get(type(value)) != kind:
        return MASK
    text = value if isinstance(value, str) else str(value).lower()
    return MASK if looks_secret(path, text) else value


def shown_raw(keys: KeyPath, raw: str) -> str:
    """The text of a value, with its quotes, in a valid document as it may be shown, with as many newlines as it has."""
    names = tuple(key for key in keys if isinstance(key, str))
    path = names[2:] if names[0] == "profiles" else names if names[0] in ROOT_KEYS else ()
    # Which lines of a file are in a text of several is hard to see for people, too.
    if raw.startswith(('"""', "'''")):
        return hide(raw)
    misplaced = (len(names) < len(keys) or raw[0] == "[") and (not path or _kind(path) != "array")
    if not misplaced and not looks_secret(path, unquote(raw) if raw[:1] in ("'", '"') else raw):
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
        return _clear(text[:at]) + hide(text[at:])
    return _clear(text)


def announces_secret(comment: str) -> bool:
    """Whether what a comment tells of may stand in the next one."""
    word = _TELLING.search(comment)
    return word is not None and _ASSIGNED.search(word[0]) is not None and not comment[word.end() :].strip(" \t\r\n\"'")


def _clear(text: str, *, assigned: bool = False) -> str:
    """A text that people wrote, without what may be a secret in it.

    ``assigned``: hide what follows a telling word only where a sign of assignment stands between them.
    """
    text = without_secrets(text)
    if (end := text.rfind("@")) > 0 and (address := _IN_ADDRESS.search(text, 0, end)):
        text = f"{text[: address.end()]}{MASK}{text[end:]}"
    at = len(text)
    for word in _TELLING.finditer(text):
        if _REFERENCE.fullmatch(text, word.end()):
            break
        if not assigned or _ASSIGNED.search(word[0]):
            at = word.end()
            break
    return without_pairs(text[:at]) + hide(text[at:])


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
