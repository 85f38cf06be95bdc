"""A certificate that a person is asked to trust: how it is shown, and where it is kept."""

from __future__ import annotations

import datetime as dt
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ConfigError, Location, MilvusProfilesError
from ..masked import server_text
from ..names import fold_alias
from ..profile import Profile
from ..text import counted
from .output import note, shorten, warn
from .target import Target

if TYPE_CHECKING:
    from ..config.atomic import Created
    from ..probe.certificate import Certificate
    from ..probe.pinning import PresentedCertificate

__all__ = ["Pin", "show_certificate", "shows_certificate", "tell_problem"]


@dataclass
class Pin:
    """A certificate to be kept beside the configuration, in a file of its own that takes nothing's place.

    ``ALIAS.pem`` is a name that a user's own client certificate may have, or that a repository brings; so where
    something else stands there, be it a link, the name gets the certificate's fingerprint.
    """

    path: str
    _content: bytes
    _inside: str | None
    _is_there: bool
    _created: Created | None = None

    @classmethod
    def choose(cls, alias: str, certificate: Certificate, target: Target) -> Pin:
        """Find its place, without writing anything; ConfigError where something else has both names."""
        content, inside = certificate.pem.encode("ascii"), target.bounds()
        stem = fold_alias(alias)
        for name in (f"{stem}.pem", f"{stem}-{certificate.sha256[:16]}.pem"):
            path = os.path.join(target.directory, name)
            if not os.path.lexists(path):
                return cls(path, content, inside, False)
            if _is_kept(path, content, inside):
                return cls(path, content, inside, True)
            note(f"{shorten(path)} is something else, and is left alone")
        raise ConfigError(
            "there is no place for the certificate: something else stands there",
            hint="move it away, or save the certificate yourself and name it with --ca FILE",
            location=Location(path),
        )

    def store(self) -> None:
        """Write it, where it does not stand already; where it cannot be written, nothing is there."""
        from ..config.atomic import create_file

        if self._is_there:
            return
        # Certificates are no secret.
        self._created = create_file(self.path, self._content, mode=0o644, inside=self._inside)
        if self._created is None:
            raise ConfigError(
                "something was put in the place of the certificate meanwhile",
                hint="see what it is, and try again",
                location=Location(self.path),
            )
        note(f"stored the certificate in {shorten(self.path)}")

    def undo(self, target: Target) -> None:
        """Remove it again, if it was written here, still stands there, and the file does not name it by now.

        An interrupt may come right after the file was changed.
        """
        from ..config.atomic import read_bytes

        if self._created is None:
            return
        with suppress(MilvusProfilesError):
            if os.path.basename(self.path).encode() in (read_bytes(target.path) or b""):
                return
        if not self._created.remove():
            warn(f"the certificate {shorten(self.path)} could not be removed again")


def _is_kept(path: str, content: bytes, inside: str | None) -> bool:
    from ..config.atomic import read_bytes

    try:
        return not os.path.islink(path) and read_bytes(path, inside=inside) == content
    except MilvusProfilesError:
        return False


def shows_certificate(profile: Profile) -> bool:
    """Whether the server shows a certificate, so that it is what is trusted that is wrong where TLS fails."""
    from ..probe.pinning import fetch_certificate

    try:
        return profile.endpoint.tls and bool(fetch_certificate(profile))
    except MilvusProfilesError:
        return False


def show_certificate(certificate: Certificate) -> None:
    """Print names, dates and fingerprint, none of it verified, on stderr, where the question will stand."""
    days = certificate.days_left(dt.datetime.now(dt.timezone.utc))
    left = f"{counted(round(days), 'day')} left" if days >= 0 else "EXPIRED"
    _show("the server presented this certificate:")
    _show(f"  subject  {server_text(certificate.subject)}")
    _show(f"  issuer   {server_text(certificate.issuer)}" + (" (self-signed)" if certificate.is_self_issued else ""))
    _show(f"  names    {certificate.listed_names(20) or 'none'}")
    _show(f"  valid    {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} ({left})")
    digits = certificate.sha256.upper()
    pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    _show(f"  SHA-256  {pairs[:47]}")
    _show(f"           {pairs[48:]}")


def tell_problem(certificate: PresentedCertificate, host: str) -> None:
    """Say what would be wrong even if it were trusted, and what is done about it."""
    if certificate.needed_name is not None:
        _show(f"its names do not include {host}: ssl.server_name = {certificate.needed_name} is set")
    elif certificate.problem is not None:
        warn(f"connecting will fail even if it is trusted: {certificate.reason or certificate.problem}")


def _show(line: str) -> None:
    note(line, asked=True)
