"""``exec``: the environment of the program; and the whole command where the profile is plain, before typer is imported.

The short way ends in the program, or in nothing that anybody could notice: whatever is not plain, and whatever there is
to say, is for the command, which starts anew.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..config.locations import current_directory, named, named_file
from ..files.regular_file import is_given
from ..interop.running import PREFIX, superseded, unsaid, variables
from ..masked import MaskedMapping
from .internal import FLAGS, own_words, taken_apart

MARKER = "MILVUS_PROFILES_EXEC"
"""The variable by which a program knows that it runs under ``exec``; its value is the alias."""


def environment_of(
    alias: str,
    found: Mapping[str, str],
    env: Mapping[str, str],
    config: str | None,
    *,
    prefix: str = PREFIX,
    wanted: Collection[str] | None = None,
) -> MaskedMapping:
    """The whole environment of a program: ``env`` with the variables of a profile, or (``wanted``) some of them."""
    gone = set(superseded(prefix=prefix))
    kept = {name: value for name, value in env.items() if name not in gone}
    kept |= {name: value for name, value in found.items() if wanted is None or name in wanted}
    if file := named(config, env):
        path = named_file(file, env, current_directory())
        if is_given(path):
            # What gives its content once has given it: the program reads no file at all.
            kept["MILVUS_PROFILES_FILE"] = os.devnull
        elif config is not None:
            kept["MILVUS_PROFILES_FILE"] = path
    return MaskedMapping(kept | {MARKER: alias})


def respond(words: Sequence[str]) -> None:
    """Become the program of ``exec``; it comes back where these words are another command's, or not plain."""
    own = own_words(words)
    command = list(words[len(own) :])
    command = command[command[:1] == ["--"] :]
    taken = taken_apart(own, FLAGS, {"--config"})
    if taken is None or not command or len(taken.plain) != 2 or taken.plain[0] != "exec":
        return
    env = MaskedMapping(os.environ)
    # A name that MILVUS_PROFILE has may be one to warn of.
    if env.get(MARKER) or env.get("MILVUS_PROFILE"):
        return
    # Whatever is wrong is said by the command.
    with suppress(Exception):
        environment = plain_environment(taken.plain[1], taken.values.get("--config"), env)
        if environment is not None:
            from ..interop.running import replace

            replace(command, environment)


def plain_environment(alias: str, config: str | None, env: MaskedMapping) -> MaskedMapping | None:
    """The environment of a program; None, or any exception, where the profile is not plain or there is more to say."""
    from ..config.documents import file_warnings
    from ..config.resolved import check_plaintext
    from ..live.liveness import plain, token_of

    if (file := named(config, env)) and is_given(named_file(file, env, current_directory())):
        return None  # it can be read once
    resolved: Any = plain(alias, config, env)
    if resolved is None or resolved.has_unread or unsaid(resolved.connectable):
        return None
    if resolved.raw.document is not None and file_warnings([resolved.raw.document]):
        return None
    if check_plaintext(resolved) is not None:
        return None
    profile = resolved.connectable
    found = variables(profile, profile.endpoint, token_of(profile, env), address=True)
    return environment_of(profile.alias, found, env, config)
