"""Lets mkdocstrings read the roles of our docstrings (``:class:`~milvus_profiles.Report```) as links of the site."""

from __future__ import annotations

import re
from typing import Any

import griffe

import milvus_profiles

_ROLE = re.compile(r":(?:class|func|meth|data|attr|mod|exc):`(~?)([\w.]+)`")
_PUBLIC = frozenset(milvus_profiles.__all__)


class Roles(griffe.Extension):
    """Before a docstring is read: a role becomes a link where its target stands in the reference, else plain code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(_link, obj.docstring.value)


def _link(found: re.Match[str]) -> str:
    tilde, target = found.groups()
    path = target.removeprefix("milvus_profiles.").split(".")
    name = next((part for part in path if part in _PUBLIC), None)
    shown = path[-1] if tilde or name else target
    if name is None:
        return f"`{shown}`"
    inside = ".".join(path[path.index(name) :])
    return f"[`{shown}`][milvus_profiles.{inside}]"
