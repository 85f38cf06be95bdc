"""``ping --probe``: for containers, the exit status alone, answered before typer, pydantic or grpc is imported."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .internal import FLAGS, VALUED, taken_apart

__all__ = ["respond"]


def respond(words: Sequence[str]) -> int | None:
    """Answer ``ping --probe`` by an exit status; None where these words are another command's, or wrong.

    Args:
        words: those after the program's name.
    """
    if (taken := taken_apart(words, FLAGS | {"--probe"}, VALUED | {"--timeout"})) is None:
        return None
    plain, flags, options = taken
    plain = plain[plain[:1] == ["profile"] :]
    if plain[:1] != ["ping"] or len(plain) > 2 or "--probe" not in flags or "--json" in flags:
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
        if "-v" in flags:
            from .output import print_error

            print_error(error)
        return error.exit_status
    return 0
