"""From a secret reference to a token: the keyring, bound to endpoints, and literals, variables, files and commands.

Importing this package loads neither the keyring library nor anything that runs programs; those wait for the first
secret that needs them.  Nothing here knows where a profile was declared or whether its file is trusted: whoever asks
for a secret has decided that before.
"""

from __future__ import annotations

from .account import SERVICE, keyring_account
from .os_keyring import KEYRING_TIMEOUT, OSKeyring, keyring_timeout
from .resolution import SecretContext, SecretStatus, forget, resolve, status
from .value import make_token

__all__ = [
    "KEYRING_TIMEOUT",
    "SERVICE",
    "OSKeyring",
    "SecretContext",
    "SecretStatus",
    "forget",
    "keyring_account",
    "keyring_timeout",
    "make_token",
    "resolve",
    "status",
]
