"""pymilvus's ORM on our connections: ``Collection``, ``utility``, ``db``, ``Role`` … on an alias of ours (``using=``).

They look an alias up in a registry of pymilvus's.  What stands there for an alias of ours is a handler on our channel.
Nothing here imports pymilvus: where the program has not done so yet, the aliases are entered as soon as it does.

Source: pymilvus 2.5.18, 2.6.17 and 3.0.2: ``orm/connections.py``.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..log import tell
from .pymilvus_source import ClientSource

_PACKAGE = "pymilvus"
_REGISTRY = "pymilvus.orm.connections"


@dataclass(frozen=True, slots=True)
class ShownAlias:
    """An alias that pymilvus is told of.

    Attributes:
        spellings: pymilvus compares aliases letter by letter.
        channel: of its connection.
        address: where it leads.
        user: empty for none.
        db_name: the database; None for the server's default.
    """

    spellings: tuple[str, ...]
    channel: Any
    address: str
    user: str
    db_name: str | None


_shown: dict[str, ShownAlias] = {}
_guard = threading.RLock()


def show(key: str, alias: ShownAlias) -> None:
    """Have pymilvus know an alias, now or when it is imported.

    Args:
        key: all spellings of the alias have it in common.
        alias: what is told; it replaces what was told before.
    """
    with _guard:
        hide(key)
        _shown[key] = alias
        registry = _registry()
        if registry is not None:
            _enter(registry, alias)
        elif _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)


def hide(key: str, *, forget: bool = False) -> None:
    """Take an alias away from pymilvus again.

    Args:
        key: that of :func:`show`; does nothing if it is not shown.
        forget: take away where it leads, too.
    """
    with _guard:
        alias = _shown.pop(key, None)
        registry = _registry()
        if alias is None or registry is None:
            return
        for spelling in alias.spellings:
            if _is_ours(registry._alias_handlers.get(spelling)):
                del registry._alias_handlers[spelling]
            if forget:
                registry._alias_config.pop(spelling, None)


def hide_all() -> None:
    """In a forked child: the channels are the parent's."""
    global _guard
    _guard = threading.RLock()
    for key in list(_shown):
        hide(key)


def _registry() -> Any:
    """pymilvus's, if it is imported."""
    return getattr(sys.modules.get(_REGISTRY), "connections", None) if _is_imported() else None


def _is_imported() -> bool:
    spec = getattr(sys.modules.get(_PACKAGE), "__spec__", None)
    return spec is not None and not getattr(spec, "_initializing", False)


def _enter(registry: Any, alias: ShownAlias) -> None:
    handler = ClientSource(alias.channel, alias.address).handler(alias.db_name or "default")
    if handler is None:
        return
    config = {"address": alias.address, "user": alias.user, "db_name": alias.db_name or "default"}
    for spelling in alias.spellings:
        registry._alias_handlers[spelling] = handler
        registry._alias_config[spelling] = dict(config)


def _is_ours(handler: Any) -> bool:
    return handler is not None and hasattr(handler, "_milvus_profiles_place")


def _enter_all() -> None:
    failures: list[tuple[str, str]] = []
    with _guard:
        registry = getattr(sys.modules.get(_REGISTRY), "connections", None)
        for alias in _shown.values() if registry is not None else ():
            try:
                _enter(registry, alias)
            except Exception as error:  # noqa: PERF203  # nobody's import is to fail for it
                failures.append((alias.spellings[0], type(error).__name__))
    for name, kind in failures:
        tell("orm", alias=name, error=kind)


class _Finder(importlib.abc.MetaPathFinder):
    """Notices the import of pymilvus; the module is found by those who find modules."""

    def find_spec(self, name: str, path: Iterable[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != _PACKAGE:
            return None
        others = (finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec"))
        specs = (finder.find_spec(name, None if path is None else list(path), target) for finder in others)
        spec = next((found for found in specs if found is not None), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == _PACKAGE:  # a loader may serve several modules
                if self in sys.meta_path:
                    sys.meta_path.remove(self)
                _enter_all()

        with contextlib.suppress(AttributeError):  # a loader that takes no other
            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_FINDER = _Finder()
