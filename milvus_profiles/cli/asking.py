"""Questions to a person: all that is asked on a terminal is asked here, and what people write as commands is read.

Pickers and lines of text are questionary's, which is loaded for the first of them; a yes and a secret are asked by
typer, so that no secret gets into the editing of lines, its undo and its history.  A terminal that can do nothing
(``TERM=dumb``) is asked in plain lines.  An argument that somebody left out is asked for: a profile is picked.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import typer

from ..errors import DeclinedError, MilvusProfilesError, UnknownProfileError, UsageError
from ..masked import SecretText
from ..names import is_alias
from ..secrets.terminal import kept
from ..text import counted, printable
from .output import note
from .session import current

if TYPE_CHECKING:
    from questionary import Question

    from ..config.profiles import Profiles
    from ..config.resolved import Examined


T = TypeVar("T")

_PARTING = "\x1b[?25h\x1b[?2004l\n"
"""The cursor is seen again, and what is pasted is no longer marked as pasted: what prompt_toolkit changes."""


@dataclass(frozen=True)
class Asked:
    """Marks an argument that a person is asked for on a terminal where it is missing; elsewhere that is an error.

    Attributes:
        by: ``"profile"`` is a picker of profiles, ``"unselected"`` the same where none is selected, ``"one"`` a picker
            of the values, ``"text"`` a line; ``"command"`` leaves it to the command, which gets None.
        question: what is asked.
        values: what there is.
    """

    by: Literal["profile", "unselected", "one", "text", "command"]
    question: str = "Which profile?"
    values: tuple[str, ...] = ()


def confirm(question: str, *, alone: MilvusProfilesError, declined: str, yes: bool = False) -> None:
    """Go on only after a yes, or where it was given beforehand; else it raises.

    ``alone`` is raised where nobody can be asked; ``declined`` says what a no means.
    """
    if yes:
        return
    if not current().interactive:
        raise alone
    if not agreed(question):
        raise DeclinedError(declined)


def agreed(question: str, *, default: bool = False) -> bool:
    """Whether somebody says yes; there must be somebody to ask, as for all that follow."""
    return typer.confirm(printable(question), default=default, err=True)


def ask_hidden(text: str) -> SecretText:
    """What somebody types at a prompt without an echo, which may be nothing."""
    with kept(f"{text}: "):
        return SecretText(typer.prompt(text, hide_input=True, err=True, default="", show_default=False))


def ask_text(
    question: str, *, default: str = "", typed: str = "", fault: Callable[[str], str | None] = lambda _: None
) -> str:
    """A line of text, asked for again as long as ``fault`` says what is wrong with it.

    The default is shown, and holds where nothing is typed; ``typed`` stands there already, to be changed.
    """
    asked = printable(question) + (f" ({printable(default)}):" if default else ":")
    begun, is_capable = typed, _is_capable()
    while True:
        if is_capable:
            from questionary import text

            begun = _asked(lambda where, begun=begun: text(asked, default=begun, **where))  # type: ignore[misc]
            answer = begun.strip() or default
        else:
            answer = typer.prompt(
                asked, default=default or typed, show_default=False, prompt_suffix=" ", err=True
            ).strip()
        if (found := fault(answer)) is None:
            return answer
        # Whole, and above the question: questionary's own place for it is one line, which cuts it off.
        typer.echo(printable(found), err=True)


def pick(question: str, options: Mapping[T, str], *, at: T | None = None) -> T:
    """One of several, with the arrow keys or by typing a part of it, beginning with ``at``."""
    values = list(options)
    titles = [printable(title) for title in options.values()]
    if not _is_capable():
        return values[_plain_number(printable(question), titles, 0 if at is None else values.index(at))]
    from questionary import Choice, select

    choices = [Choice(title, value=number, shortcut_key=False) for number, title in enumerate(titles)]
    number: int = _asked(
        lambda where: select(
            printable(question),
            choices,
            default=None if at is None else choices[values.index(at)],
            pointer=">",  # every terminal has it, whatever its encoding
            instruction="(arrow keys, or type to filter)",
            use_search_filter=True,
            use_jk_keys=False,
            **where,
        )
    )
    return values[number]


def _is_capable() -> bool:
    return current().env.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _asked(make: Callable[[dict[str, Any]], Question]) -> Any:
    """The answer to a question of questionary's, on standard error: standard output is for results."""
    from prompt_toolkit.input import create_input
    from prompt_toolkit.input.typeahead import clear_typeahead
    from prompt_toolkit.output import ColorDepth, create_output
    from prompt_toolkit.output.vt100 import Vt100_Output

    typed, shown = create_input(sys.stdin), create_output(stdout=sys.stderr)
    if isinstance(shown, Vt100_Output):
        # The terminal's answer to where the cursor is could come late, and be read as a part of a password.
        shown.enable_cpr = False
    where: dict[str, Any] = {"input": typed, "output": shown}
    if not current().colors(sys.stderr):
        where["color_depth"] = ColorDepth.DEPTH_1_BIT
    question = make(where)
    _add_keys(question)
    sys.stdout.flush()
    try:
        with kept(parting=_PARTING):
            return question.unsafe_ask()
    except EOFError:
        raise typer.Abort from None
    finally:
        # What was typed ahead, or pasted with ends of lines in it, answers no other question: it may be a secret.
        clear_typeahead(typed)


