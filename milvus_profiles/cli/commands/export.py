"""``export``: a profile written down for another client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ...config.locations import user_file
from ...config.resolved import check_plaintext
from ...config.trust import remedy
from ...connectable import CommandSource, EnvSource, KeyringSource
from ...errors import ConfigError, DeclinedError, UntrustedError, UsageError
from ...files.regular_file import is_given
from ...interop.exports import FORMATS, export, find_format
from ...interop.exports.plan import plan_for
from .. import keyring_access
from ..asking import Asked, confirm
from ..options import AliasArgument, begun
from ..output import emit_json, note, warn, warn_about_profiles
from ..session import NAME, Session, current

if TYPE_CHECKING:
    from ...config.resolved import Resolved
    from ...masked import SecretText
    from ...profile import Profile


def export_profile(
    alias: AliasArgument,
    to: Annotated[
        str,
        Option("--to", metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.", autocompletion=begun(FORMATS)),
        Asked("one", "Which format?", tuple(FORMATS)),
    ],
    with_secret: bool = Option(
        False, "--with-secret", help="Write the secret itself, in plain text, not where it is to be had."
    ),
    yes: bool = Option(False, "--yes", "-y", help="Do not ask about --with-secret."),
    strict: bool = Option(False, "--strict", help="Fail where the client cannot express something of the profile."),
) -> None:
    """Print a profile as another client wants it: variables, a complete program, a manifest, or an entry for agents."""
    session = current()
    form = find_format(to)
    if with_secret and not form.connects:
        raise UsageError(
            f"--with-secret says nothing to {to}, which never holds one", hint="leave it out: `exec` gets the secret"
        )
    if with_secret and session.json:
        raise UsageError("--with-secret and --json are both given", hint="JSON never holds a secret: leave one out")
    resolved = session.use(alias)
    profile = resolved.profile
    warn_about_profiles(session.profiles(), [profile.alias])
    if (warning := check_plaintext(resolved)) is not None:
        warn(warning)
    if form.connects:
        plan = plan_for(profile, _secret(profile, yes) if with_secret else None)
    else:
        file = _file(resolved, session)
        plan = plan_for(profile, file=file, needs=_needs(resolved, session))
    exported = export(plan, to)
    if strict and exported.gaps:
        raise ConfigError(
            f"{to} cannot express all of {profile.alias!r}: {'; '.join(exported.gaps)}",
            hint="without --strict it is printed all the same",
            location=resolved.origin.location(),
        )
    for gap in exported.gaps:
        warn(gap)
    if session.json:
        emit_json({"alias": profile.alias, "format": to, "text": exported.text, "gaps": list(exported.gaps)})
    else:
        # Not through say(): the text is for a program, and was escaped for its language.
        sys.stdout.write(exported.text)
        if to == "env" and sys.stdout.isatty():
            # Not in the text, where a comment hides the rest from an `eval` without quotes.
            command = profile.standing.command("export", profile.alias, "--to", "env").strip("`")
            note(f'to set them in this shell: eval "$({command})"')


def _secret(profile: Profile, yes: bool) -> SecretText | None:
    if profile.credential is None:
        return None
    confirm(
        f"Write the secret of {profile.alias} in plain text?",
        alone=DeclinedError(
            "--with-secret writes the secret in plain text, and there is nobody to ask", hint="confirm with --yes"
        ),
        declined="nothing was written",
        yes=yes,
    )
    return keyring_access.token_of(profile)


def _file(resolved: Resolved, session: Session) -> str | None:
    """The file that ``exec`` must be told of where it is started from another directory, with fewer variables."""
    document = resolved.raw.document
    if document is None:
        return None
    if is_given(document.path):
        raise ConfigError(
            f"{document.path} gives what it holds only once, and not to a program that is started later",
            hint="name a file that stays",
        )
    if document.role == "user":
        home = {name: value for name, value in session.env.items() if name in _HOMES}
        return None if user_file(home) == document.path else document.path
    if not resolved.trusted:
        # Whoever names a file trusts it, as it is and as it will be.
        raise UntrustedError(
            f"{document.path} is not trusted, and a client that starts {NAME} with --config trusts it",
            hint=remedy(document, session.profiles().trust),
            location=resolved.origin.location("key"),
        )
    return document.path


# What every program is given that a desktop starts.
_HOMES = ("HOME", "USERPROFILE", "APPDATA")


def _needs(resolved: Resolved, session: Session) -> tuple[str, ...]:
    """The variables of this environment without which ``exec`` finds another profile, or no secret."""
    names = [value.origin.name for value in resolved.raw.values.values() if value.origin.layer == "environment"]
    if "MILVUS_URI" in names and session.env.get("MILVUS_CONN_ALIAS"):
        names.append("MILVUS_CONN_ALIAS")
    credential = resolved.profile.credential
    source = None if credential is None else credential.source
    if isinstance(source, EnvSource):
        names.append(source.env)
    elif isinstance(source, CommandSource):
        names += source.pass_env
    elif isinstance(source, KeyringSource) and session.env.get("DBUS_SESSION_BUS_ADDRESS"):
        # The way to the Secret Service, without which there is no keyring.
        names.append("DBUS_SESSION_BUS_ADDRESS")
    return tuple(dict.fromkeys(name for name in names if name is not None))
