"""``profile use``: which profile is the default, and which one was before."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

from typer import Argument, Option

from ...config.locations import current_directory, project_file
from ...config.state import read_state, update_state
from ...errors import MilvusProfilesError, UsageError
from ...names import fold_alias
from ...text import quote
from ..asking import pick
from ..options import Asked, DryRunOption, PlaceOptions
from ..output import answer, shorten, warn
from ..session import current
from ..target import Target, choose
from ..writing import show_plan, write

__all__ = ["default_in", "make_default", "use"]


def use(
    alias: Annotated[
        str | None,
        Argument(metavar="ALIAS | -", help="The profile; - for the one before."),
        Asked("profile", "Which profile is to be the default?"),
    ],
    place: PlaceOptions,
    shell: Annotated[bool, Option("--shell", help="Only print the line that selects it for one shell.")] = False,
    dry_run: DryRunOption = False,
) -> None:
    """Make a profile the default: in the user's file, or the project's, or (--shell) for one shell only."""
    if alias == "-" and current().profile is not None:
        raise UsageError("- and --profile name two profiles", hint="leave one of them out")
    wanted = None if alias == "-" else current().select(alias, tells=False).alias
    if shell or dry_run:
        current().tell_of_variable()  # what is written it hides instead, which is told below
    target = choose(place, own=True) if shell else _choose(place, wanted)
    if alias == "-":
        wanted = _previous(target)
    if shell:
        if wanted is None:
            raise UsageError(
                "there is no profile to go back to", hint=f"name one: {current().remedy('profile', 'use', 'ALIAS')}"
            )
        _print_shell_line(wanted)
        return
    record = {"alias": wanted, "file": target.path}
    if dry_run:
        show_plan(write(target, lambda editor: editor.set_root("default_profile", wanted), dry_run=True), record)
        return
    hidden = make_default(target, wanted)
    said = f"the default profile is {wanted!r}" if wanted is not None else "there is no default profile"
    answer(record | {"hidden_by": hidden}, f"{said} in {target}")
    if hidden is not None and not current().json:
        warn(f"something stronger hides it: {hidden}")
    if wanted is not None and target.role == "user" and _is_the_projects(wanted):
        remedy = current().remedy("profile", "use", wanted, "--project-file")
        warn(f"only the project declares {wanted!r}, so elsewhere there is no such profile: {remedy} is about it alone")


def _is_the_projects(alias: str) -> bool:
    """Whether there is such a profile in a project's file alone."""
    document = current().profiles().declaring(alias)
    return document is not None and document.role == "project"


def _choose(place: PlaceOptions, wanted: str | None) -> Target:
    """The file whose default changes: asked where the project's own hides the user's, or it alone has the profile."""
    target = choose(place, own=True)
    path = project_file(current_directory(), current().env)
    if target.role != "user" or place.is_named or path is None or not current().asks:
        return target
    project = Target(path, "project")
    here = default_in(project)
    if here is None and (wanted is None or not _is_the_projects(wanted)):
        return target
    there = default_in(target)
    now = "none yet" if there is None else f"now {there!r}"
    why = f"Only the project declares {wanted!r}" if here is None else f"The project has a default of its own, {here!r}"
    return pick(
        f"{why}. Which one is to change?",
        {
            project: f"the project's, which counts here: {shorten(project.path)}",
            target: f"your own, for everywhere else ({now}): {shorten(target.path)}",
        },
    )


def make_default(target: Target, wanted: str | None) -> str | None:
    """Write the default profile of a file; what was there before is what ``use -`` goes back to.

    Args:
        target: the file.
        wanted: the alias; None for no default.

    Returns:
        What selects another profile all the same, in words; None if nothing does.
    """
    before = default_in(target)
    write(target, lambda editor: editor.set_root("default_profile", wanted))
    if before != wanted:
        _remember(target, before)
    return _hiding(wanted)


def _print_shell_line(alias: str) -> None:
    # On Windows git's bash sets SHELL, and PowerShell does not.
    shell = os.path.basename(current().env.get("SHELL", "powershell" if sys.platform == "win32" else "sh"))
    lines = {"fish": f"set -gx MILVUS_PROFILE {quote(alias)}", "powershell": f'$env:MILVUS_PROFILE = "{alias}"'}
    line = lines.get(shell, f"export MILVUS_PROFILE={quote(alias)}")
    answer({"alias": alias, "shell": line}, line, asked=True)


def _hiding(wanted: str | None) -> str | None:
    """What selects another profile although this one was just made a default."""
    try:
        selection = current().profiles(fresh=True).select()
    except MilvusProfilesError as error:
        place = "" if error.location is None else f"{error.location}: "
        return f"{place}{error.message}"
    if wanted is None or fold_alias(selection.alias) == fold_alias(wanted):
        return None
    return f"{selection.reason} ({selection.alias})"


def default_in(target: Target) -> str | None:
    """The default profile that a file names; None where it names none, or is not there."""
    document = target.read()
    value = document.root.get("default_profile") if document is not None else None
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
        raise UsageError(
            "there is no profile to go back to", hint=f"name one: {current().remedy('profile', 'use', 'ALIAS')}"
        )
    value = states[os.path.realpath(target.path)]
    if not isinstance(value, str):
        return None
    if value not in current().profiles():
        raise current().profiles().unknown(value)
    return value


def _remember(target: Target, alias: str | None) -> None:
    """Remember the default that was replaced: it was, so that this may fail is no error any more."""
    place = os.path.realpath(target.path)
    try:
        update_state(_STATE, current().env, "the profile before", lambda values: values | {place: alias})
    except MilvusProfilesError as error:
        at = f"{error.location}: " if error.location is not None else ""
        warn(
            f"{current().remedy('profile', 'use', '-')} will not go back: {at}{error.message}"
            + (f" ({error.hint})" if error.hint else "")
        )
