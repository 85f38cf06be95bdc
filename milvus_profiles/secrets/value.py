"""What a secret may look like, and how its bytes are held while they come in.

The functions here see secrets in the clear, so they raise nothing: they answer with a word on what is wrong, and the
caller, whose locals hold only masked values, raises.  Nothing here knows where a secret comes from.
"""

from __future__ import annotations

import os

from ..masked import SecretText

__all__ = ["SIZE_LIMIT", "Received", "fault", "make_token", "without_newline"]

SIZE_LIMIT = 64 * 1024
"""Bytes that a file or the output of a command may have."""


def make_token(user: str | None, password: SecretText) -> SecretText:
    """The token that Milvus takes.

    Args:
        user: name of the user; None where the secret is a whole token already.
        password: the user's password, or the token.
    """
    return password if user is None else SecretText(f"{user}:{password.reveal()}")


def without_newline(secret: SecretText) -> SecretText:
    """The secret without one newline at its end (``\\n`` or ``\\r\\n``), which editors and ``echo`` leave there."""
    if not secret.reveal().endswith("\n"):
        return secret
    return SecretText(secret.reveal()[:-1].removesuffix("\r"))


def fault(secret: SecretText) -> str | None:
    """What keeps the secret from being sent, as the end of a sentence; None if nothing does.

    It travels in a header, base64-encoded from UTF-8: anything printable may stand in it, a line break may not.
    """
    if not secret:
        return "is empty"
    if any(c in "\r\n" for c in secret.reveal()):
        return "has several lines"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in secret.reveal()):
        return "contains a control character"
    # Python reads a byte that is not UTF-8 in a variable as half of a surrogate pair, which nothing can encode.
    if any(0xD800 <= ord(c) <= 0xDFFF for c in secret.reveal()):
        return "is not UTF-8 text"
    return None


class Received:
    """The bytes of a secret as they come in; it shows none of them."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def read_from(self, descriptor: int) -> bool:
        """Read once, up to one byte more than the limit; False at the end of the file.

        Raises:
            OSError: as os.read; BlockingIOError where nothing is there yet.
        """
        before = len(self._data)
        self._data += os.read(descriptor, SIZE_LIMIT + 1 - before)
        return len(self._data) > before

    @property
    def too_large(self) -> bool:
        """Whether more came than a secret may have."""
        return len(self._data) > SIZE_LIMIT

    def text(self) -> SecretText | None:
        """What came, without a byte order mark and without one newline at the end; None if it is not UTF-8."""
        try:
            return without_newline(SecretText(self._data.decode("utf-8-sig")))
        except UnicodeDecodeError:
            return None
