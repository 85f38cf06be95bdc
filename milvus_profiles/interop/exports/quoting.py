"""How each language and format writes a text so that its own parser gives it back."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping

__all__ = [
    "dotenv_obstacle",
    "go",
    "java",
    "javascript",
    "python",
    "shell",
    "systemd",
    "systemd_bare",
    "yaml",
]

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
_DOTENV = frozenset("_./:@%+,=-")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

python = ascii
"""A string literal of Python."""

javascript = json.dumps
"""A string literal of JavaScript; JSON in ASCII is one."""


def shell(text: str) -> str:
    """One word of a POSIX shell, whatever its characters are; :mod:`milvus_profiles.text` is for what people read.

    ``shlex.quote`` leaves ``=`` bare, and zsh puts the path of a program in place of ``=ls``, in an assignment too.
    """
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\"'\"'") + "'"


def go(text: str) -> str:
    """An interpreted string literal of Go, by bytes: a path need not be UTF-8."""
    data = text.encode("utf-8", "surrogateescape")
    return '"' + "".join(_go_byte(byte) for byte in data) + '"'


def _go_byte(byte: int) -> str:
    char = chr(byte)
    return f"\\{char}" if char in '"\\' else char if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def java(text: str) -> str:
    """A string literal of Java.

    Its ``\\uXXXX`` is read before anything else, so that one for a quote or a newline would end the literal: control
    characters are octal.
    """
    units = text.encode("utf-16-be", "surrogatepass")
    chars = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return '"' + "".join(_java_unit(unit) for unit in chars) + '"'


def _java_unit(unit: int) -> str:
    char = chr(unit)
    if char in '"\\':
        return f"\\{char}"
    if unit < 0x20 or unit == 0x7F:
        return f"\\{unit:03o}"
    return char if unit < 0x7F else f"\\u{unit:04x}"


def yaml(text: str) -> str:
    """A double-quoted scalar of YAML."""
    return '"' + "".join(_yaml_char(char) for char in text) + '"'


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def systemd(name: str, text: str) -> str:
    """An assignment in ``Environment=``: quoted, with C escapes, and ``%`` doubled since it begins a specifier."""
    return f'"{name}={_systemd_escaped(text, quote=True)}"'


def systemd_bare(text: str) -> str:
    """The rest of a line, as ``SetCredential=`` takes it."""
    escaped = _systemd_escaped(text, quote=False)
    # White space at the ends would be stripped.
    head = re.sub(r"\A +", lambda found: "\\x20" * len(found[0]), escaped)
    return re.sub(r" +\Z", lambda found: "\\x20" * len(found[0]), head)


def _systemd_escaped(text: str, *, quote: bool) -> str:
    special: Mapping[str, str] = {"\\": "\\\\", "%": "%%", **_SHORT, **({'"': '\\"'} if quote else {})}
    return "".join(special.get(c) or (c if c.isprintable() else _bytes_escaped(c)) for c in text)


def _bytes_escaped(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def dotenv_obstacle(text: str) -> str | None:
    """The first character of a value that keeps it from standing in a .env file; None where nothing does.

    There is one form that all readers take alike, the bare value: ``docker run --env-file`` knows no quotes, a shell
    splits, expands and runs what has none, python-dotenv expands ``${NAME}`` in any quotes, Compose in double ones,
    Node knows no escape but ``\\n``, and zsh takes ``=ls``, also behind a colon, for the path of a program.
    """
    before = ":"
    for char in text:
        bare = char in _DOTENV if char.isascii() and not char.isalnum() else unicodedata.category(char)[0] in "LMN"
        if not bare or (char == "=" and before == ":"):
            return char
        before = char
    return None
