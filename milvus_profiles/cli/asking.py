"""Questions to a person, each with its answer for where there is nobody to ask; and what people write as commands."""

from __future__ import annotations

import shlex

import typer

from ..errors import DeclinedError, MilvusProfilesError, UsageError
from ..masked import SecretText
from .session import current

__all__ = ["ask_hidden", "command_words", "confirm"]


def confirm(question: str, *, alone: MilvusProfilesError, declined: str, yes: bool = False) -> None:
    """Go on only after a yes, or where it was given beforehand.

    Raises:
        MilvusProfilesError: ``alone``, where nobody can be asked.
        DeclinedError: the answer was no; ``declined`` says what that means.
    """
    if yes:
        return
    if not current().interactive:
        raise alone
    if not typer.confirm(question, err=True):
        raise DeclinedError(declined)


def ask_hidden(text: str) -> SecretText:
    """What somebody types at a prompt without an echo, which may be nothing."""
    from ..secrets.terminal import kept

    with kept(f"{text}: "):
        return SecretText(typer.prompt(text, hide_input=True, err=True, default="", show_default=False))


def command_words(text: str, fault: str, hint: str) -> list[str]:
    """A command as a shell would take it apart; UsageError where it is empty, or a quote is not closed."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise UsageError(fault, hint=hint)
    return words
