"""A profile that is added, from the options that say what it is to the file that holds it.

Whether they were typed as options or as answers: the secret goes into the keyring and the rest into the file by the
same steps, and of what is given up nothing stays behind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from ..config.resolved import sends_plaintext
from ..endpoint import is_zilliz_cloud
from ..errors import MilvusProfilesError, UsageError
from ..profile import Profile
from .asking import command_words
from .certificate import Pin
from .options import (
    PasswordOption,
    address_option,
    host_option,
    port_option,
    secret_option,
    tls_option,
    user_option,
)
from .output import answer, note, warn
from .session import current
from .target import Target
from .writing import Secret, show_plan, validated, write

if TYPE_CHECKING:
    from ..config.edit_profiles import Editor
    from ..probe.pinning import PresentedCertificate

__all__ = ["FieldOptions", "NewProfile"]


@dataclass(frozen=True)
class FieldOptions:
    """The fields of a new profile, as options give them."""

    uri: Annotated[
        str | None,
        address_option("--uri", metavar="URI", help="Address, such as https://host:443 or ./milvus.db."),
    ] = None
    host: Annotated[str | None, host_option()] = None
    port: Annotated[int | None, port_option()] = None
    db_name: Annotated[str | None, address_option("--db-name", metavar="DB", help="Database.")] = None
    user: Annotated[str | None, user_option()] = None
    token_stdin: Annotated[
        bool, secret_option("--token-stdin", help="Read the whole token from stdin into the keyring.")
    ] = False
    password_stdin: PasswordOption = False
    token_env: Annotated[
        str | None,
        secret_option("--token-env", metavar="NAME", help="Take the token from a variable."),
    ] = None
    token_file: Annotated[
        str | None, secret_option("--token-file", metavar="PATH", help="Take the token from a file.")
    ] = None
    token_command: Annotated[
        str | None,
        secret_option("--token-command", metavar="COMMAND", help="Take the token from a program's output."),
    ] = None
    ssl: Annotated[
        bool | None,
        tls_option("--ssl/--no-ssl", help="Turn TLS on or off; default: as the address says."),
    ] = None
    ca: Annotated[str | None, tls_option("--ca", metavar="FILE", help="Certificates to trust (PEM).")] = None
    cert: Annotated[str | None, tls_option("--cert", metavar="FILE", help="Client certificate (PEM).")] = None
    key: Annotated[str | None, tls_option("--key", metavar="FILE", help="Client key (PEM).")] = None
    server_name: Annotated[
        str | None,
        tls_option("--server-name", metavar="NAME", help="Name in the server's certificate."),
    ] = None
    pin_certificate: Annotated[
        bool,
        tls_option("--pin-certificate", help="Fetch the server's certificate, show it, and trust it."),
    ] = False
    allow_insecure: Annotated[
        bool, tls_option("--allow-insecure", help="Let the secret cross the network in plaintext.")
    ] = False
    description: Annotated[str | None, Option("--description", metavar="TEXT", help="A line for people.")] = None

    @property
    def address(self) -> str:
        """Where the server is, as one text; empty where they do not say."""
        if self.host is None:
            return self.uri or ""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def leading_to(self, address: str) -> FieldOptions:
        """The same with an address as people type it, with the scheme that Zilliz Cloud needs."""
        host = address.partition("/")[0].partition(":")[0]
        spelled = f"https://{address}" if "://" not in address and is_zilliz_cloud(host) else address
        return replace(self, uri=spelled, host=None, port=None)

    @property
    def has_address(self) -> bool:
        """Whether they say where the server is."""
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
        sources = {
            "--token-stdin": self.token_stdin,
            "--password-stdin": self.password_stdin,
            "--token-env": self.token_env is not None,
            "--token-file": self.token_file is not None,
            "--token-command": self.token_command is not None,
        }
        given = [name for name, wanted in sources.items() if wanted]
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
    """A profile that is not written yet.

    Args:
        alias: its name.
        options: its fields.
        target: the file that it goes into.
        place: what its address was given by, for the error about it.
        asked: whether somebody answered questions, for remedies.

    Raises:
        MilvusProfilesError: they make no profile.

    Attributes:
        fields: its table in the file.
        profile: what the table says.
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
        """Write the certificate that it is to trust."""
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
        """Take the certificate away again, unless the file names it by now."""
        if self._pinned is not None:
            self._pinned.undo(self.target)

    def write(self, secret: Secret | None, *, default: bool, replace: bool, dry_run: bool = False) -> None:
        """Write it and say so, or (``dry_run``) show what would be written.

        Args:
            secret: what goes into the keyring.
            default: whether it becomes the default profile of the file.
            replace: whether it may take the place of another one.
        """

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
    answer(
        {
            "alias": alias,
            "uri": uri,
            "file": target.path,
            "auth": profile.auth,
            "secret_stored": stored,
            "default": default,
        },
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
