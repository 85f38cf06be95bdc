"""Protected profiles: somebody is asked before one of them is replaced, changed or removed, in whatever way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..config.loading import load_text
from ..errors import DeclinedError, MilvusProfilesError
from ..names import fold_alias
from ..profile import Profile
from .asking import confirm
from .session import current
from .target import Target

if TYPE_CHECKING:
    from ..config.profiles import Profiles


def confirm_picked(alias: str, what: str, yes: bool = False) -> None:
    """Ask before something is taken from a profile that was picked from a list: one Enter is soon pressed."""
    left = DeclinedError(f"{alias!r} was left as it is")
    confirm(f"{what}?", alone=left, declined=left.message, yes=yes or not current().picked)


def confirm_protected(profiles: Profiles, alias: str, verb: str, yes: bool) -> None:
    """Ask before a profile is touched that is protected, or that a protected one extends."""
    _confirm([name for name in (alias, *_descendants(profiles, alias)) if _is_protected(profiles, name)], verb, yes)


def confirm_protected_text(before: bytes | None, after: bytes, target: Target) -> None:
    """The same where a file gets a whole new text."""
    new = load_text(after, target.path, target.role, env=current().env)
    names = []
    with suppress(MilvusProfilesError):  # a broken text says nothing of any profile
        old = load_text(before or b"", target.path, target.role, env=current().env)
        names = [name for name in old if _is_protected(old, name) and not _is_the_same(name, old, new)]
    _confirm(names, "change", False)


def _confirm(names: Sequence[str], verb: str, yes: bool) -> None:
    are, them, were = ("are", "them", "were left as they are") if len(names) > 1 else ("is", "it", "was left as it is")
    quoted = ", ".join(map(repr, names))
    confirm(
        f"{', '.join(names)} {are} protected. {verb.capitalize()} {them}?",
        alone=DeclinedError(f"{quoted} {are} protected", hint=f"confirm with --yes to {verb} {them}"),
        declined=f"{quoted} {were}",
        yes=yes or not names,
    )


def _is_protected(profiles: Profiles, alias: str) -> bool:
    key, document = fold_alias(alias), profiles.declaring(alias)
    table = None if document is None else document.profiles[document.aliases[key]]
    said = isinstance(table, dict) and "protected" in table
    if document is not None and not said and key not in profiles.settings.environment.fields:
        return False  # nobody inherits it, so most need not be put together: there may be tens of thousands
    found = profiles.examine(alias)[1]
    if isinstance(found, Profile):
        return found.protected
    # An invalid profile may say that it is protected all the same.
    return isinstance(table, dict) and table.get("protected") is True


def _descendants(profiles: Profiles, alias: str) -> Iterator[str]:
    """The profiles whose fields come from this one, at any remove."""
    document = profiles.declaring(alias)
    if document is None:
        return
    children: dict[str, list[str]] = {}
    for key, name in document.aliases.items():
        table = document.profiles[name]
        if isinstance(table, dict) and isinstance(table.get("extends"), str):
            children.setdefault(fold_alias(table["extends"]), []).append(key)
    left = [fold_alias(alias)]
    for parent in left:  # which grows
        # Taken out, so that a circle ends.
        for key in children.pop(parent, ()):
            if key != left[0]:
                left.append(key)
                yield document.aliases[key]


def _is_the_same(alias: str, old: Profiles, new: Profiles) -> bool:
    with suppress(MilvusProfilesError):
        before, after = old.raw(alias).values, new.raw(alias).values
        return before.keys() == after.keys() and all(before[path].value == after[path].value for path in before)
    return False
