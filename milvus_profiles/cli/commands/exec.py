"""``exec``: a program with a profile's address and secret in its environment."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from ...errors import UsageError
from ...interop.running import LEAVES, PREFIX, SECRET_LEAVES, holding_signals, replace, run_child, unsaid, variables
from ...masked import MaskedMapping, as_given
from ...names import suggest
from .. import keyring_access
from ..exec_environment import MARKER, environment_of
from ..internal import program_at
from ..options import AliasArgument, Command
from ..output import print_error, warn, warn_about_profiles
from ..session import current

if TYPE_CHECKING:
    from ...config.resolved import Resolved
    from ...endpoint import Endpoint
    from ...masked import SecretText
    from ...profile import Profile


class _Words(Command):
    """How the words of `exec` are taken apart: from the program on they are the program's, options and ``--`` too.

    The alias is left out only where nothing stands before the ``--``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take our own options out; where only the program is named and somebody can be asked, the alias is missing."""
        place = program_at(args)
        if place is not None and args[place] != "--":
            args = [*args[:place], "--", *args[place:]]
        elif place is not None:
            given, _, _ = self.make_parser(ctx).parse_args(args[:place])
            if given.get("alias") is None and not (given.get("profile") or current().named):
                if current().asks:
                    rest = super().parse_args(ctx, ["", *args])
                    ctx.params["alias"] = None
                    return rest
                if len(args) - place <= 2:  # with more, the first of them is the alias
                    raise UsageError(
                        "Missing argument 'ALIAS'",
                        hint=f"name the profile: {current().remedy('exec', 'ALIAS', '--')} …",
                    )
        return super().parse_args(ctx, args)

    def leaves_out(self, ctx: Any, args: Sequence[str], given: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether no alias stands before the ``--``."""
        if "--" not in args:
            return False
        before, _, _ = self.make_parser(ctx).parse_args(list(args[: list(args).index("--")]))
        return not before.get("alias")


PARSER = _Words
"""What takes the place of typer's own class for this command."""


# As a shell and env(1) report them.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def execute(
    alias: AliasArgument,
    command: Annotated[list[str], Argument(metavar="-- COMMAND...", help="The program and its arguments.")],
    env_prefix: str = Option(PREFIX, "--env-prefix", metavar="PREFIX", help="What the variables' names begin with."),
    only: list[str] | None = Option(
        None, "--only", metavar="NAME", help="Set this variable only; may be given several times."
    ),
) -> None:
    """Run a program with a profile in its environment.

    That is MILVUS_URI, MILVUS_ADDRESS (the same), MILVUS_TOKEN, MILVUS_DB, MILVUS_USER and MILVUS_PASSWORD.

    Signals and the exit status are the program's. For a Milvus Lite profile its server runs as long as the program.
    """
    session = current()
    if outer := session.env.get(MARKER):
        raise UsageError(
            f"this runs under `exec {outer}` already, and programs would mix the two connections",
            hint=f"leave that program first, or unset {MARKER} if you mean it",
        )
    wanted = _wanted(_checked_prefix(env_prefix), only)
    resolved = session.use(alias)
    profile = resolved.profile
    warn_about_profiles(session.profiles(), [profile.alias])
    token = _token(resolved, wanted, env_prefix)
    if missing := unsaid(profile):
        warn(f"no variable says {', '.join(missing)} of {profile.alias!r}: tell the program by its own options")

    def environment(endpoint: Endpoint) -> MaskedMapping:
        found = variables(profile, endpoint, token, prefix=env_prefix, address=True)
        return environment_of(profile.alias, found, session.env, session.config, prefix=env_prefix, wanted=wanted)

    if profile.endpoint.kind == "lite":
        raise typer.Exit(_beside_lite(command, profile, environment))
    _flush()
    try:
        replace(command, environment(profile.endpoint))
    except OSError as error:
        problem = (error.errno, error.strerror)
    # Not in the handler: the error's frames hold the environment.
    raise typer.Exit(_not_run(command[0], *problem))


def _checked_prefix(prefix: str) -> str:
    if not (prefix.isascii() and prefix.replace("_", "a").isalnum()) or prefix[:1].isdigit():
        raise UsageError(
            "--env-prefix is not the beginning of a variable's name", hint="use letters, digits and _, such as APP_"
        )
    if prefix.startswith("MILVUS_PROFILES"):
        raise UsageError("--env-prefix names variables of this program", hint="use another, such as APP_")
    return prefix


def _wanted(prefix: str, only: list[str] | None) -> set[str]:
    names = {prefix + leaf for leaf in LEAVES}
    if not only:
        return names
    for name in only:
        if name not in names:
            near = suggest(name, names)
            hint = f"did you mean {near}?" if near else f"there are {', '.join(sorted(names))}"
            raise UsageError(f"--only {as_given(name)!r} is not one of the variables", hint=hint)
    return set(only)


def _token(resolved: Resolved, wanted: set[str], prefix: str) -> SecretText | None:
    """The token, asked for only where a variable that was asked for needs it."""
    credential = resolved.profile.credential
    if credential is None:
        return None
    needed = {prefix + leaf for leaf in SECRET_LEAVES}
    if credential.user is None:
        needed.add(f"{prefix}USER")  # it stands in the token, if anywhere
    if not needed & wanted:
        return None
    from ...config.resolved import check_plaintext

    if (warning := check_plaintext(resolved)) is not None:
        warn(warning)
    return keyring_access.token_of(resolved.profile)


def _beside_lite(command: list[str], profile: Profile, environment: Callable[[Endpoint], MaskedMapping]) -> int:
    from ...channel.lite import acquire_lite
    from ...endpoint import Endpoint

    with holding_signals():
        lease = acquire_lite(profile.endpoint.path, profile.untrusted)
        try:
            _flush()
            try:
                return run_child(command, environment(Endpoint("tcp", "127.0.0.1", lease.port)))
            except OSError as error:
                problem = (error.errno, error.strerror)
        finally:
            lease.release()
    return _not_run(command[0], *problem)


def _not_run(program: str, number: int | None, reason: str | None) -> int:
    print_error(
        UsageError(f"{as_given(program)!r} cannot be run: {reason}", hint="the program stands behind the alias")
    )
    return _NOT_FOUND if number == errno.ENOENT else _NOT_EXECUTABLE


def _flush() -> None:
    # What is still in Python's buffers would be lost with this process, or come after the program's own output.
    sys.stdout.flush()
    sys.stderr.flush()
