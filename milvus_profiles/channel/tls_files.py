"""The certificate files of a profile: what they must be, and what they look like now.

What is wrong with them is said here, by name, since gRPC would only say "Failed to create security handshaker" at the
first call.  Neither grpc nor the models of profiles are imported here, since a probe of a container needs neither.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError, Location, TLSError
from ..files.paths import changeable
from ..files.regular_file import PEM_LIMIT, FileFault, open_file, read_regular
from ..text import command

if TYPE_CHECKING:
    from ..connectable import TLSSettings

ROOTS_VARIABLE: Final = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
"""gRPC's own variable: the file of the certificates that it trusts where it is told none."""


def tls_signature(tls: TLSSettings | None) -> tuple[tuple[str, int, int, int], ...]:
    """What the TLS files of a profile look like now; compare it with an earlier one to notice a changed certificate.

    For each file its path, inode, size and time of change (ns); a missing one has the size -1.
    """
    if tls is None:
        return ()
    return tuple(_file_signature(path) for path in (tls.ca, tls.cert, tls.key) if path is not None)


def _file_signature(path: str) -> tuple[str, int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return path, 0, -1, 0
    return path, status.st_ino, status.st_size, status.st_mtime_ns


def check_tls_files(tls: TLSSettings, env: Mapping[str, str] = os.environ) -> None:
    """See that the certificates and the key are what they should be.

    Raises:
        ConfigError: a file cannot be read.
        TLSError: a file holds no certificate or no key, the key is encrypted, or it is not the certificate's.
    """
    if tls.ca is not None:
        _check_ca(tls.ca, read_pem(tls.ca))
    elif named := env.get(ROOTS_VARIABLE):
        # gRPC reads it itself, and would wait for ever for a FIFO's writer.
        _check_kind(named)
    if tls.cert is not None and tls.key is not None:
        for path in (tls.cert, tls.key):
            read_pem(path)  # OpenSSL's own message would name neither
        _check_pair(tls.cert, tls.key)


def read_pem(path: str) -> bytes:
    """The content of one of the files; ConfigError where it cannot be read, or others may change it."""
    try:
        read = read_regular(path, PEM_LIMIT)
    except FileFault as fault:
        raise ConfigError(f"the TLS file {path} {fault.reason}", hint="check the path and its permissions") from None
    # Whoever may change it decides whom the profile trusts.
    if (found := changeable(path, read.status)) is not None:
        raise ConfigError(f"the TLS file {path} {found.reason}", hint=found.hint)
    return read.content


def _check_kind(path: str) -> None:
    try:
        os.close(open_file(path)[0])
    except FileFault as fault:
        if fault.errno is None:  # one that cannot be read is passed over by gRPC
            raise ConfigError(
                f"the file {path} of the certificates to trust {fault.reason}",
                hint=f"name a PEM file, or unset {ROOTS_VARIABLE}",
                location=Location(ROOTS_VARIABLE),
            ) from None


def _check_ca(path: str, content: bytes) -> None:
    try:
        # Bundles have comments between the certificates, with names in any script.
        _context().load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise TLSError(
            f"the file {path} (ssl.ca) holds no certificate that can be read",
            hint="give it the PEM file of the CA, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
        ) from None


def _check_pair(cert: str, key: str) -> None:
    try:
        _context().load_cert_chain(cert, key, password=_refuse_password)
    except _EncryptedKey:
        raise TLSError(
            f"the private key {key} is encrypted",
            hint=f"gRPC takes no passphrase: decrypt it with {command('openssl', 'pkey', '-in', key, '-out', 'NEW')}, "
            "and `chmod 600 NEW`",
        ) from None
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error) or "KEY_TYPE_MISMATCH" in str(error):
            raise TLSError(
                f"the private key {key} does not belong to the certificate {cert}",
                hint="give ssl.cert and ssl.key that were issued together",
            ) from None
        raise TLSError(
            f"the certificate {cert} or the private key {key} cannot be read as PEM",
            hint=f"look at them with {command('openssl', 'x509', '-noout', '-in', cert)} "
            f"and {command('openssl', 'pkey', '-noout', '-in', key)}",
        ) from None


class _EncryptedKey(Exception):
    pass


def _refuse_password() -> str:
    # Without this OpenSSL would ask on the terminal.
    raise _EncryptedKey


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Whether a key is too short for the system's taste is for gRPC and the server to say.
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
