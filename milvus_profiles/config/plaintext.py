"""Whether a profile may send its secret unencrypted.

Pure decision on a resolved profile: no socket is open yet when it is taken, and no secret has been asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InsecureTransportError, Location
from .fields import ADDRESS_FIELDS
from .layers import standing_of
from .values import Layer, RawProfile

if TYPE_CHECKING:
    from ..connectable import Connectable
    from .profiles import Resolved

__all__ = ["check_plaintext", "sends_plaintext"]


def sends_plaintext(profile: Connectable) -> bool:
    """Whether a secret of the profile would cross a network in plaintext.

    A proxy takes the bytes off this machine, whatever the address says.
    """
    endpoint = profile.endpoint
    stays = endpoint.is_loopback and (profile.proxy is None or endpoint.kind != "tcp")
    return profile.credential is not None and not endpoint.tls and not stays


def check_plaintext(resolved: Resolved) -> str | None:
    """Refuse a secret over plaintext, or say that it is accepted.

    Args:
        resolved: the profile and the origins of its fields.

    Returns:
        None where nothing is to be said; a warning where plaintext was chosen deliberately.

    Raises:
        InsecureTransportError: the profile does not allow it.
    """
    profile, raw = resolved.connectable, resolved.raw
    if not sends_plaintext(profile):
        return None
    where = f"{profile.endpoint.authority}" + (f" through the proxy {profile.proxy}" if profile.proxy else "")
    warning = f"the secret of {profile.alias!r} is sent to {where} unencrypted"
    # Only layers of full trust can set the field: it is gated in an untrusted project file.
    if profile.allow_insecure:
        return warning
    layer = _secret_layer(raw)
    deliberate = profile.uri is None or profile.address.cleartext_spelled
    if deliberate and layer in ("call", "environment") and layer == _address_layer(raw):
        return warning
    raise InsecureTransportError(
        f"the secret of {profile.alias!r} would be sent to {where} unencrypted",
        hint="use https:// (or ssl = true); if the network is trusted: "
        + standing_of(raw).change(profile.alias, "allow_insecure=true"),
        location=_location(resolved),
    )


def _secret_layer(raw: RawProfile) -> Layer | None:
    layers: set[Layer] = {
        value.origin.layer
        for path, value in raw.values.items()
        if path[0] in ("token", "password") and path[1:2] != ("keyring",)
    }
    return layers.pop() if len(layers) == 1 else None


def _address_layer(raw: RawProfile) -> Layer | None:
    layers: set[Layer] = {value.origin.layer for path, value in raw.values.items() if path[0] in ADDRESS_FIELDS}
    return layers.pop() if len(layers) == 1 else None


def _location(resolved: Resolved) -> Location | None:
    return next(
        (value.origin.location() for path, value in resolved.raw.values.items() if path[0] in ("uri", "host")), None
    )
