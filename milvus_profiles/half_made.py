"""Objects that are shown before they are made.

Whoever prints the locals of a traceback comes upon ``self`` in the middle of an ``__init__`` that failed, or upon a
lease that nobody got; an error in showing that would hide the one it is about.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["even_half_made"]

C = TypeVar("C", bound=type)


def even_half_made(cls: C) -> C:
    """Have a class's own ``__repr__`` and ``__str__`` name it at least, where an attribute is not there yet.

    Args:
        cls: decorated; a dataclass before this.
    """
    for name in ("__repr__", "__str__"):
        if name in vars(cls):
            setattr(cls, name, _lenient(vars(cls)[name]))
    return cls


def _lenient(show: Callable[[Any], str]) -> Callable[[Any], str]:
    @functools.wraps(show)
    def shown(self: Any) -> str:
        try:
            return show(self)
        except AttributeError:
            return f"<{type(self).__name__}, not made yet>"

    return shown
