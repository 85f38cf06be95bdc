"""That connecting failed, for the log: who called has the error, and may pass over it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..alias import is_alias
from ..errors import MilvusProfilesError
from ..log import log
from ..masked import without_secrets

__all__ = ["told"]


@contextmanager
def told(alias: object) -> Iterator[None]:
    """Log an error that comes up in the block, and raise it.

    Args:
        alias: the profile, as far as it is known; what is no alias is not told, since it may be anything.
    """
    try:
        yield
    except MilvusProfilesError as error:
        name = without_secrets(alias) if isinstance(alias, str) and is_alias(alias) else None
        log("failed", alias=name, code=error.code, stage=error.stage)
        raise
