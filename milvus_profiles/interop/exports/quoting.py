"""How each language and format writes a text so that its own parser gives it back."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,-]+")
_DOTENV = frozenset("_./:@%+,=-")
_ACTED_ON = "\t\\*?[()$"
"""What a splitting of words or a shell's check of a file acts on in quotes too."""
_HELD = re.compile(rf"(?:[^ \n'{re.escape(_ACTED_ON)}]| (?! ))+|.", re.DOTALL)
_QUOTED = {'"': '\\"', "\\": "\\\\"}
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


def evaluated(text: str) -> str:
    """One word of a text for ``eval`` in bash, dash, zsh or fish, whether or not the text is quoted there.

    Unquoted, ``$(…)`` is split at blanks, joined again with one each, and in bash a word with ``*`` is looked up among
    the files: no two blanks stand in a row here, and the rest is spelled in octal. So are ``$`` and ``)``, for which
    fish 3 refuses a file that it reads, in single quotes too.
    """
    return text if _PLAIN.fullmatch(text) else "".join(map(_held, _HELD.findall(text))) or "''"


def _held(part: str) -> str:
    if part == "'":
        return '"\'"'
    return f"\"$(printf '\\{ord(part):03o}')\"" if part in _ACTED_ON else f"'{part}'"


def _literal(codes: Iterable[int], escape: Callable[[int], str], special: Mapping[str, str] = _QUOTED) -> str:
    """A literal in double quotes, of ASCII."""
    chars = (special.get(chr(code)) or (chr(code) if 0x20 <= code < 0x7F else escape(code)) for code in codes)
    return f'"{"".join(chars)}"'


def go(text: str) -> str:
    """An interpreted string literal of Go, by bytes: a path need not be UTF-8."""
    return _literal(text.encode("utf-8", "surrogateescape"), lambda byte: f"\\x{byte:02x}")


def java(text: str) -> str:
    """A string literal of Java.

    Its ``\\uXXXX`` is read before anything else, so that one for a quote or a newline would end the literal: control
    characters are octal.
    """
    data = text.encode("utf-16-be", "surrogatepass")
    units = (int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    return _literal(units, lambda unit: f"\\{unit:03o}" if unit < 0x80 else f"\\u{unit:04x}")


def yaml(text: str) -> str:
    """A double-quoted scalar of YAML."""

    def escape(code: int) -> str:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return _literal(map(ord, text), escape, {**_QUOTED, **_SHORT})


def systemd(name: str, text: str) -> str:
    """An assignment in ``Environment=``: quoted, with C escapes, and ``%`` doubled since it begins a specifier."""
    return f'"{name}={_systemd_escaped(text, quote=True)}"'


def systemd_bare(text: str) -> str:
    """The rest of a line, as ``SetCredential=`` takes it."""
    # White space at the ends would be stripped.
    return re.sub(r"\A +| +\Z", lambda found: "\\x20" * len(found[0]), _systemd_escaped(text, quote=False))


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
