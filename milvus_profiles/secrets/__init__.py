"""From a secret reference to a token: the keyring, bound to endpoints, and literals, variables, files and commands.

Importing this package loads nothing; the keyring library and what runs programs wait for the first secret that needs
them.  Nothing here knows where a profile was declared or whether its file is trusted: whoever asks for a secret has
decided that before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .os_keyring import KEYRING_TIMEOUT as KEYRING_TIMEOUT
    from .os_keyring import OSKeyring as OSKeyring
    from .os_keyring import keyring_timeout as keyring_timeout
    from .resolution import SecretContext as SecretContext
    from .resolution import SecretStatus as SecretStatus
    from .resolution import forget as forget
    from .resolution import resolve as resolve
    from .resolution import status as status
    from .resolution import takes_time as takes_time
    from .value import SERVICE as SERVICE
    from .value import keyring_account as keyring_account
    from .value import make_token as make_token

_MODULES = {
    "account": ("SERVICE", "keyring_account"),
    "os_keyring": ("KEYRING_TIMEOUT", "OSKeyring", "keyring_timeout"),
    "resolution": ("SecretContext", "SecretStatus", "forget", "resolve", "status", "takes_time"),
    "value": ("make_token",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if (module := _MODULE_OF.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{module}", __name__), name)
    return value
