"""``export``: a profile written down for another client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ...config.plaintext import check_plaintext
from ...errors import ConfigError, DeclinedError, UsageError
from .. import keyring_access
from ..file_warnings import warn_about_profiles
from ..output import emit_json, warn
from ..session import current

if TYPE_CHECKING:
    from ...config.profiles import Profiles, Resolved
    from ...masked import SecretText

__all__ = ["export_profile"]

_FORMATS = "env|dotenv|json|pymilvus|langchain|node|go|java|curl|milvus-cli|k8s-secret|compose|systemd"


def export_profile(
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The profile.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of {_FORMATS.replace('|', ', ')}.")],
    with_secret: Annotated[
        bool, typer.Option("--with-secret", help="Write the secret itself, in plain text, not where it is to be had.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask about --with-secret.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail where the client cannot express something of the profile.")
    ] = False,
) -> None:
    """Print a profile as another client wants it: variables, a complete program, or a manifest."""
    from ...interop.exports.formats import export, find_format
    from ...interop.exports.plan import plan_for

    session = current()
    find_format(to)
    if with_secret and session.json:
        raise UsageError("--with-secret and --json are both given", hint="JSON never holds a secret: leave one out")
    profiles = session.profiles()
    resolved = profiles.use(profiles.select(alias, name="ALIAS").alias)
    profile = resolved.profile
    warn_about_profiles(profiles, [profile.alias])
    if (warning := check_plaintext(resolved)) is not None:
        warn(warning)
    exported = export(plan_for(profile, _secret(profiles, resolved, yes) if with_secret else None), to)
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


def _secret(profiles: Profiles, resolved: Resolved, yes: bool) -> SecretText | None:
    from ...secrets import resolve

    profile = resolved.profile
    if profile.credential is None:
        return None
    if not yes:
        if not current().interactive:
            raise DeclinedError(
                "--with-secret writes the secret in plain text, and there is nobody to ask", hint="confirm with --yes"
            )
        if not typer.confirm(f"Write the secret of {profile.alias} in plain text?", err=True):
            raise DeclinedError("nothing was written")
    return resolve(profile.credential, profile.endpoint, keyring_access.context(profiles, profile.alias))
