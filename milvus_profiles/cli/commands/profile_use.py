"""``profile use``: which profile is the default, and which one was before."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...config.state import read_state, update_state
from ...errors import MilvusProfilesError, UsageError
from ...profile import fold_alias
from ..output import emit_json, note, say, say_lines, shorten, warn
from ..session import current
from ..target import Target, apply, choose, note_edit

if TYPE_CHECKING:
    from ...config.edit import Operation

__all__ = ["default_in", "make_default", "use"]


def use(
    alias: Annotated[str, typer.Argument(metavar="ALIAS | -", help="The profile; - for the one before.")],
    project_file: Annotated[bool, typer.Option("--project-file", help="Write to the project's file.")] = False,
    shell: Annotated[bool, typer.Option("--shell", help="Only print the line that selects it for one shell.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the change, make none.")] = False,
) -> None:
    """Make a profile the default: in the user's file, or the project's, or (--shell) for one shell only."""
    from ...config.edit import SetRoot, UnsetRoot

    profiles = current().profiles()
    target = choose(own=True, project=project_file)
    before = default_in(target)
    wanted = _previous(target) if alias == "-" else profiles.select(alias, name="ALIAS").alias
    if shell:
        if wanted is None:
            raise UsageError("there is no profile to go back to", hint="name one")
        _print_shell_line(wanted)
        return
    operation: Operation = SetRoot("default_profile", wanted) if wanted is not None else UnsetRoot("default_profile")
    result, trusted = apply(target, [operation], dry_run=dry_run)
    if dry_run:
        if current().json:
            emit_json({"alias": wanted, "file": target.path, "diff": result.diff})
        else:
            say_lines(result.diff.rstrip("\n") if result.changed else "nothing would change")
        return
    hidden = _selected(target, before, wanted)
    if current().json:
        emit_json({"alias": wanted, "file": target.path, "hidden_by": hidden})
        return
    said = f"the default profile is {wanted!r}" if wanted is not None else "there is no default profile"
    say(f"{said} in {target.words} {shorten(target.path)}")
    if hidden is not None:
        warn(f"something stronger hides it: {hidden}")
    note_edit(target, trusted, result.notes)


def make_default(target: Target, wanted: str | None) -> tuple[bool, str | None]:
    """Write the default profile of a file; what was there before is what ``use -`` goes back to.

    Args:
        target: the file.
        wanted: the alias; None for no default.

    Returns:
        Whether the file is trusted, and what selects another profile all the same, in words; None if nothing does.
    """
    from ...config.edit import SetRoot, UnsetRoot

    before = default_in(target)
    operation: Operation = SetRoot("default_profile", wanted) if wanted is not None else UnsetRoot("default_profile")
    result, trusted = apply(target, [operation])
    for line in result.notes:
        note(line)
    return trusted, _selected(target, before, wanted)


def _selected(target: Target, before: str | None, wanted: str | None) -> str | None:
    if before != wanted:
        _remember(target, before)
    return _hiding(wanted)


def _print_shell_line(alias: str) -> None:
    shell = os.path.basename(current().env.get("SHELL", "sh"))
    line = (
        f"set -gx MILVUS_PROFILE {shlex.quote(alias)}"
        if shell == "fish"
        else f"export MILVUS_PROFILE={shlex.quote(alias)}"
    )
    if current().json:
        emit_json({"alias": alias, "shell": line})
    else:
        say(line)


def _hiding(wanted: str | None) -> str | None:
    """What selects another profile although this one was just made a default."""
    try:
        selection = current().profiles(fresh=True).select()
    except MilvusProfilesError as error:
        return error.message
    if wanted is None or fold_alias(selection.alias) == fold_alias(wanted):
        return None
    return f"{selection.reason} ({selection.alias})"


def default_in(target: Target) -> str | None:
    """The default profile that a file names; None where it names none, or is not there."""
    from ...config.documents import read_document

    if not os.path.lexists(target.path):
        return None
    value = read_document(target.path, target.role).root.get("default_profile")
    return value if isinstance(value, str) else None


_STATE = "previous.json"


def _states() -> dict[str, Any]:
    state = read_state(_STATE, current().env)
    if (fault := state.fault or state.unread) is not None:
        warn(f"the profile before {fault[0]}: {fault[1]}")
    return state.values


def _previous(target: Target) -> str | None:
    """The default before the last `use`; None where there was none."""
    states = _states()
    if os.path.realpath(target.path) not in states:
        raise UsageError("there is no profile to go back to", hint="name one: `milvus-profiles profile use ALIAS`")
    value = states[os.path.realpath(target.path)]
    return value if isinstance(value, str) else None


def _remember(target: Target, alias: str | None) -> None:
    """Remember the default that was replaced: it was, so that this may fail is no error any more."""
    place = os.path.realpath(target.path)
    try:
        update_state(_STATE, current().env, "the profile before", lambda values: values | {place: alias})
    except MilvusProfilesError as error:
        at = f"{error.location}: " if error.location is not None else ""
        warn(f"`profile use -` will not go back: {at}{error.message}" + (f" ({error.hint})" if error.hint else ""))
