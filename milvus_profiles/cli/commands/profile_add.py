"""``profile add``: options to a table in a file, with the secret in the keyring or as a reference."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...config.plaintext import sends_plaintext
from ...errors import DeclinedError, MilvusProfilesError, UsageError
from ...profile import Profile, check_alias
from ...text import milvus_profiles
from ..certificate import Pin
from ..output import emit_json, note, say, say_lines, shorten, warn
from ..session import current
from ..target import Target, apply, choose, stored_command, stored_path, stored_uri
from ..writing import Secret, ask_secret, refuse_existing, store, test_first, validated

if TYPE_CHECKING:
    from ...config.edit import Operation

__all__ = ["add"]

_ADDRESS, _SECRET, _TLS, _WHERE = "Address", "Credentials", "TLS", "Where and how"


def add(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Name of the profile.")],
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri", metavar="URI", help="Address, such as https://host:443 or ./milvus.db.", rich_help_panel=_ADDRESS
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Host name or IP address.", rich_help_panel=_ADDRESS)
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", metavar="PORT", help="Port; default 19530.", rich_help_panel=_ADDRESS)
    ] = None,
    db_name: Annotated[
        str | None, typer.Option("--db-name", metavar="DB", help="Database.", rich_help_panel=_ADDRESS)
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="USER", help="User; the password goes into the keyring.", rich_help_panel=_SECRET
        ),
    ] = None,
    token_stdin: Annotated[
        bool,
        typer.Option(
            "--token-stdin", help="Read the whole token from stdin into the keyring.", rich_help_panel=_SECRET
        ),
    ] = False,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin", help="Read the user's password from stdin into the keyring.", rich_help_panel=_SECRET
        ),
    ] = False,
    token_env: Annotated[
        str | None,
        typer.Option("--token-env", metavar="NAME", help="Take the token from a variable.", rich_help_panel=_SECRET),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option("--token-file", metavar="PATH", help="Take the token from a file.", rich_help_panel=_SECRET),
    ] = None,
    token_command: Annotated[
        str | None,
        typer.Option(
            "--token-command",
            metavar="COMMAND",
            help="Take the token from a program's output.",
            rich_help_panel=_SECRET,
        ),
    ] = None,
    ssl: Annotated[
        bool | None,
        typer.Option("--ssl/--no-ssl", help="Turn TLS on or off; default: as the address says.", rich_help_panel=_TLS),
    ] = None,
    ca: Annotated[
        str | None, typer.Option("--ca", metavar="FILE", help="Certificates to trust (PEM).", rich_help_panel=_TLS)
    ] = None,
    cert: Annotated[
        str | None, typer.Option("--cert", metavar="FILE", help="Client certificate (PEM).", rich_help_panel=_TLS)
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="FILE", help="Client key (PEM).", rich_help_panel=_TLS)
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option("--server-name", metavar="NAME", help="Name in the server's certificate.", rich_help_panel=_TLS),
    ] = None,
    pin_certificate: Annotated[
        bool,
        typer.Option(
            "--pin-certificate", help="Fetch the server's certificate, show it, and trust it.", rich_help_panel=_TLS
        ),
    ] = False,
    allow_insecure: Annotated[
        bool,
        typer.Option("--allow-insecure", help="Let the secret cross the network in plaintext.", rich_help_panel=_TLS),
    ] = False,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="A line for people.", rich_help_panel=_WHERE)
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Make it the default profile of the file.", rich_help_panel=_WHERE)
    ] = False,
    user_file: Annotated[
        bool, typer.Option("--user-file", help="Write to the user's file.", rich_help_panel=_WHERE)
    ] = False,
    project_file: Annotated[
        bool, typer.Option("--project-file", help="Write to the project's milvus.toml.", rich_help_panel=_WHERE)
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a profile of that name.", rich_help_panel=_WHERE)
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask about a protected profile.", rich_help_panel=_WHERE)
    ] = False,
    test: Annotated[
        bool,
        typer.Option("--test/--no-test", help="Connect first; write nothing if that fails.", rich_help_panel=_WHERE),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the change, make none.", rich_help_panel=_WHERE)
    ] = False,
) -> None:
    """Add a profile: to the project's milvus.toml where there is one, else to the user's."""
    check_alias(alias)
    sources = {
        "--token-stdin": token_stdin,
        "--password-stdin": password_stdin,
        "--token-env": token_env is not None,
        "--token-file": token_file is not None,
        "--token-command": token_command is not None,
    }
    given = [name for name, wanted in sources.items() if wanted]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} are both given", hint="a profile has one secret")
    if given and given[0] != "--password-stdin" and user is not None:
        raise UsageError(
            f"{given[0]} gives a whole token, so --user has no place beside it",
            hint="leave --user out, or use --password-stdin",
        )
    if password_stdin and user is None:
        raise UsageError("--password-stdin needs --user", hint="add --user NAME")
    if uri is not None and (host is not None or port is not None):
        raise UsageError("--uri and --host or --port are both given", hint="the uri holds the whole address")
    target = choose(user=user_file, project=project_file)
    if uri is None and host is None:
        uri = _ask_address()
    fields = _fields(
        target, uri, host, port, db_name, user, ssl, ca, cert, key, server_name, allow_insecure, description
    )
    if token_stdin:
        fields["token"] = {"keyring": True}
    elif token_env is not None:
        fields["token"] = {"env": token_env}
    elif token_file is not None:
        fields["token"] = {"file": stored_path(token_file, target)}
    elif token_command is not None:
        fields["token"] = {"command": stored_command(_split(token_command), target)}
    profile = validated(alias, fields, target)
    refuse_existing(alias, target, force, yes)
    pinned = _pin(alias, profile, fields, target, dry_run) if pin_certificate else None
    if dry_run:
        # A certificate that is not stored cannot be checked.
        _print_change(alias, target, _operations(alias, fields, default, force), [] if pinned else [alias])
        return
    try:
        if pinned is not None:
            profile = validated(alias, fields, target)
        secret = ask_secret(profile, token_stdin, password_stdin)
        if test:
            test_first(profile, secret)
        store(target, _operations(alias, fields, default, force), [secret] if secret else [], touched=[alias])
    except BaseException:
        if pinned is not None:
            pinned.undo(target)
        raise
    _report(alias, profile, target, secret, default)


def _fields(
    target: Target,
    uri: str | None,
    host: str | None,
    port: int | None,
    db_name: str | None,
    user: str | None,
    ssl: bool | None,
    ca: str | None,
    cert: str | None,
    key: str | None,
    server_name: str | None,
    allow_insecure: bool,
    description: str | None,
) -> dict[str, Any]:
    """The table of the profile, in the order in which people read one."""
    table = {name: stored_path(path, target) for name, path in (("ca", ca), ("cert", cert), ("key", key)) if path}
    if server_name is not None:
        table["server_name"] = server_name
    if table and ssl is False:
        raise UsageError("--no-ssl contradicts the certificates given", hint="leave one of them out")
    fields: dict[str, Any] = {
        "description": description,
        "uri": None if uri is None else stored_uri(uri, target),
        "host": host,
        "port": port,
        "user": user,
        "db_name": db_name,
        "ssl": table or ssl,
        "allow_insecure": allow_insecure or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _ask_address() -> str:
    if not current().interactive:
        raise UsageError("the address is missing", hint="give --uri, or --host")
    answer: str = typer.prompt("Address of the Milvus", default="http://localhost:19530", err=True)
    return answer


def _split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words:
        raise UsageError("--token-command is empty, or a quote in it is not closed", hint="write it as for a shell")
    return words


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
    table["ca"] = stored_path(pin.path, target) if target.role == "project" else pin.path
    if fetched.needed_name is not None:
        table["server_name"] = fetched.needed_name
        note(f"its names do not include {profile.endpoint.host}: ssl.server_name = {fetched.needed_name} is set")
    elif fetched.problem is not None:
        warn(f"connecting will fail even if it is trusted: {fetched.reason or fetched.problem}")
    fields["ssl"] = table
    if not dry_run:
        if not current().interactive:
            raise DeclinedError(
                "--pin-certificate asks a person, and there is no terminal",
                hint="compare the SHA-256, save the certificate, and name it with --ca FILE",
            )
        if not typer.confirm("Trust this certificate?", err=True):
            raise DeclinedError("the certificate was not trusted; nothing was written")
        pin.store()
    return pin


def _operations(alias: str, fields: dict[str, Any], default: bool, force: bool) -> list[Operation]:
    from ...config.edit import AddProfile, SetRoot

    operations: list[Operation] = [AddProfile(alias, fields, replace=force)]
    if default:
        operations.append(SetRoot("default_profile", alias))
    return operations


def _print_change(alias: str, target: Target, operations: list[Operation], touched: list[str]) -> None:
    result, _ = apply(target, operations, dry_run=True, touched=touched)
    if current().json:
        emit_json({"alias": alias, "file": target.path, "diff": result.diff})
    else:
        say_lines(result.diff.rstrip("\n"))


def _report(alias: str, profile: Profile, target: Target, secret: Secret | None, default: bool) -> None:
    session = current()
    stored = secret is not None
    if session.json:
        emit_json(
            {
                "alias": alias,
                "uri": profile.endpoint.uri,
                "file": target.path,
                "auth": profile.auth,
                "secret_stored": stored,
                "default": default,
            }
        )
    else:
        say(f"added {alias!r} ({profile.endpoint.uri}) to {target.words} {shorten(target.path)}")
        if stored:
            say("stored the secret in the keyring")
        if default:
            say("it is the default profile of that file")
    if profile.auth == "keyring" and not stored:
        note(f"the secret is expected in the keyring: {milvus_profiles('secret', 'set', alias)}")
    if sends_plaintext(profile) and not profile.allow_insecure:
        warn(
            f"connecting will be refused: the secret would be sent to {profile.endpoint.authority} unencrypted; "
            "use https:// or --allow-insecure"
        )
    try:
        profiles = session.profiles(fresh=True)
        raw = profiles.raw(alias)
    except MilvusProfilesError:
        return
    if raw.document is None or os.path.realpath(raw.document.path) != os.path.realpath(target.path):
        warn(f"{alias!r} in {target.words} is hidden by {raw.declared}")
