"""``watch``: ``test --watch`` under a name of its own, of every profile where none is named."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from ..session import current
from .profile_test import named, watched

__all__ = ["watch"]


def watch(
    aliases: Annotated[list[str] | None, Argument(metavar="[ALIAS]...", help="The profiles; default: all.")] = None,
    every: Annotated[
        float, Option("--every", metavar="S", min=0.1, max=86400, help="Seconds from one round to the next.")
    ] = 5.0,
    count: Annotated[int | None, Option("--count", "-c", metavar="N", min=1, help="End after so many rounds.")] = None,
    timeout: Annotated[
        float | None, Option("--timeout", metavar="S", min=0.001, help="Seconds for each; default: the profile's.")
    ] = None,
) -> None:
    """Test profiles again and again: a table with the round trip of each and its last failure, until Ctrl+C.

    The round trip is that of one call over the open connection. On a pipe, and with --json, each round is one line of
    JSON. With --count the exit status is that of the last round.
    """
    # --profile and MILVUS_PROFILE name one as well as the argument does.
    profiles, names = named(aliases, not aliases and current().named is None)
    watched(profiles, names, every, timeout=timeout, count=count)
