"""``export``: a profile written down for another client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from typer import Option

from ...config.plaintext import check_plaintext
from ...errors import ConfigError, DeclinedError, UsageError
from .. import keyring_access
from ..asking import confirm
from ..file_warnings import warn_about_profiles
from ..options import AliasArgument
from ..output import emit_json, note, warn
from ..session import current

if TYPE_CHECKING:
    from ...masked import SecretText
    from ...profile import Profile

__all__ = ["export_profile"]

_FORMATS = "env|dotenv|json|pymilvus|langchain|node|go|java|curl|milvus-cli|k8s-secret|compose|systemd"


def export_profile(
    alias: AliasArgument,
    to: Annotated[str, Option("--to", metavar="FORMAT", help=f"One of {_FORMATS.replace('|', ', ')}.")],
    with_secret: Annotated[
        bool, Option("--with-secret", help="Write the secret itself, in plain text, not where it is to be had.")
    ] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask about --with-secret.")] = False,
    strict: Annotated[
        bool, Option("--strict", help="Fail where the client cannot express something of the profile.")
    ] = False,
) -> None:
    """Print a profile as another client wants it: variables, a complete program, or a manifest."""
    from ...interop.exports.formats import export, find_format
    from ...interop.exports.plan import plan_for

    session = current()
    find_format(to)
    if with_secret and session.json:
        raise UsageError("--with-secret and --json are both given", hint="JSON never holds a secret: leave one out")
    resolved = session.use(alias)
    profile = resolved.profile
    warn_about_profiles(session.profiles(), [profile.alias])
    if (warning := check_plaintext(resolved)) is not None:
        warn(warning)
    exported = export(plan_for(profile, _secret(profile, yes) if with_secret else None), to)
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
            note(f'to set them in this shell: eval "$(milvus-profiles export {profile.alias} --to env)"')


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
