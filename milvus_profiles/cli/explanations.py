"""The pages about errors, one for each code: Markdown files that the package carries, and what people call them.

It reads nothing else, and prints nothing.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass

from .. import errors
from ..errors import MilvusProfilesError, UsageError
from ..names import suggest
from ..text import page_of
from .session import NAME

__all__ = ["Explanation", "every", "meant"]

_DIRECTORY = "explanations"
# What is no error's, or has more reasons than one.
_NO_ERROR = {
    0: "0 says that all went well",
    126: "`exec` ends with 126 where the program is there and cannot be run, else as the program does",
    127: "`exec` ends with 127 where the program is not found, else as the program does",
    130: "130 says that it was interrupted, by Ctrl+C",
    141: "141 says that whoever read the output went away, as `head` does",
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """The page of a code.

    Attributes:
        code: the stable code, such as ``tls``.
        classes: the exceptions that have it, the most general first.
    """

    code: str
    classes: tuple[type[MilvusProfilesError], ...]

    @property
    def exit_status(self) -> int:
        """The exit status of most errors of this code; a class of its own may have another."""
        return self.classes[0].exit_status

    @property
    def text(self) -> str:
        """The page, in Markdown."""
        content = pkgutil.get_data(errors.__name__.partition(".")[0], f"{_DIRECTORY}/{self.code}.md")
        assert content is not None
        return content.decode().rstrip("\n")

    @property
    def title(self) -> str:
        """What it means, in a few words: the rest of the page's first line, ``# CODE: TITLE``."""
        return self.text.partition("\n")[0].partition(": ")[2]

    @property
    def address(self) -> str:
        """Where the page is on the web."""
        return page_of(self.code)

    def names(self, status: int) -> list[str]:
        """The classes of an exit status."""
        return [one.__name__ for one in self.classes if one.exit_status == status]

    def as_json(self, *, whole: bool) -> dict[str, object]:
        """The page with documented keys, the whole of it with its text."""
        record: dict[str, object] = {
            "error": self.code,
            "exit_status": self.exit_status,
            "classes": [{"name": one.__name__, "exit_status": one.exit_status} for one in self.classes],
            "title": self.title,
            "url": self.address,
        }
        return record | {"text": self.text} if whole else record


def every() -> list[Explanation]:
    """One for each code, in the order of the exit statuses; those without a status of their own come last."""
    found: dict[str, list[type[MilvusProfilesError]]] = {}
    # In the order of the tree, from the general to the special.
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, MilvusProfilesError):
            found.setdefault(one.code, []).append(one)
    pages = [Explanation(code, tuple(classes)) for code, classes in found.items()]
    return sorted(pages, key=lambda page: (page.exit_status == 1, page.exit_status, page.code == "internal"))


def meant(word: str) -> list[Explanation]:
    """The pages that somebody asks for by a code, the name of a class, or an exit status.

    Raises:
        UsageError: there is none of that name.
    """
    pages = every()
    if word.isdecimal() and len(word) <= len("255"):
        return _by_status(int(word), pages)
    names = {page.code: page for page in pages}
    names |= {one.__name__: page for page in pages for one in page.classes}
    folded = {name.lower(): page for name, page in names.items()}
    if (found := folded.get(word.lower().replace("-", "_"))) is not None:
        return [found]
    near = suggest(word, names)
    raise UsageError(
        f"{word[:64]!a} is not the code of an error, nor a class or an exit status of one",
        hint=f"did you mean {near}?" if near else f"`{NAME} explain` lists them",
    )


def _by_status(status: int, pages: list[Explanation]) -> list[Explanation]:
    found = [page for page in pages if page.names(status)]
    if not found:
        raise UsageError(
            f"no error has the exit status {status}", hint=_NO_ERROR.get(status, f"`{NAME} explain` lists them")
        )
    return found
