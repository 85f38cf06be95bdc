"""``test --all``: the looks at its servers begin before typer, pydantic and grpc are imported.

A server that does not answer takes the whole of its time, and everything else is done meanwhile.  Only what is plain
beyond doubt is looked at early, and nothing is sent; what is wrong with a word or a file is for the command to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from .internal import FLAGS, VALUED, taken_apart

if TYPE_CHECKING:
    from ..probe.early import EarlyLook
    from ..probe.sockets import Route

__all__ = ["SIDE_BY_SIDE", "begin", "begun"]

SIDE_BY_SIDE = 128
"""Tests that run at once: they wait for the network, nearly all of the time."""
_LONGEST = 3600.0

_looks: dict[str, EarlyLook] = {}


def begin(words: Sequence[str]) -> None:
    """Begin to look, if these words are ``test --all``.

    Args:
        words: those after the program's name.
    """
    taken = taken_apart(words, FLAGS | {"--all", "--force"}, VALUED | {"--timeout", "--wait", "--junit", "--html"})
    if taken is None or "--all" not in taken.flags or "--profile" in taken.values:
        return
    if taken.plain not in (["test"], ["profile", "test"]):
        return
    with suppress(Exception):
        given = taken.values.get("--timeout")
        timeout = None if given is None else float(given)
        from ..probe.early import EarlyLooks

        with EarlyLooks() as looks:
            for alias, route, own in islice(_routes(taken.values.get("--config")), SIDE_BY_SIDE):
                if 0.001 <= (seconds := own if timeout is None else timeout) <= _LONGEST:
                    _looks[alias] = looks.begin(route, seconds)


def begun(alias: str) -> EarlyLook | None:
    """The look at the server of a profile that has begun, given once; None where none has."""
    return _looks.pop(alias, None)


def _routes(file: str | None) -> Iterator[tuple[str, Route, float]]:
    """The profiles that may be looked at, each with the way to its server and its own time."""
    from ..config.documents import refusal
    from ..config.layers import Layers
    from ..config.loading import directory_of, documents_in_force
    from ..config.locations import named
    from ..config.resolved import plain_endpoint
    from ..config.settings import read_environment
    from ..files.regular_file import is_given
    from ..masked import MaskedMapping
    from ..probe.sockets import route_to

    env = MaskedMapping(os.environ)
    text = named(file, env)
    if text and is_given(text):
        return  # it can be read once
    directory = directory_of(None, text)
    documents, _ = documents_in_force(file, env, directory, "--config")
    layers = Layers(documents, read_environment(env, directory), env)
    for alias in layers.aliases.values():
        with suppress(Exception):  # one profile's fault is none of the others'
            raw = layers.raw(alias)
            if raw is None or (raw.document is not None and refusal(raw.document) is not None):
                continue
            if (found := plain_endpoint(raw)) is not None:
                yield alias, route_to(found[0], env=env), found[1]
