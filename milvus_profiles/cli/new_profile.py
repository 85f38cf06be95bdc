"""A profile that is added, from the options that say what it is to the files that hold it and its certificate.

Whether they were typed as options or as answers: the secret goes into the keyring and the rest into the file by the
same steps, and of what is given up nothing stays behind.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..config.atomic import create_file, read_bytes
from ..config.resolved import sends_plaintext
from ..endpoint import AddressError, is_zilliz_cloud, parse_address
from ..errors import ConfigError, Location, MilvusProfilesError, UsageError
from ..masked import server_text
from ..names import fold_alias
from ..profile import Profile
from ..text import counted
from .asking import command_words
from .options import (
    address_option,
    host_option,
    option,
    password_option,
    port_option,
    secret_option,
    tls_option,
    user_option,
)
from .output import answer, note, shorten, warn
from .session import current
from .target import Target
from .writing import Secret, show_plan, validated, write

if TYPE_CHECKING:
    from ..config.atomic import Created
    from ..config.edit_profiles import Editor
    from ..probe.certificate import Certificate
    from ..probe.pinning import PresentedCertificate


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
        if self._created is None:
            return
        with suppress(MilvusProfilesError):
            if os.path.basename(self.path).encode() in (read_bytes(target.path) or b""):
                return
        if not self._created.remove():
            warn(f"the certificate {shorten(self.path)} could not be removed again")


def _is_kept(path: str, content: bytes, inside: str | None) -> bool:
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
    signed = " (self-signed)" if certificate.is_self_issued else ""
    pairs = bytes.fromhex(certificate.sha256).hex(":").upper()
    for line in (
        "the server presented this certificate:",
        f"  subject  {server_text(certificate.subject)}",
        f"  issuer   {server_text(certificate.issuer)}{signed}",
        f"  names    {certificate.listed_names(20) or 'none'}",
        f"  valid    {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d} ({left})",
        f"  SHA-256  {pairs[:47]}",
        f"           {pairs[48:]}",
    ):
        note(line, asked=True)


def tell_problem(certificate: PresentedCertificate, host: str) -> None:
    """Say what would be wrong even if it were trusted, and what is done about it."""
    if certificate.needed_name is not None:
        told = f"its names do not include {host}: ssl.server_name = {certificate.needed_name} is set"
        note(told, asked=True)
    elif certificate.problem is not None:
        warn(f"connecting will fail even if it is trusted: {certificate.reason or certificate.problem}")


@dataclass(frozen=True)
class FieldOptions:
    """The fields of a new profile, as options give them."""

    uri: str | None = address_option("--uri", metavar="URI", help="Address, such as https://host:443 or ./milvus.db.")
    host: str | None = host_option(help="Host name or IP address.")
    port: int | None = port_option()
    db_name: str | None = address_option("--db-name", metavar="DB", help="Database.")
    user: str | None = user_option()
    token_stdin: bool = secret_option(
        "--token-stdin", default=False, help="Read the whole token from stdin into the keyring."
    )
    password_stdin: bool = password_option()
    token_env: str | None = secret_option("--token-env", metavar="NAME", help="Take the token from a variable.")
    token_file: str | None = secret_option("--token-file", metavar="PATH", help="Take the token from a file.")
    token_command: str | None = secret_option(
        "--token-command", metavar="COMMAND", help="Take the token from a program's output."
    )
    ssl: bool | None = tls_option("--ssl/--no-ssl", help="Turn TLS on or off; default: as the address says.")
    ca: str | None = tls_option("--ca", metavar="FILE", help="Certificates to trust (PEM).")
    cert: str | None = tls_option("--cert", metavar="FILE", help="Client certificate (PEM).")
    key: str | None = tls_option("--key", metavar="FILE", help="Client key (PEM).")
    server_name: str | None = tls_option("--server-name", metavar="NAME", help="Name in the server's certificate.")
    pin_certificate: bool = tls_option(
        "--pin-certificate", default=False, help="Fetch the server's certificate, show it, and trust it."
    )
    allow_insecure: bool = tls_option(
        "--allow-insecure", default=False, help="Let the secret cross the network in plaintext."
    )
    description: str | None = option("--description", metavar="TEXT", help="A line for people.")

    @property
    def address(self) -> str:
        """Where the server is, as one text; empty where they do not say."""
        if self.host is None:
            return self.uri or ""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def leading_to(self, address: str) -> FieldOptions:
        """The same with an address as people type it, with the scheme that Zilliz Cloud needs."""
        uri = address
        with suppress(AddressError):  # what is wrong with it is told where it is read
            read = parse_address(address)
            if read.tls is None and not read.cleartext_spelled and is_zilliz_cloud(read.host):
                uri = f"https://{address}"
        return replace(self, uri=uri, host=None, port=None)

    @property
    def has_address(self) -> bool:
        return self.uri is not None or self.host is not None

    @property
    def sign_in(self) -> Literal["password", "token", "variable", "other"] | None:
        """How they sign in; None where they do not say."""
        if self.user is not None:
            return "password"
        if self.token_stdin:
            return "token"
        if self.token_env is not None:
            return "variable"
        return "other" if self.token_file is not None or self.token_command is not None else None

    def signing_in(
        self, *, user: str | None = None, token_stdin: bool = False, token_env: str | None = None
    ) -> FieldOptions:
        """The same with one way to sign in, or with none."""
        none = replace(self, password_stdin=False, token_file=None, token_command=None)
        return replace(none, user=user, token_stdin=token_stdin, token_env=token_env)

    def check(self) -> None:
        """Refuse options that contradict each other."""
        sources = ("token_stdin", "password_stdin", "token_env", "token_file", "token_command")
        given = [f"--{name.replace('_', '-')}" for name in sources if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} are both given", hint="a profile has one secret")
        if given and given[0] != "--password-stdin" and self.user is not None:
            raise UsageError(
                f"{given[0]} gives a whole token, so --user has no place beside it",
                hint="leave --user out, or use --password-stdin",
            )
        if self.password_stdin and self.user is None:
            raise UsageError("--password-stdin needs --user", hint="add --user NAME")
        if self.uri is not None and (self.host is not None or self.port is not None):
            raise UsageError("--uri and --host or --port are both given", hint="the uri holds the whole address")

    def table(self, target: Target, place: str = "--uri") -> dict[str, Any]:
        """The table of the profile, in the order in which people read one."""
        paths = {"ca": self.ca, "cert": self.cert, "key": self.key}
        tls = {name: target.stored_path(path) for name, path in paths.items() if path is not None}
        if self.server_name is not None:
            tls["server_name"] = self.server_name
        if tls and self.ssl is False:
            raise UsageError("--no-ssl contradicts the certificates given", hint="leave one of them out")
        fields: dict[str, Any] = {
            "description": self.description,
            "uri": None if self.uri is None else target.stored_uri(self.uri, place),
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "db_name": self.db_name,
            "ssl": tls or self.ssl,
            "allow_insecure": self.allow_insecure or None,
            "token": self._token(target),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _token(self, target: Target) -> dict[str, Any] | None:
        if self.token_stdin:
            return {"keyring": True}
        if self.token_env is not None:
            return {"env": self.token_env}
        if self.token_file is not None:
            return {"file": target.stored_path(self.token_file)}
        if self.token_command is not None:
            fault = "--token-command is empty, or a quote in it is not closed"
            return {
                "command": target.stored_command(command_words(self.token_command, fault, "write it as for a shell"))
            }
        return None


class NewProfile:
    """A profile that is not written yet: its table in the file, and the profile that this makes.

    ``place`` is what its address was given by, for the error about it; ``asked`` says that somebody answered questions.
    """

    def __init__(
        self, alias: str, options: FieldOptions, target: Target, place: str = "--uri", *, asked: bool = False
    ) -> None:
        self.alias = alias
        self.target = target
        self._asked = asked
        self.fields = options.table(target, place)
        self.profile: Profile = validated(alias, self.fields, target, asked=asked)
        self._pinned: Pin | None = None

    def pin(self, shown: PresentedCertificate) -> None:
        """Have it trust a certificate, from a file of its own beside the configuration, which is not written yet."""
        table: dict[str, Any] = dict(self.fields["ssl"]) if isinstance(self.fields.get("ssl"), dict) else {}
        self._pinned = Pin.choose(self.alias, shown, self.target)
        table["ca"] = self.target.stored_path(self._pinned.path)
        if shown.needed_name is not None:
            table["server_name"] = shown.needed_name
        self.fields["ssl"] = table

    def store_certificate(self) -> None:
        if self._pinned is not None:
            self._pinned.store()
            self.profile = validated(self.alias, self.fields, self.target, asked=self._asked)

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Take the certificate away again where what is done with the profile ends in an exception."""
        try:
            yield
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        if self._pinned is not None:
            self._pinned.undo(self.target)

    def write(self, secret: Secret | None, *, default: bool, replace: bool, dry_run: bool = False) -> None:
        """Write it and say so, or (``dry_run``) show what would be written."""

        def change(editor: Editor) -> None:
            editor.add(self.alias, self.fields, replace=replace)
            if default:
                editor.set_root("default_profile", self.alias)

        if dry_run:
            # A certificate that is not stored cannot be checked.
            result = write(self.target, change, touched=[] if self._pinned else [self.alias], dry_run=True)
            show_plan(result, {"alias": self.alias, "file": self.target.path})
            return
        write(self.target, change, touched=[self.alias], secrets=[secret] if secret else [])
        _report(self.profile, self.target, stored=secret is not None, default=default)


def _report(profile: Profile, target: Target, *, stored: bool, default: bool) -> None:
    alias, uri = profile.alias, profile.endpoint.uri
    record = {"alias": alias, "uri": uri, "file": target.path, "auth": profile.auth}
    answer(
        {**record, "secret_stored": stored, "default": default},
        f"added {alias!r} ({uri}) to {target}",
        *(["stored the secret in the keyring"] if stored else []),
        *(["it is the default profile of that file"] if default else []),
    )
    if profile.auth == "keyring" and not stored:
        note(f"the secret is expected in the keyring: {current().remedy('secret', 'set', alias)}")
    if sends_plaintext(profile) and not profile.allow_insecure:
        warn(
            f"connecting will be refused: the secret would be sent to {profile.endpoint.authority} unencrypted; "
            "use https:// or --allow-insecure"
        )
    try:
        raw = current().profiles(fresh=True).raw(alias)
    except MilvusProfilesError:
        return
    if raw.document is None or os.path.realpath(raw.document.path) != os.path.realpath(target.path):
        warn(f"{alias!r} in {target.words} is hidden by {raw.declared}")
