"""The options that every command takes, declared once.

:func:`command` gives them to each, so that ``milvus-profiles --json profile list`` and ``milvus-profiles profile list
--json`` are the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..errors import UsageError
from .options import Asked
from .session import current, tell_log

__all__ = ["GLOBAL_PANEL", "command"]

R = TypeVar("R")

GLOBAL_PANEL = "Every command"
"""Where the help has the options that every command takes."""


def _once(name: str, value: str | None, before: str | None) -> str | None:
    if value == "":
        # Often a variable that is not set: to go on with another file or profile would be a surprise.
        raise UsageError(f"{name} is empty", hint="give it a value, or leave it out")
    if value is not None and before is not None and value != before:
        raise UsageError(f"{name} is given twice", hint="give it once")
    return value if value is not None else before


_option = functools.partial(typer.Option, rich_help_panel=GLOBAL_PANEL)


@dataclass(frozen=True)
class _GlobalOptions:
    """What may stand before the command or after it, and holds for the run."""

    config: Annotated[str | None, _option("--config", metavar="FILE", help="Use this file and no other.")] = None
    json: Annotated[bool, _option("--json", help="Print one JSON value.")] = False
    no_color: Annotated[bool, _option("--no-color", help="Print without colours.")] = False
    verbose: Annotated[
        int,
        _option("--verbose", "-v", count=True, metavar="", show_default=False, help="Say more; -vv even more."),
    ] = 0
    quiet: Annotated[bool, _option("--quiet", "-q", help="Print only what was asked for, warnings and errors.")] = False

    def enter(self) -> None:
        session = current()
        session.config = _once("--config", self.config, session.config)
        session.json |= self.json
        session.color &= not self.no_color
        session.verbose = max(session.verbose, self.verbose)
        if session.verbose > 1:
            tell_log()
        session.quiet |= self.quiet


@dataclass(frozen=True)
class _ProfileOptions(_GlobalOptions):
    """The same, of a command that uses a profile."""

    profile: Annotated[str | None, _option("--profile", metavar="ALIAS", help="Use this profile.")] = None

    def enter(self) -> None:
        super().enter()
        session = current()
        session.profile = _once("--profile", self.profile, session.profile)


def command(function: Callable[..., R], *, uses_profile: bool = True) -> Callable[..., R]:
    """Make a function a command.

    It gets the global options, which go into the session before it runs; and a parameter whose type is a dataclass
    stands for the options that the class declares: the function gets them as one object.

    Args:
        function: what it does.
        uses_profile: whether it has ``--profile``; if not, one before the command is an error.
    """
    common = _ProfileOptions if uses_profile else _GlobalOptions
    declared = {one.name: one for one in inspect.signature(function, eval_str=True).parameters.values()}
    groups = {name: one.annotation for name, one in declared.items() if is_dataclass(one.annotation)}
    asked = {name: mark for name, one in declared.items() if (mark := _mark(one)) is not None and current().asks}
    declared |= {name: declared[name].replace(default=None) for name in asked}
    parameters = [part for one in declared.values() for part in _unfolded(one)]
    parameters += _unfolded(inspect.Parameter("_globals", inspect.Parameter.KEYWORD_ONLY, annotation=common))

    def taken(kind: Any, values: dict[str, Any]) -> Any:
        return kind(**{part.name: values.pop(part.name) for part in fields(kind)})

    @functools.wraps(function)
    def run(**values: Any) -> R:
        taken(common, values).enter()
        if not uses_profile and current().profile is not None:
            raise UsageError("--profile names a profile, and this command uses none", hint="leave it out")
        options = {name: taken(kind, values) for name, kind in groups.items()}
        for name, mark in asked.items():
            if values[name] is None:
                values[name] = current().ask(mark)
        return function(**values, **options)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return run


def _mark(parameter: inspect.Parameter) -> Asked | None:
    marks = [one for one in get_args(parameter.annotation) if isinstance(one, Asked)]
    return marks[0] if marks else None


def _unfolded(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    kind, only = parameter.annotation, inspect.Parameter.KEYWORD_ONLY
    if not is_dataclass(kind):
        return [parameter.replace(kind=only)]
    types = get_type_hints(kind, include_extras=True)
    return [inspect.Parameter(one.name, only, default=one.default, annotation=types[one.name]) for one in fields(kind)]
