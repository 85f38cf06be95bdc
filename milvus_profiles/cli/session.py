"""One run of the command line: its global options, its environment, and where it prints.

The options that every command takes are declared here, once, and :func:`command` gives them to each, so that
``milvus-profiles --json profile list`` and ``milvus-profiles profile list --json`` are the same.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ..alias import fold_alias
from ..errors import UsageError
from ..files.given import is_given
from ..masked import MaskedMapping
from ..text import Standing
from .options import Asked

if TYPE_CHECKING:
    from ..config.profiles import Profiles, Resolved, Selection
    from ..secrets import OSKeyring

__all__ = ["GLOBAL_PANEL", "NAME", "Session", "command", "current", "start"]

R = TypeVar("R")

NAME = "milvus-profiles"
"""The program, whatever name it was called by."""
GLOBAL_PANEL = "Every command"
"""Where the help has the options that every command takes."""


@dataclass
class Session:
    """The state of one run.

    Attributes:
        env: the environment.
        config: the file that ``--config`` names.
        profile: the alias that ``--profile`` names.
        json: whether output is JSON.
        color: whether colours are allowed where the output is a terminal.
        verbose: how much more to say: 1 what is for experts, 2 what happens meanwhile too.
        quiet: whether to say less: results, warnings and errors only.
        explained: codes of errors whose page was named already.
        keyring: the keyring of this run, once it was needed.
        warn: what tells a warning.
        ask: what asks for an argument that is missing.
        creates: whether the command writes the named file where there is none, so that it need not be there before.
        picked: whether the profile was picked from a list, so that nobody has typed its name.
    """

    env: MaskedMapping = field(default_factory=lambda: MaskedMapping(os.environ))
    config: str | None = None
    profile: str | None = None
    json: bool = False
    color: bool = True
    verbose: int = 0
    quiet: bool = False
    explained: set[str] = field(default_factory=set)
    keyring: OSKeyring | None = None
    warn: Callable[[str], object] = lambda _: None
    ask: Callable[[Asked], str | None] = lambda _: None
    creates: bool = False
    picked: bool = False
    _profiles: Profiles | None = field(default=None, repr=False)
    _told: bool = False

    def profiles(self, *, fresh: bool = False) -> Profiles:
        """The profiles in force, loaded when first asked for, or read again (``fresh``) after an edit."""
        if self._profiles is None or fresh:
            from ..config.loading import load

            self._profiles = load(self.config, env=self.env, file_name="--config", new=self.creates)
        return self._profiles

    @property
    def named(self) -> str | None:
        """The profile that ``--profile`` names, else MILVUS_PROFILE; None where neither does."""
        return self.profile or self.env.get("MILVUS_PROFILE") or None

    def agreed(self, alias: str | None) -> str | None:
        """The profile that an argument or ``--profile`` names; UsageError where they name two."""
        if alias is None or self.profile is None:
            return self.profile if alias is None else alias
        if fold_alias(alias) != fold_alias(self.profile):
            raise UsageError("ALIAS and --profile name two profiles", hint="leave one of them out")
        return alias

    def select(self, alias: str | None = None, *, tells: bool = True) -> Selection:
        """The profile that a command works on: its argument, else ``--profile``, else what the layers select.

        Args:
            alias: its argument.
            tells: whether to warn of a MILVUS_PROFILE that is passed over, and names nothing.
        """
        wanted = self.agreed(alias)
        if self._profiles is None:
            from ..config.loading import load_for

            self._profiles, left_out = load_for(wanted, self.config, env=self.env, file_name="--config")
            if left_out is not None:
                self.warn(left_out)
                self._told = True  # what it names may stand there
        selection = self._profiles.select(wanted, name="ALIAS" if alias is not None else "--profile")
        if wanted is not None and tells:
            self.tell_of_variable()
        return selection

    def tell_of_variable(self) -> None:
        """Warn of a MILVUS_PROFILE that a name goes before, or all profiles do, and that names nothing."""
        name, profiles = self.env.get("MILVUS_PROFILE"), self.profiles()
        if not name or name in profiles or self._told:
            return
        self._told = True
        error = profiles.unknown(name)
        self.warn(f"MILVUS_PROFILE is passed over: {error.message}" + (f" ({error.hint})" if error.hint else ""))

    def use(self, alias: str | None = None) -> Resolved:
        """The profile that a command connects with, or tells others how to; alias as for :meth:`select`."""
        selected = self.select(alias).alias
        return self.profiles().use(selected)

    @property
    def standing(self) -> Standing:
        """Where profiles stand in this run, for remedies: in the file that it was told, if it was."""
        return Standing(None if self.config is None or is_given(self.config) else self.config)

    def remedy(self, *words: str) -> str:
        """A command of this program, between backticks, for the same file as this run."""
        return self.standing.command(*words)

    def colors(self, stream: Any) -> bool:
        """Whether a stream gets colours: a terminal does, unless NO_COLOR (https://no-color.org) or an option."""
        return self.color and not self.env.get("NO_COLOR") and self.env.get("TERM") != "dumb" and stream.isatty()

    @property
    def interactive(self) -> bool:
        """Whether questions can be asked: both the answer and the question have a terminal, and somebody is there."""
        unattended = self.env.get("CI", "").lower() not in ("", "0", "false")
        return not unattended and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def asks(self) -> bool:
        """Whether what is missing is asked for, instead of being an error: not for programs, which want JSON."""
        return self.interactive and not self.json


_session = Session()


def start() -> Session:
    """Begin a run with a fresh state."""
    global _session
    _session = Session()
    return _session


def current() -> Session:
    """The state of this run."""
    return _session


def tell_log() -> None:
    """Write what the package logs to standard error."""
    import logging

    from ..log import LOG

    if not any(isinstance(handler, logging.StreamHandler) for handler in LOG.handlers):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)


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
