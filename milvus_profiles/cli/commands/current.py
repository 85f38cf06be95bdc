"""``current``: which profile is selected, and why; :mod:`..prompt` answers where that takes no machinery."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Option

from ...errors import UsageError
from ..prompt import FIELDS, FormatFault, written
from ..session import current

__all__ = ["current_profile"]


def current_profile(
    form: Annotated[
        str | None, Option("--format", metavar="TEXT", help="Print this, with {alias}, {uri}, {db_name}, {reason}.")
    ] = None,
) -> None:
    """Print the selected profile, and on a terminal why it is; quick enough for a prompt."""
    selection = current().select()
    profile = current().profiles().resolve(selection.alias).profile
    record = {
        "alias": selection.alias,
        "uri": None if profile.is_template else profile.endpoint.uri,
        "db_name": profile.db_name,
        "reason": selection.reason,
    }
    try:
        text = written(record, as_json=current().json, form=form, terminal=sys.stdout.isatty())
    except FormatFault as fault:
        part, there = str(fault), ", ".join(f"{{{name}}}" for name in FIELDS)
        if part[1:-1].isidentifier():
            raise UsageError(f"--format has no {part}", hint=f"there are {there}") from None
        raise UsageError(
            f"--format has a '{part[0]}' that belongs to no field",
            hint=f"there are {there}; a brace itself is written twice",
        ) from None
    sys.stdout.write(f"{text}\n")
