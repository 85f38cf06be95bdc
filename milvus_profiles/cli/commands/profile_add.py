"""``profile add``: options to a table in a file, with the secret in the keyring or as a reference.

Without an address it asks on a terminal (:mod:`..add_wizard`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from typer import Argument, Option

from ...errors import DeclinedError, UsageError
from ...names import check_alias
from ..asking import Asked, confirm
from ..new_profile import FieldOptions, NewProfile, show_certificate, tell_problem
from ..options import ChangeOptions, ForceOption
from ..session import current
from ..target import choose
from ..writing import ask_secret, check_place, refuse_existing, test_first


def add(
    alias: Annotated[str, Argument(metavar="ALIAS", help="Name of the profile."), Asked("command")],
    options: FieldOptions,
    how: ChangeOptions,
    address: str | None = Argument(None, metavar="[URI]", help="Its address, as --uri gives it."),
    default: bool | None = Option(
        None, "--default", help="Make it the default profile of the file.", show_default=False
    ),
    force: ForceOption = False,
    test: bool | None = Option(
        None, "--test/--no-test", help="Connect first; write nothing if that fails.", show_default="no-test"
    ),
) -> None:
    """Add a profile: to the project's milvus.toml where there is one, else to the user's.

    On a terminal it asks where the name or the address is missing, and then tests before it writes. Where both are
    given, it tests first only with --test.
    """
    current().creates = True
    if alias is not None:
        if "://" in alias:
            raise UsageError("that is an address, not an alias", hint=f"write {current().standing.adding()}")
        check_alias(alias)
    if address is not None:
        if options.uri is not None:
            raise UsageError("the address is given twice", hint="leave --uri out")
        options = replace(options, uri=address)
    options.check()
    target = choose(how)
    is_complete = alias is not None and options.has_address
    if not is_complete and current().asks:
        from ..add_wizard import Wizard

        Wizard(alias, options, target, how, default, force, test).run()
        return
    if not options.has_address:
        raise UsageError("the address is missing", hint="give --uri, or --host")
    new = NewProfile(alias, options, target, "URI" if address is not None else "--uri")
    refuse_existing(alias, target, force, how.yes)
    with new.undone_on_failure():
        if options.pin_certificate:
            _pin(new, how.dry_run)
        secret = None
        if not how.dry_run:
            check_place(target)
            secret = ask_secret(new.profile, options.token_stdin, options.password_stdin)
            if test:
                test_first(new.profile, secret)
        new.write(secret, default=bool(default), replace=force, dry_run=how.dry_run)


def _pin(new: NewProfile, dry_run: bool) -> None:
    """Fetch the server's certificate, show it, ask, and store it."""
    from ...probe.pinning import fetch_certificate

    if not new.profile.endpoint.tls:
        raise UsageError("--pin-certificate needs TLS", hint="write https:// in the address, or add --ssl")
    if new.profile.tls is not None and new.profile.tls.ca is not None:
        raise UsageError("--ca and --pin-certificate are both given", hint="give one of them")
    fetched = fetch_certificate(new.profile)
    show_certificate(fetched)
    new.pin(fetched)
    tell_problem(fetched, new.profile.endpoint.host)
    if not dry_run:
        confirm(
            "Trust this certificate?",
            alone=DeclinedError(
                "--pin-certificate asks a person, and there is no terminal",
                hint="compare the SHA-256, save the certificate, and name it with --ca FILE",
            ),
            declined="the certificate was not trusted; nothing was written",
        )
        new.store_certificate()
