"""The logger of the package, ``milvus_profiles``, which says nothing below a warning until a program listens to it.

DEBUG tells what was read, chosen, opened and closed; INFO what changed under living connections.  What fails is raised
and not logged: where an exception is thrown into a thread, Python's logging can leave the lock of a handler held, so
nothing is logged where by default somebody listens.  No record holds a secret.  Each has its parts as fields too, for
structured loggers: ``milvus_event``, and ``milvus_`` with the name of a part.
"""

from __future__ import annotations

import logging
from typing import Any

from .text import printable

__all__ = ["LOG", "log"]

LOG = logging.getLogger("milvus_profiles")
"""Without a handler of its own: a warning that nobody listens to goes to standard error, as Python has it."""


def log(level: int, event: str, message: str, **parts: Any) -> None:
    """Log something.

    Args:
        level: of :mod:`logging`.
        event: one word for what happened, such as ``opened``.
        message: with ``{name}`` for each part.
        parts: what the record is about; no secret.
    """
    if LOG.isEnabledFor(level):
        shown = {name: printable(part) if isinstance(part, str) else part for name, part in parts.items()}
        extra = {"milvus_event": event, **{f"milvus_{name}": part for name, part in shown.items()}}
        LOG.log(level, "%s", message.format(**shown), extra=extra, stacklevel=2)
