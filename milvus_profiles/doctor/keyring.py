"""The keyring: which backend it is, and whether it keeps what it is given."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import ConfigError, SecretUnavailableError
from ..masked import SecretText
from .finding import DoctorContext, Examined, Finding, first_profile

if TYPE_CHECKING:
    from ..config.profiles import Profiles
    from ..profile import Profile

__all__ = ["check_keyring"]


def check_keyring(profiles: Profiles | None, examined: Examined, context: DoctorContext) -> Iterator[Finding]:
    """Store an entry of no meaning, read it back, and take it out again.

    No account of a profile is touched: those begin with ``tls|``, ``plain|`` or ``unix|``.
    """
    user = first_profile(examined, _needs_it)
    account = f"doctor|{secrets.token_hex(8)}"
    try:
        keyring = context.keyring(profiles)
        backend = keyring.backend()
        try:
            keyring.set(account, SecretText("an entry of milvus-profiles doctor, to be deleted"))
        finally:
            with contextlib.suppress(SecretUnavailableError):
                keyring.delete(account)
        left = keyring.get(account) is not None
    except (SecretUnavailableError, ConfigError) as error:
        if user is not None:
            yield Finding("keyring", "failed", f"{error.message}; the profile {user!r} needs it", error.hint)
        else:
            yield Finding("keyring", "warning", f"{error.message}; no profile here needs it", error.hint)
        return
    if left:
        yield Finding("keyring", "failed", f"{backend} does not delete", "use the keyring's own application")
    else:
        yield Finding("keyring", "ok", f"{backend}: stored, read and deleted an entry")


def _needs_it(profile: Profile) -> bool:
    # A template connects to nothing; what extends it is asked by itself.
    return profile.auth == "keyring" and not profile.is_template
