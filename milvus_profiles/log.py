"""The logger of the package: what it tells, at which level and with which fields; nothing else is logged.

DEBUG tells what was read, chosen, opened and closed, and that a call raised what was wrong; INFO what changed under
living connections; WARNING what somebody should see to though no call fails by it, or fails elsewhere.  No record
holds a secret.  Each has its parts as fields too, for structured loggers: ``milvus_event``, and ``milvus_`` with the
name of a part.

No call and no lease waits for a lock that is held while something is logged: a handler may take its time.  Where an
exception is thrown into a thread (``PyThreadState_SetAsyncExc``) or a signal's handler raises, Python's logging can
leave the lock of a handler held; nothing here can help that.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from logging import DEBUG, INFO, WARNING
from typing import Any, NamedTuple

from .text import printable

LOG = logging.getLogger("milvus_profiles")
LOG.addHandler(logging.NullHandler())


class Event(NamedTuple):
    """What may be logged.

    Attributes:
        level: of :mod:`logging`.
        message: with ``{name}`` for each part.
        parts: what the record is about, by name; each is a field, with ``milvus_`` before its name.
    """

    level: int
    message: str
    parts: tuple[str, ...]


EVENTS: Mapping[str, Event] = {
    "read": Event(DEBUG, "read {file}: profiles: {number}", ("file", "number")),
    "selected": Event(DEBUG, "the profile is {alias}: {reason}", ("alias", "reason")),
    "secret": Event(DEBUG, "the secret of {alias} is from: {kind}", ("alias", "kind")),
    "opened": Event(DEBUG, "opened a channel of {alias} to {endpoint} in {ms:.1f} ms", ("alias", "endpoint", "ms")),
    "moved": Event(
        DEBUG, "the channel of {alias} was replaced by one to {endpoint} in {ms:.1f} ms", ("alias", "endpoint", "ms")
    ),
    # Not more than DEBUG: the call raises it, and who handles that knows what it means.
    "failed": Event(DEBUG, "connecting failed at {stage} ({code}), profile {alias}", ("alias", "code", "stage")),
    "closed": Event(DEBUG, "closed the channel of {alias} after {seconds:.1f} s", ("alias", "seconds")),
    "token": Event(INFO, "the server refused the token, and a new one took its place", ()),
    "renewed": Event(
        INFO, "the certificates of {alias} changed, and its channel has them now, after {ms:.1f} ms", ("alias", "ms")
    ),
    "reconnected": Event(INFO, "the server answers again; calls that failed meanwhile: {failed}", ("failed",)),
    "leak": Event(WARNING, "{message}", ("key", "message", "held")),
    "exhausted": Event(WARNING, "{message}", ("key", "message")),
    "keyring": Event(WARNING, "the keyring did not answer within {seconds:g} s", ("seconds",)),
    "forgotten": Event(
        WARNING,
        "the database {path} cannot be remembered as made from here ({reason}), so it will need trust the next time: "
        "{remedy}",
        ("path", "reason", "remedy"),
    ),
    "orm": Event(WARNING, "pymilvus's ORM cannot be told of {alias}: {error}", ("alias", "error")),
}
"""All that is logged, by the word that stands in ``milvus_event``."""


def log(event: str, **parts: Any) -> None:
    """Log something; where no program listens, nothing is said.

    Args:
        event: one of :data:`EVENTS`.
        parts: its parts; no secret.
    """
    if LOG.isEnabledFor(EVENTS[event].level):
        LOG.handle(_record(event, parts))


def tell(event: str, **parts: Any) -> None:
    """Log what people have to know, on standard error where no program listens; arguments as for :func:`log`."""
    if LOG.isEnabledFor(EVENTS[event].level):
        record = _record(event, parts)
        LOG.handle(record)
        if logging.lastResort is not None and not _is_heard():
            logging.lastResort.handle(record)


def _record(event: str, parts: Mapping[str, Any]) -> logging.LogRecord:
    level, message, names = EVENTS[event]
    shown = {name: printable(parts[name]) if isinstance(parts[name], str) else parts[name] for name in names}
    extra = {"milvus_event": event, **{f"milvus_{name}": part for name, part in shown.items()}}
    caller = sys._getframe(2)  # findCaller counts otherwise on Python 3.10
    code, line = caller.f_code, caller.f_lineno
    del caller
    said = (message.format(**shown),)
    return LOG.makeRecord(LOG.name, level, code.co_filename, line, "%s", said, None, code.co_name, extra)


def _is_heard() -> bool:
    """Whether a program handles records, or has decided that nobody shall."""
    logger: logging.Logger | None = LOG
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers) or not logger.propagate:
            return True
        logger = logger.parent
    return False
