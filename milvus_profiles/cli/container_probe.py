"""``ping --probe``: for containers, the exit status alone, answered before typer, pydantic or grpc is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .internal import FLAGS, VALUED

__all__ = ["respond"]


def respond(words: Sequence[str]) -> int | None:
    """Answer ``ping --probe`` by an exit status; None where these words are another command's, or wrong.

    Args:
        words: those after the program's name.
    """
    options: dict[str, str] = {}
    flags, plain = set(), []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if word in FLAGS or word == "--probe":
            flags.add(word)
        elif name in VALUED or name == "--timeout":
            given = value if equals else next(rest, "")
            if not given or name in options:
                return None
            options[name] = given
        elif word.startswith("-"):
            return None
        else:
            plain.append(word)
    plain = plain[plain[:1] == ["profile"] :]
    if plain[:1] != ["ping"] or len(plain) > 2 or "--probe" not in flags or flags & {"-vv", "--json"}:
        return None
    try:
        timeout = float(options["--timeout"]) if "--timeout" in options else None
    except ValueError:
        return None
    if timeout is not None and not 0.001 <= timeout < 86_400:
        return None
    # gRPC writes to standard error by itself.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from ..errors import MilvusProfilesError
    from ..live.liveness import check_served

    if plain[1:] and "--profile" in options:
        return None  # they may be two
    alias = plain[1] if plain[1:] else options.get("--profile")
    try:
        check_served(alias, file=options.get("--config"), timeout=timeout)
    except MilvusProfilesError as error:
        if flags & {"-v", "--verbose"}:
            from .output import print_error

            print_error(error)
        return error.exit_status
    return 0
