"""The options that commands share, and how the words of commands are taken apart where typer's own way is not enough.

:func:`command` gives each command the options that all take, so that ``milvus-profiles --json profile list`` and
``milvus-profiles profile list --json`` are the same.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial, wraps
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from typer import Argument, Exit, Option
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError
from ..text import milvus_profiles
from .asking import Asked, ask
from .internal import GLOBAL_PANEL, VALUED
from .session import current, tell_log


def begun(values: Iterable[str]) -> Callable[[str], list[str]]:
    """What completes an argument whose values are known: those that begin as what is typed."""
    return lambda incomplete: [value for value in values if value.startswith(incomplete)]


def option(*names: str, default: Any = None, **settings: Any) -> Any:
    """An option as a field of a class of options; the settings are typer's."""
    return field(default=default, metadata={"option": Option(*names, **settings)})


# The panels of the help in which the options stand that say where a server is, and how to connect.
address_option = partial(option, rich_help_panel="Address")
secret_option = partial(option, rich_help_panel="User and secret")
tls_option = partial(option, rich_help_panel="TLS")

AliasArgument = Annotated[
    str | None,
    Argument(metavar="ALIAS", help="The profile, unless --profile or MILVUS_PROFILE names it."),
    Asked("profile"),
]
"""Not None unless one of those names it."""
OptionalAlias = Annotated[
    str | None, Argument(metavar="[ALIAS]", help="The profile; default: the selected one."), Asked("unselected")
]
NewAlias = Annotated[str, Argument(metavar="NEW", help="Its new name."), Asked("text", "Its new name")]
DryRunOption = Annotated[bool, Option("--dry-run", help="Print the change, make none.")]
ForceOption = Annotated[bool, Option("--force", help="Replace a profile of that name.")]
TimeoutOption = Annotated[
    float | None, Option("--timeout", metavar="S", min=0.001, help="Seconds for each; default: the profile's.")
]


# Options of `add` and of `connect`, which has short names too, those of the Milvus CLI.
host_option = partial(address_option, "--host", metavar="HOST")
port_option = partial(address_option, "--port", metavar="PORT", help="Port. The default is 19530.")
user_option = partial(secret_option, "--user", metavar="USER", help="User; the password goes into the keyring.")
password_option = partial(
    secret_option, "--password-stdin", default=False, help="Read the user's password from stdin into the keyring."
)


@dataclass(frozen=True)
class PlaceOptions:
    """Which file is meant, where it is not the one that declares the profile, or takes new ones."""

    user_file: bool = option("--user-file", default=False, help="Change the user's file.")
    project_file: bool = option("--project-file", default=False, help="Change the project's milvus.toml.")

    @property
    def is_named(self) -> bool:
        return self.user_file or self.project_file


@dataclass(frozen=True)
class ChangeOptions(PlaceOptions):
    """How a profile that is there is changed."""

    dry_run: DryRunOption = False
    yes: bool = option("--yes", "-y", default=False, help="Do not ask about a protected profile.")


R = TypeVar("R")


def _once(name: str, value: str | None, before: str | None) -> str | None:
    if value == "":
        # Often a variable that is not set: to go on with another file or profile would be a surprise.
        raise UsageError(f"{name} is empty", hint="give it a value, or leave it out")
    if value is not None and before is not None and value != before:
        raise UsageError(f"{name} is given twice", hint="give it once")
    return value if value is not None else before


_global_option = partial(option, rich_help_panel=GLOBAL_PANEL)


@dataclass(frozen=True)
class _GlobalOptions:
    """What may stand before the command or after it, and holds for the run."""

    config: str | None = _global_option("--config", metavar="FILE", help="Use this file and no other.")
    json: bool = _global_option("--json", default=False, help="Print one JSON value.")
    no_color: bool = _global_option("--no-color", default=False, help="Print without colours.")
    verbose: int = _global_option(
        "--verbose", "-v", default=0, count=True, metavar="", show_default=False, help="Say more; -vv even more."
    )
    quiet: bool = _global_option(
        "--quiet", "-q", default=False, help="Print only what was asked for, warnings and errors."
    )

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

    profile: str | None = _global_option("--profile", metavar="ALIAS", help="Use this profile.")

    def enter(self) -> None:
        super().enter()
        session = current()
        session.profile = _once("--profile", self.profile, session.profile)


