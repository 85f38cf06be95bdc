"""Text that must not be seen: secrets, and the places that hold them until someone asks.

pydantic's SecretStr shows its value to pickle, ``vars()``, ``len()`` and whoever validates a default, so a secret here
lives in a closure that no generic tool walks into.  Nothing in this module knows where a secret comes from.  What came
over the network is made fit to be shown here, too: no control characters, no end without end, and not our own token.
"""

from __future__ import annotations

import functools
import hmac
import re
import sys
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from .text import is_placeholder, printable

if TYPE_CHECKING:
    from typing_extensions import Self

C = TypeVar("C", bound=type)


def even_half_made(cls: C) -> C:
    """Have a class's own ``__repr__`` and ``__str__`` name it at least, where an attribute is not there yet.

    Whoever prints the locals of a traceback comes upon ``self`` in the middle of an ``__init__`` that failed; an error
    in showing it would hide the one it is about.

    Args:
        cls: decorated; a dataclass before this.
    """
    for name in ("__repr__", "__str__"):
        if name in vars(cls):
            setattr(cls, name, _lenient(vars(cls)[name]))
    return cls


def _lenient(show: Callable[[Any], str]) -> Callable[[Any], str]:
    @functools.wraps(show)
    def shown(self: Any) -> str:
        try:
            return show(self)
        except AttributeError:
            return f"<{type(self).__name__}, not made yet>"

    return shown


MASK = "********"
"""What is shown in place of every secret: as long for a short one as for a long one."""

_SIGNS = ("@", "%40", "\\u0040")  # as TOML writes it, too
_WORD = re.compile(r"[^\s\"']+")
_PEM = re.compile(r"-----BEGIN[^\r\n]*")


def without_secrets(text: str) -> str:
    """A text of any kind, such as a message, without what may be a private key, or userinfo before an @."""
    if "-----BEGIN" in text:
        text = _PEM.sub(MASK, text)
    # Not one pattern for it all: that takes minutes for a megabyte of slashes.
    if (":" in text or "%3a" in text.lower()) and any(sign in text for sign in _SIGNS):
        text = _WORD.sub(_without_userinfo, text)
    return text


def _without_userinfo(word: re.Match[str]) -> str:
    end = max(word[0].rfind(sign) for sign in _SIGNS)
    colon = word[0].find(":", 0, max(0, end))
    if colon < 0:
        colon = word[0].lower().find("%3a", 0, max(0, end))
    if colon < 0 or (colon == 1 and word[0].startswith("\\", 2)):  # the drive of a path on Windows
        return word[0]
    return f"{word[0][: colon + 3] if word[0].startswith('://', colon) else ''}{MASK}{word[0][end:]}"


# A user with a password, and no host with a port, nor an IPv6 address.
_PAIR = re.compile(
    r"""(?:(?<=//)|(?<![\w/.:+-]))(?!unix:|sha[0-9]+:|mailto:|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:)([A-Za-z][\w.+-]*:)(?![0-9]+\b|//|\\)[^\s"',;)\]}]+"""
)


def without_pairs(text: str) -> str:
    """A text as :func:`without_secrets` gives it, and without the password of what may be ``user:password``."""
    return _PAIR.sub(rf"\1{MASK}", without_secrets(text))


def as_given(name: str) -> str:
    """What somebody gave as a name that there is not, as an error repeats it: it may be a secret in the wrong place."""
    return without_pairs(name)[:64]


class SecretText:
    """A secret that prints as ``********`` and leaves only through :meth:`reveal`.

    It cannot be pickled, has no length, no ``__dict__`` and no order; two are equal if their texts are.

    Args:
        text: the secret, or another SecretText.
    """

    __slots__ = ("_reveal",)

    _reveal: Callable[[], str]

    def __init__(self, text: str | SecretText) -> None:
        value = text.reveal() if isinstance(text, SecretText) else text
        object.__setattr__(self, "_reveal", lambda: value)

    def reveal(self) -> str:
        """The secret itself; call it where it is used and keep the result in no variable that outlives the use."""
        return self._reveal()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a SecretText cannot be changed")

    def __repr__(self) -> str:
        return f"SecretText('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretText):
            return NotImplemented
        # Not plain UTF-8: what a variable held that is not UTF-8 would raise an error that carries the secret.
        mine, theirs = self.reveal(), other.reveal()
        return hmac.compare_digest(mine.encode("utf-8", "surrogatepass"), theirs.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash((SecretText, self.reveal()))

    def __copy__(self) -> SecretText:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SecretText:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled: let the other process resolve it from its own sources")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        from pydantic_core import core_schema

        # The plain text is accepted on the way in and never produced on the way out.
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.union_schema(
                [core_schema.is_instance_schema(cls), core_schema.str_schema(strict=True)],
                # One finding, without the names of these two in its place.
                custom_error_type="invalid",
                custom_error_message="{message}",
                custom_error_context={"message": "is too long, or no text in UTF-8"},
            ),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}


