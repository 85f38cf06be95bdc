"""The name under which the keyring keeps a secret: where it may be sent and for whom, never the profile's alias.

Whoever writes a configuration file chooses its aliases, so a secret found by alias could be led to any server.  Two
endpoints that differ, or two users, must therefore never share a name.  This module knows no keyring.
"""

from __future__ import annotations

import os

from ..endpoint import Endpoint
from ..errors import ConfigError

__all__ = ["SERVICE", "keyring_account"]

SERVICE = "milvus-profiles"
"""The service under which all secrets of this package are kept."""


def keyring_account(endpoint: Endpoint, user: str | None) -> str:
    """The keyring's username for the secret of an endpoint and a user.

    Args:
        endpoint: the canonical endpoint, with the TLS that is in effect.
        user: whose password it is; None for a whole token.

    Returns:
        ``tls|HOST|PORT|USER`` or ``plain|HOST|PORT|USER`` (an IPv6 host without brackets), ``unix|REALPATH||USER`` for
        a Unix socket; the last part is empty for a whole token.  A ``|`` or ``%`` in a socket's path is
        percent-encoded.

    Raises:
        ConfigError: the endpoint is Milvus Lite, which has no authentication.
    """
    if endpoint.kind == "lite":
        raise ConfigError(
            "Milvus Lite has no authentication, so no secret is kept for it",
            hint="remove user, token and password from the profile",
        )
    # The user stands last and verbatim: no host, port or encoded path holds a bar, so whatever follows the third bar
    # is the user, bars included.
    if endpoint.kind == "unix":
        path = os.path.realpath(endpoint.path).replace("%", "%25").replace("|", "%7C")
        return f"unix|{path}||{user or ''}"
    return f"{'tls' if endpoint.tls else 'plain'}|{endpoint.host}|{endpoint.port}|{user or ''}"
