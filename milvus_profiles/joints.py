"""Where a lower step of the stair needs a higher one: the public face names the function, the lower step calls it.

Imports run down the stair only; ``conn.client()`` needs ``interop/`` all the same.  So the package's face says here,
by name, what such a need is met by, and nothing is imported before it is called.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["join", "joined"]

_TARGETS: dict[str, str] = {}


def join(need: str, target: str) -> None:
    """Say what meets a need.

    Args:
        need: its name, such as ``"client"``.
        target: ``"package.module:function"``.
    """
    _TARGETS[need] = target


def joined(need: str) -> Callable[..., Any]:
    """The function that meets a need; imported now.

    Args:
        need: the name given to :func:`join`.
    """
    module, _, function = _TARGETS[need].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found
