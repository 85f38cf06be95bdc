"""Arguments that somebody left out, asked for on the terminal: a profile is picked from those there are."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ..config.disclosure import shown
from ..config.invalid import Findings
from ..errors import MilvusProfilesError, UnknownProfileError
from ..names import is_alias
from .asking import ask_text, pick
from .options import Asked
from .output import counted, note
from .session import current

if TYPE_CHECKING:
    from ..config.profiles import Examined, Profiles

__all__ = ["ask", "pick_profile", "selected_or_picked"]

_MOST = 1000
"""Profiles that are offered: with more, a key takes longer than it takes to type a name."""


def ask(argument: Asked) -> str | None:
    """An argument that is missing; None where the command finds its value by itself."""
    if argument.by == "command":
        return None
    if argument.by == "one":
        return pick(argument.question, {value: value for value in argument.values})
    if argument.by == "text":
        return ask_text(argument.question)
    if argument.by == "unselected":
        return selected_or_picked(argument.question)
    return current().named or pick_profile(argument.question)


def selected_or_picked(question: str = "Which profile?") -> str | None:
    """A profile that is picked where none was named and none is the default; None where one is, or nobody is there."""
    session = current()
    if session.asks and session.profile is None:
        try:
            session.profiles().select()
        except UnknownProfileError as error:
            # With a place it is a name that nobody declares.
            if error.location is None and session.profiles():
                return pick_profile(question)
        except MilvusProfilesError:
            pass
    return None


def pick_profile(question: str) -> str:
    """One of the profiles in force; UnknownProfileError where there are none."""
    profiles = current().profiles()
    # In a file anything may stand in the place of a name.
    found = [one for one in islice(profiles.examined(), _MOST) if is_alias(one[0])]
    selected = _selected(profiles)
    if not found:
        profiles.select()
        raise UnknownProfileError("there are no profiles")
    if left := len(profiles) - len(found):
        note(f"{counted(left, 'more profile')} not shown: name it instead")
    width = max(len(alias) for alias, _, _ in found)
    current().picked = True
    return pick(
        question,
        {one[0]: _title(one, width) for one in found},
        at=selected if any(selected == alias for alias, _, _ in found) else None,
    )


def _title(one: Examined, width: int) -> str:
    alias, _, profile = one
    if isinstance(profile, Findings):
        return f"{alias:{width}}  (invalid)"
    where = "(template)" if profile.is_template else profile.endpoint.uri
    told = shown(("description",), profile.description) if profile.description else ""
    return f"{alias:{width}}  {where}  {told}".rstrip()


def _selected(profiles: Profiles) -> str | None:
    try:
        return profiles.select(current().profile).alias
    except MilvusProfilesError:
        return None
