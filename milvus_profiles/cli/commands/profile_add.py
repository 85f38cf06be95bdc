"""``profile add``: options to a table in a file, with the secret in the keyring or as a reference."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from ...config.plaintext import sends_plaintext
from ...errors import DeclinedError, MilvusProfilesError, UsageError
from ...profile import Profile, check_alias
from ..asking import command_words, confirm
from ..certificate import Pin
from ..options import (
    ChangeOptions,
    ForceOption,
    PasswordOption,
    address_option,
    host_option,
    port_option,
    secret_option,
    tls_option,
    user_option,
)
from ..output import answer, note, warn
from ..session import current
from ..target import Target, choose
from ..writing import ask_secret, refuse_existing, show_plan, test_first, validated, write

if TYPE_CHECKING:
    from ...config.edit import Editor

__all__ = ["add"]


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
        uri = _ask_address() if self.uri is None and self.host is None else self.uri
        paths = {"ca": self.ca, "cert": self.cert, "key": self.key}
        tls = {name: target.stored_path(path) for name, path in paths.items() if path}
        if self.server_name is not None:
            tls["server_name"] = self.server_name
        if tls and self.ssl is False:
            raise UsageError("--no-ssl contradicts the certificates given", hint="leave one of them out")
        fields: dict[str, Any] = {
            "description": self.description,
            "uri": None if uri is None else target.stored_uri(uri, place),
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


def add(
    alias: Annotated[str, Argument(metavar="ALIAS", help="Name of the profile.")],
    options: FieldOptions,
    how: ChangeOptions,
    address: Annotated[str | None, Argument(metavar="[URI]", help="Its address, as --uri gives it.")] = None,
    default: Annotated[bool, Option("--default", help="Make it the default profile of the file.")] = False,
    force: ForceOption = False,
    test: Annotated[bool, Option("--test/--no-test", help="Connect first; write nothing if that fails.")] = False,
) -> None:
    """Add a profile: to the project's milvus.toml where there is one, else to the user's."""
    current().creates = True
    if "://" in alias:
        raise UsageError("that is an address, not an alias", hint="write `add ALIAS URI`")
    check_alias(alias)
    if address is not None:
        if options.uri is not None:
            raise UsageError("the address is given twice", hint="leave --uri out")
        options = replace(options, uri=address)
    options.check()
    target = choose(how)
    fields = options.table(target, "URI" if address is not None else "--uri")
    profile = validated(alias, fields, target)
    refuse_existing(alias, target, force, how.yes)
    pinned = _pin(alias, profile, fields, target, how.dry_run) if options.pin_certificate else None

    def change(editor: Editor) -> None:
        editor.add(alias, fields, replace=force)
        if default:
            editor.set_root("default_profile", alias)

    if how.dry_run:
        # A certificate that is not stored cannot be checked.
        result = write(target, change, touched=[] if pinned else [alias], dry_run=True)
        show_plan(result, {"alias": alias, "file": target.path})
        return
    try:
        if pinned is not None:
            profile = validated(alias, fields, target)
        secret = ask_secret(profile, options.token_stdin, options.password_stdin)
        if test:
            test_first(profile, secret)
        write(target, change, touched=[alias], secrets=[secret] if secret else [])
    except BaseException:
        if pinned is not None:
            pinned.undo(target)
        raise
    _report(profile, target, stored=secret is not None, default=default)


def _ask_address() -> str:
    if not current().interactive:
        raise UsageError("the address is missing", hint="give --uri, or --host")
    typed: str = typer.prompt("Address of the Milvus", default="http://localhost:19530", err=True)
    return typed


def _pin(alias: str, profile: Profile, fields: dict[str, Any], target: Target, dry_run: bool) -> Pin:
    """Fetch the server's certificate, show it, ask, store it and set ``ssl.ca``."""
    from ...probe.pinning import fetch_certificate
    from ..certificate import show_certificate

    table: dict[str, Any] = dict(fields["ssl"]) if isinstance(fields.get("ssl"), dict) else {}
    if not profile.endpoint.tls:
        raise UsageError("--pin-certificate needs TLS", hint="write https:// in the address, or add --ssl")
    if "ca" in table:
        raise UsageError("--ca and --pin-certificate are both given", hint="give one of them")
    fetched = fetch_certificate(profile)
    show_certificate(fetched)
    pin = Pin.choose(alias, fetched, target)
    table["ca"] = target.stored_path(pin.path)
    if fetched.needed_name is not None:
        table["server_name"] = fetched.needed_name
        note(f"its names do not include {profile.endpoint.host}: ssl.server_name = {fetched.needed_name} is set")
    elif fetched.problem is not None:
        warn(f"connecting will fail even if it is trusted: {fetched.reason or fetched.problem}")
    fields["ssl"] = table
    if not dry_run:
        confirm(
            "Trust this certificate?",
            alone=DeclinedError(
                "--pin-certificate asks a person, and there is no terminal",
                hint="compare the SHA-256, save the certificate, and name it with --ca FILE",
            ),
            declined="the certificate was not trusted; nothing was written",
        )
        pin.store()
    return pin


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