def _add_keys(question: Question) -> None:
    """Ctrl+Z stops the program, as everywhere; where nothing has what was typed in it, nothing is shown or picked."""
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent, merge_key_bindings
    from questionary.prompts.common import InquirerControl

    keys, app = KeyBindings(), question.application
    controls = [window.content for window in app.layout.find_all_windows()]
    lists = [control for control in controls if isinstance(control, InquirerControl)]

    @Condition
    def finds_nothing() -> bool:
        # questionary has all of them then, with the first one marked.
        searched = [(one.search_filter.lower(), one.choices) for one in lists if one.search_filter]
        return any(not any(text in str(choice.title).lower() for choice in choices) for text, choices in searched)

    @keys.add("c-z", eager=True)
    def stop(event: KeyPressEvent) -> None:
        event.app.suspend_to_background()

    @keys.add("enter", eager=True, filter=finds_nothing)
    def ignore(event: KeyPressEvent) -> None:
        event.app.output.bell()

    for one in lists:
        one.text = partial(_shown, cast("Callable[[], Any]", one.text), finds_nothing)

    given = [app.key_bindings] if app.key_bindings is not None else []
    app.key_bindings = merge_key_bindings([*given, keys])


def _shown(choices: Callable[[], Any], finds_nothing: Callable[[], bool]) -> Any:
    return [("class:text", "   nothing has this in it")] if finds_nothing() else choices()


def _plain_number(question: str, titles: list[str], at: int) -> int:
    for number, title in enumerate(titles, 1):
        typer.echo(f"{number:3}  {title}", err=True)
    while True:
        answer: str = typer.prompt(f"{question} [{at + 1}]", default=str(at + 1), show_default=False, err=True)
        with contextlib.suppress(ValueError):
            if 1 <= int(answer) <= len(titles):
                return int(answer) - 1
        typer.echo(f"a number from 1 to {len(titles)}", err=True)


def command_words(text: str, fault: str, hint: str) -> list[str]:
    """A command as a shell would take it apart; UsageError where it is empty, or a quote is not closed.

    On Windows a backslash is one, as in the path of a program.
    """
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if sys.platform == "win32":
        lexer.escape = ""
    try:
        words = list(lexer)
    except ValueError:
        words = []
    if not words:
        raise UsageError(fault, hint=hint)
    return words


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
    from ..config.disclosure import shown
    from ..config.invalid import Findings

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
