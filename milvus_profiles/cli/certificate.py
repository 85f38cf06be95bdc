"""How a certificate is shown to the person who is asked to trust it."""

from __future__ import annotations

import datetime as dt

from ..transport.text import server_text
from ..transport.x509 import Certificate
from .output import note

__all__ = ["show_certificate"]

_SHOWN_NAMES, _LONGEST_NAME = 20, 255


def show_certificate(certificate: Certificate) -> None:
    """Print names, dates and fingerprint, on stderr, where the question will stand.

    Args:
        certificate: what the server presented; nothing in it has been verified.
    """
    days = certificate.days_left(dt.datetime.now(dt.timezone.utc))
    left = f"{days:.0f} days left" if days >= 0 else "EXPIRED"
    note("the server presented this certificate:")
    note(f"  subject  {server_text(certificate.subject)}")
    note(f"  issuer   {server_text(certificate.issuer)}" + (" (self-signed)" if certificate.is_self_issued else ""))
    note(f"  names    {certificate.listed_names(20) or 'none'}")
    note(f"  valid    {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} ({left})")
    digits = certificate.sha256.upper()
    pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    note(f"  SHA-256  {pairs[:47]}")
    note(f"           {pairs[48:]}")
