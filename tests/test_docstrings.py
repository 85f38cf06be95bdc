"""What the reference prints of the public names: each says what it is, and what each of its arguments is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

import milvus_profiles as mp

# Nobody but this package makes one.
MADE_HERE = {"Connection", "AsyncConnection", "Profiles", "ConnectionInfo", "Endpoint", "ListedConnection"}


def members(owner: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, as `dir` of what it makes shows them."""
    for name in sorted({name for kind in owner.__mro__ for name in vars(kind) if not name.startswith("_")}):
        found = inspect.getattr_static(owner, name)
        home = next(kind for kind in owner.__mro__ if name in vars(kind))
        if home.__module__.startswith("milvus_profiles") and (callable(found) or isinstance(found, property)):
            yield f"{path}.{name}", found


def public(module: ModuleType, path: str) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        found = getattr(module, name)
        if isinstance(found, ModuleType):
            yield from public(found, f"{path}.{name}")
        elif not name.startswith("_"):
            yield f"{path}.{name}", found
            if inspect.isclass(found) and not issubclass(found, BaseException):
                yield from members(found, f"{path}.{name}")


PUBLIC = dict(public(mp, "mp"))
# Seen by `dir`, or else for the other rooms of the package.
ROOMS = {
    f"mp.{name}.{one}"
    for name in ("Profiles", "Profile")
    for one in {path.rpartition(".")[2] for path in PUBLIC if path.startswith(f"mp.{name}.")}
    - set(dir(mp.load(env={"HOME": "/nowhere"}, cwd="/")) if name == "Profiles" else dir(mp.Profile(alias="a")))
}


@pytest.mark.parametrize("path", sorted(PUBLIC.keys() - ROOMS))
def test_a_public_name_says_what_it_is_and_what_it_takes(path: str) -> None:
    found = PUBLIC[path]
    text = inspect.getdoc(found.fget if isinstance(found, property) else found) or ""
    assert text, path
    assert text.rstrip()[-1] in '.:`)"' or "\n" in text, text
    if isinstance(found, property) or (inspect.isclass(found) and issubclass(found, BaseException)):
        return
    if inspect.isclass(found) and issubclass(found, BaseModel):
        names = [*found.model_fields]
    elif path.rpartition(".")[2] in MADE_HERE:
        return
    elif inspect.isclass(found) and hasattr(found, "__dataclass_fields__"):
        names = [*found.__dataclass_fields__]
        text = "\n".join(inspect.getdoc(kind) or "" for kind in found.__mro__)
    else:
        names = [name for name in inspect.signature(found).parameters if name not in ("self", "cls", "wrong")]
    told = {name for line in re.findall(r"(?m)^\s+((?:\w+, )*\w+): ", text) for name in line.split(", ")}
    if not re.search(r"\b[aA]s (?:for )?:\w+:|those of :\w+:|^:\w+:", " ".join(text.split())):
        assert set(names) <= told, (path, sorted(set(names) - told))
