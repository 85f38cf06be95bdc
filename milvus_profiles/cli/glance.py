"""What ``list`` shows of profiles, without pydantic where every one of them is plain.

Each row is made by the command, of the same fields; here is only what validation would have made of plain values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..config.documents import file_warnings
from ..config.locations import current_directory, named, named_file
from ..config.resolved import plain_profile
from ..config.values import RawProfile
from ..connectable import PlainProfile
from ..files.regular_file import is_given
from ..live.liveness import PlainLayers, plain_layers

__all__ = ["Glanced", "glance"]


@dataclass(frozen=True)
class Glanced:
    """All profiles, in the order of the layers, and which one is selected."""

    selected: str | None
    profiles: list[tuple[str, RawProfile, PlainProfile]]


def glance(file: str | None, alias: str | None, env: Mapping[str, str]) -> Glanced | None:
    """Look at every profile in force; None, or any exception, where that is for the machinery.

    Args:
        file: what ``--config`` names.
        alias: what ``--profile`` names.
        env: the environment.
    """
    if (text := named(file, env)) and is_given(named_file(text, env, current_directory())):
        return None  # it can be read once
    found = plain_layers(file, env)
    if found is None or found.unread or file_warnings(found.documents):
        return None
    profiles = [*_glimpses(found)]
    if not profiles or None in profiles:
        return None
    choices = found.layers.choices(alias, "--profile", env.get("MILVUS_PROFILE") or None)
    selected = found.layers.find(choices[0][0]) if choices else None
    if choices and selected is None:
        return None  # something names one that there is not
    if alias is not None and env.get("MILVUS_PROFILE"):
        return None  # which may be one to warn of
    return Glanced(selected, [one for one in profiles if one is not None])


def _glimpses(found: PlainLayers) -> Iterator[tuple[str, RawProfile, PlainProfile] | None]:
    for alias in found.layers.aliases.values():
        raw = found.layers.raw(alias)
        profile = None if raw is None else _glimpse(raw)
        yield None if raw is None or profile is None else (alias, raw, profile)
        if profile is None:
            return


def _glimpse(raw: RawProfile) -> PlainProfile | None:
    profile = plain_profile(raw)
    return None if profile is None or (not profile.is_template and profile.address.kind == "unix") else profile
