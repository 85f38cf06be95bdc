"""How the words of commands are taken apart, and their help printed, where typer's own way is not enough."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..errors import UsageError
from ..text import command
from .internal import VALUED
from .session import current

__all__ = ["Command", "Group"]

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


class Command(TyperCommand):
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

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the page; typer's formatter has no panels where there are no colours, and cuts summaries off."""
        from .help import print_page

        print_page(self, ctx)
        raise typer.Exit

    def __repr__(self) -> str:  # typer's own needs a name, which is not there before it is made
        return f"<command {getattr(self, 'name', None)}>"


class Group(TyperGroup):
    """Commands under one name; without one of them it prints the help, as an error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words apart."""
        if args or ctx.resilient_parsing:
            _refuse_two(self, ctx, args)
            return super().parse_args(ctx, args)
        if current().json:
            raise UsageError(
                "Missing command", hint=f"{command(*ctx.command_path.split(), '--help')} shows what there is"
            )
        from .help import print_page

        print_page(self, ctx, sys.stderr)
        raise typer.Exit(2)

    def __repr__(self) -> str:
        return f"<group {getattr(self, 'name', None)}>"

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Print the page."""
        from .help import print_page

        print_page(self, ctx)
        raise typer.Exit
