"""How a secret is written, and how its bytes are held while they come in.

The functions here see secrets in the clear, so they raise nothing: the caller, whose locals hold only masked values,
does.  Nothing here knows where a secret comes from.
"""

from __future__ import annotations

from collections.abc import Callable

from ..masked import SecretText

__all__ = ["SIZE_LIMIT", "Received", "line_of", "make_token"]

SIZE_LIMIT = 64 * 1024
"""Bytes that a file or the output of a command may have."""


def make_token(user: str | None, password: SecretText) -> SecretText:
    """The token that Milvus takes.

    Args:
        user: name of the user; None where the secret is a whole token already.
        password: the user's password, or the token.
    """
    return password if user is None else SecretText(f"{user}:{password.reveal()}")


def line_of(text: SecretText) -> SecretText:
    """The secret that a text is written for: without what editors, ``echo`` and PowerShell add to it.

    That is a byte order mark at its beginning and one newline at its end (``\\n`` or ``\\r\\n``).
    """
    line = SecretText(text.reveal().removeprefix("\ufeff"))
    return SecretText(line.reveal()[:-1].removesuffix("\r")) if line.reveal().endswith("\n") else line


class Received:
    """The bytes of a secret as they come in; it shows none of them."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def read_from(self, read: Callable[[int], bytes]) -> bool:
        """Read once, up to one byte more than the limit; False at the end of what there is.

        Args:
            read: what reads at most so many bytes, as os.read does of a descriptor; what it raises is passed on.
        """
        before = len(self._data)
        self._data += read(SIZE_LIMIT + 1 - before)
        return len(self._data) > before

    @property
    def too_large(self) -> bool:
        """Whether more came than a secret may have."""
        return len(self._data) > SIZE_LIMIT

    def text(self) -> SecretText | None:
        """The line that came; None if it is not UTF-8."""
        try:
            return line_of(SecretText(self._data.decode("utf-8")))
        except UnicodeDecodeError:
            return None
