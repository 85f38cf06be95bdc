"""Makes text that came over the network fit to be shown: no control characters, no end without end, no secret.

Whoever is at the other end decides what it says; it may send what moves a terminal's cursor, or our own token back.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from .masked import MASK, SecretText
from .text import printable

__all__ = ["READ", "listed", "server_text", "server_texts"]

READ = 4000
"""Characters of a server's text that are looked at; the rest may be megabytes, and a search through them minutes."""

_LONGEST = 300
_LONGEST_NAME = 64
_SHORTEST_SECRET = 4


def server_text(text: str, token: SecretText | None = None, *, longest: int = _LONGEST) -> str:
    """What a server said, fit for a message: printable, not too long, and without the token.

    Args:
        text: the server's words.
        token: what was sent to it; the whole and its part behind a colon are masked, as they are and in the usual
            encodings: base64, hexadecimal, of addresses, of JSON.
        longest: characters at most.
    """
    return server_texts((text,), token, longest=longest)[0]


def server_texts(texts: Iterable[str], token: SecretText | None = None, *, longest: int = _LONGEST) -> list[str]:
    """:func:`server_text` of each of some texts, for which the forms of the token are made once."""
    forms = () if token is None else _forms(token.reveal())
    return [_fit(text, forms, longest) for text in texts]


def _fit(text: str, forms: Sequence[str], longest: int) -> str:
    is_cut = len(text) > READ
    text = text[:READ]
    if forms:
        text = _masked(text, forms, is_cut)
    # One character more than fits shows that there are more.
    shown = printable(text[: longest + 1])
    return shown if len(shown) <= longest and not is_cut else f"{shown[: longest - 1]}…"


def listed(
    names: Sequence[str],
    most: int,
    *,
    token: SecretText | None = None,
    longest: int = _LONGEST_NAME,
    separator: str = ", ",
) -> str:
    """The first of a server's names, fit for a message, and how many more there are.

    Args:
        names: as many as the server likes, each as long as it likes.
        most: how many are shown.
        token: as for :func:`server_text`.
        longest: characters of a name at most.
        separator: what stands between two.
    """
    shown = separator.join(server_texts(names[:most], token, longest=longest))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _masked(text: str, forms: Sequence[str], is_cut: bool) -> str:
    if any(form in text for form in forms):
        # The padding of base64 belongs to it; other forms do not end before such a character by chance.
        text = re.sub(f"(?:{'|'.join(map(re.escape, forms))})=*", MASK, text)
    # Where the text was cut, the beginning of a token may stand at its end.
    return text[: -len(forms[0])] if is_cut else text


def _forms(token: str) -> list[str]:
    """A token and its password as a server would write them that means them to be read by somebody else.

    The longest first, since one may hold another, and none as short as "a", which would mask half of a message and hide
    nothing.
    """
    forms = set()
    for text in (token, token.partition(":")[2]):
        content = text.encode("utf-8", "surrogatepass")
        encoded = base64.b64encode(content).decode().rstrip("=")
        forms |= {text, encoded, encoded.translate(_URL_SAFE), content.hex(), content.hex().upper()}
        forms |= {quote(content, safe=""), json.dumps(text)[1:-1]}
    return sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)


_URL_SAFE = str.maketrans("+/", "-_")
