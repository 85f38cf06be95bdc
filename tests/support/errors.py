"""An error as whoever meets it sees it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest

from milvus_profiles.errors import ConfigError, MilvusProfilesError


def says(text: str | None, words: str) -> bool:
    """Whether a text is these words, where `…` stands for any others."""
    return re.fullmatch(re.escape(words).replace("…", ".*"), text or "", re.DOTALL) is not None


@contextlib.contextmanager
def refused(
    message: str = "…", *, at: object = None, hint: str = "…", kind: type[MilvusProfilesError] = ConfigError
) -> Iterator[pytest.ExceptionInfo[MilvusProfilesError]]:
    """What is done here fails with that message and that remedy (see `says`), and at this place if one is given."""
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert says(error.message, message), error.message
    assert says(error.hint, hint), error.hint
    assert at is None or str(error.location) == str(at)
