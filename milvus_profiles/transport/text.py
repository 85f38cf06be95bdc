"""Makes text that came over the network fit to be shown: no control characters, no end without end, no secret.

Whoever is at the other end decides what it says; it may send what moves a terminal's cursor, or our own token back.
"""

from __future__ import annotations

import base64

from ..masked import MASK, SecretText

__all__ = ["printable", "server_text"]

_LONGEST = 300
_SHORTEST_SECRET = 4


def printable(text: str) -> str:
    """The text with every character escaped that a terminal would not simply show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def server_text(text: str, token: SecretText | None = None, *, longest: int = _LONGEST) -> str:
    """What a server said, fit for a message: printable, not too long, and without the token.

    Args:
        text: the server's words.
        token: what was sent to it; the whole, its part behind a colon and its base64 are masked.
        longest: characters at most.
    """
    if token is not None:
        text = _masked(text, token)
    shown = printable(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _masked(text: str, token: SecretText) -> str:
    for form in _forms(token.reveal()):
        # Something as short as "a" would mask half of the message, and hide nothing.
        if len(form) >= _SHORTEST_SECRET:
            text = text.replace(form, MASK)
    return text


def _forms(token: str) -> tuple[str, ...]:
    return token, base64.b64encode(token.encode()).decode(), token.partition(":")[2]