SECRET_LONGEST = 1 << 16
"""Characters of a secret, wherever it stands: as many as bytes of a file or of a program's output are read."""

UNSENT = r"\u0000-\u0008\u000a-\u001f\u007f"
"""Characters that no secret has, for a set of a regular expression.  Milvus takes a tab in a password."""


def line_of(text: SecretText) -> SecretText:
    """The secret that a text is written for: without what editors, ``echo`` and PowerShell add to it.

    That is a byte order mark at its beginning and one newline at its end (``\\n`` or ``\\r\\n``).
    """
    line = SecretText(text.reveal().removeprefix("\ufeff"))
    return SecretText(line.reveal()[:-1].removesuffix("\r")) if line.reveal().endswith("\n") else line


def secret_fault(secret: SecretText) -> str | None:
    """What keeps the secret, a line as :func:`line_of` gives it, from being sent; None if nothing does.

    It is the end of a sentence.  It sees the secret in the clear and so raises nothing: the caller, whose locals hold
    only masked values, does.  A secret travels in a header, base64-encoded from UTF-8: anything printable may stand in
    it, and a tab; a line break may not.
    """
    if not secret:
        return "is empty"
    if len(secret.reveal()) > SECRET_LONGEST:
        return f"is longer than {SECRET_LONGEST} characters"
    if not secret.reveal().strip("*"):
        return "is a row of asterisks: the mask of a secret, not the secret"
    if is_placeholder(secret.reveal()):
        return "is ${…} itself, which nothing has put a value in place of"
    if secret.reveal().isprintable():  # a tenth of the time: thousands of profiles may inherit one text
        return None
    return next((fault for pattern, fault in _FAULTS if pattern.search(secret.reveal())), None)


_FAULTS = (
    (re.compile(r"[\r\n]"), "has several lines"),
    (re.compile(f"[{UNSENT}]"), "contains a control character"),
    # Python reads a byte that is not UTF-8 in a variable as half of a surrogate pair, which nothing can encode.
    (re.compile(r"[\ud800-\udfff]"), "is not UTF-8 text"),
)


_V = TypeVar("_V", covariant=True)

if TYPE_CHECKING:
    _MappingOf = Mapping[str, _V]
else:
    # Error reporters (Sentry) walk into whatever is an instance of Mapping, and send the values one by one: these have
    # its methods and are none.
    class _MappingOf(Generic[_V]):
        __slots__ = ()

        get = Mapping.get


@even_half_made
class _Masked(_MappingOf[_V]):
    """A snapshot of a mapping whose values do not show, not among the locals of a traceback that is walked either.

    Args:
        values: what to copy, such as ``os.environ``.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, _V]) -> None:
        snapshot = dict(values)
        self._values: Callable[[], dict[str, _V]] = lambda: snapshot

    def __getitem__(self, key: str) -> _V:
        # Neither a local nor the dictionary's own KeyError: both would put the values among a traceback's locals.
        if key in self._values():
            return self._values()[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __contains__(self, key: object) -> bool:
        return key in self._values()

    def keys(self) -> KeysView[str]:
        return self._values().keys()

    def items(self) -> ItemsView[str, _V]:
        return self._values().items()

    def values(self) -> ValuesView[_V]:
        return self._values().values()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (_Masked, Mapping)):
            return NotImplemented
        return self._values() == dict(other)

    __hash__ = None  # type: ignore[assignment]  # as of every mapping that is no key

    def __repr__(self) -> str:
        return f"<{len(self)} masked values>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled: it may hold secrets")


class MaskedMapping(_Masked[str]):
    """An environment.  On Windows its names have any case, as the system has it, and are shown in upper case."""

    __slots__ = ()

    if sys.platform == "win32":

        def __init__(self, values: Mapping[str, str]) -> None:
            super().__init__({name.upper(): value for name, value in values.items()})

        def __getitem__(self, key: str) -> str:
            return super().__getitem__(key.upper())

        def __contains__(self, key: object) -> bool:
            return super().__contains__(key.upper() if isinstance(key, str) else key)


class MaskedFields(_Masked[Any]):
    """Keyword arguments that may hold a token or a password; given on as ``**fields``."""

    __slots__ = ()


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
    import base64  # with what follows, some milliseconds that few need
    import json
    from urllib.parse import quote

    forms = set()
    for text in (token, token.partition(":")[2]):
        content = text.encode("utf-8", "surrogatepass")
        encoded = base64.b64encode(content).decode().rstrip("=")
        forms |= {text, encoded, encoded.translate(_URL_SAFE), content.hex(), content.hex().upper()}
        forms |= {quote(content, safe=""), json.dumps(text)[1:-1]}
    return sorted((form for form in forms if len(form) >= _SHORTEST_SECRET), key=len, reverse=True)


_URL_SAFE = str.maketrans("+/", "-_")