def command(function: Callable[..., R], *, uses_profile: bool = True) -> Callable[..., R]:
    """Make a function a command, with ``--profile`` if it uses one; if not, one before the command is an error.

    It gets the global options, which go into the session before it runs; and a parameter whose type is a dataclass
    stands for the options that the class declares: the function gets them as one object.
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

    @wraps(function)
    def run(**values: Any) -> R:
        taken(common, values).enter()
        if not uses_profile and current().profile is not None:
            raise UsageError("--profile names a profile, and this command uses none", hint="leave it out")
        options = {name: taken(kind, values) for name, kind in groups.items()}
        for name, mark in asked.items():
            if values[name] is None:
                values[name] = ask(mark)
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
    types |= {one.name: Annotated[types[one.name], one.metadata["option"]] for one in fields(kind) if one.metadata}  # pyright: ignore
    return [inspect.Parameter(one.name, only, default=one.default, annotation=types[one.name]) for one in fields(kind)]


_NOBODY = "-"  # holds the place of an alias that was left out


def _refuse_two(command: Any, ctx: Any, args: Sequence[str]) -> None:
    """Refuse two files or two profiles: the parser would take the last, as if the first had not been typed."""
    if ctx.resilient_parsing or not any(word.partition("=")[0] in VALUED for word in args):
        return
    _, _, order = command.make_parser(ctx).parse_args(args=list(args))
    for option in order:
        name = option.opts[0]
        if name in VALUED and order.count(option) > 1:
            values = {
                after if word == name else word.partition("=")[2]
                for word, after in zip(args, [*args[1:], ""], strict=True)
                if word.partition("=")[0] == name
            }
            if len(values) > 1:
                raise UsageError(f"{name} is given twice", hint="give it once")


class _Shown:
    """How commands and groups show themselves."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Take the words apart; what is wrong with them names the command, where the parser does not know it."""
        try:
            return super().make_context(info_name, args, parent, **extra)  # type: ignore[misc]
        except Exception as error:
            if getattr(error, "ctx", error) is None:
                error.command_path = f"{parent.command_path} {info_name}" if parent else info_name  # type: ignore[attr-defined]
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the page; typer's formatter has no panels where there are no colours, and cuts summaries off."""
        from .help import print_page

        print_page(self, ctx)
        raise Exit

    def __repr__(self) -> str:  # typer's own needs a name, which is not there before it is made
        return f"<{type(self).__name__} {getattr(self, 'name', None)}>"


class Command(_Shown, TyperCommand):
    """A command.  An alias that it needs may be left out where ``--profile`` or MILVUS_PROFILE names the profile."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words apart, with a word in the place of an alias that was left out."""
        _refuse_two(self, ctx, args)
        if ctx.resilient_parsing or not self._leaves_out_alias(ctx, args):
            return super().parse_args(ctx, args)
        rest = super().parse_args(ctx, [_NOBODY, *args])
        ctx.params["alias"] = None
        return rest

    def _leaves_out_alias(self, ctx: Any, args: Sequence[str]) -> bool:
        needed = self._needed()
        if needed[:1] != ["alias"] or not any(one.name == "profile" for one in self.params):
            return False
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        if not (given.get("profile") or current().named):
            return False
        return self.leaves_out(ctx, args, given)

    def leaves_out(self, ctx: Any, args: Sequence[str], given: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether words that may leave the alias out do so: they are too few, or the first one names a field."""
        if not all(given.get(name) for name in self._needed()):
            return True
        assignments, fields, first = given.get("assignments"), given.get("fields"), str(given.get("alias") or "")
        if assignments is not None:
            return "=" in first
        if not fields:
            return False
        from ..config.fields import FIELDS

        return first.partition(".")[0] in FIELDS and first not in current().profiles()

    def _needed(self) -> list[str]:
        """The arguments that are no optional ones, whether a terminal is asked for them or not."""
        arguments = [one for one in self.params if one.param_type_name == "argument"]
        return [one.name for one in arguments if not (one.metavar or "").startswith("[")]


class Group(_Shown, TyperGroup):
    """Commands under one name; without one of them it prints the help, as an error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words apart."""
        if args or ctx.resilient_parsing:
            _refuse_two(self, ctx, args)
            return super().parse_args(ctx, args)
        if current().json:
            raise UsageError(
                "Missing command",
                hint=f"{milvus_profiles(*ctx.command_path.split()[1:], '--help')} shows what there is",
            )
        from .help import print_page

        print_page(self, ctx, sys.stderr)
        raise Exit(2)
