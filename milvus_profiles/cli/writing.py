"""How every command writes: what can fail without a side effect first, then the keyring, then the file.

If the file cannot be written the keyring gets back what it had.  A project file that was trusted just before, or is
new, is trusted in its new form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from ..config.atomic import check_writable, read_bytes
from ..config.documents import parse_document
from ..config.invalid import Findings, validate
from ..config.layers import standing_of
from ..config.loading import load_text
from ..config.places import real_path
from ..config.trust import TrustStore
from ..config.values import Origin, Raw, RawProfile, Value, resolved_paths
from ..errors import (
    ConfigError,
    Location,
    MilvusProfilesError,
    SecretUnavailableError,
    UnknownProfileError,
    UsageError,
)
from ..masked import SecretText
from ..names import some
from ..profile import Profile
from ..secrets.value import keyring_account, make_token
from ..text import ANSWERS, OPTIONS, Standing, milvus_profiles, printable
from . import keyring_access
from .keyring_access import confirm_loss, kept_note, users_of
from .output import answer, emit_json, note, warn
from .protection import confirm_protected
from .session import current
from .target import Target

if TYPE_CHECKING:
    from ..config.edit import Change, EditResult
    from ..diagnosis.report import Report


@dataclass(frozen=True)
class Secret:
    """A secret for the keyring, the password or the whole token, and the account that it goes to."""

    account: str
    value: SecretText


ANOTHER_WAY = "give the secret another way: --token-file PATH or --token-env NAME"
"""What to do where the keyring takes no secret."""


# --- before anything is written ---


def check_place(target: Target) -> None:
    """Refuse a file that cannot be written before anybody is asked for what is to be written."""

    directory = os.path.dirname(real_path(target.path))
    if os.path.isdir(directory):
        check_writable(target.path, inside=target.bounds())
        return
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigError(
            "the file cannot be written: its directory is not there, and cannot be made",
            hint=f"let this user write in {printable(directory)}, or name another file with --config",
            location=Location(target.path),
        )


def validated(alias: str, fields: dict[str, Any], target: Target, *, asked: bool = False) -> Profile:
    """The profile as the file will declare it; ``asked`` where somebody answered what options would say."""

    raw: Raw = {}
    for name, value in fields.items():
        leaves: dict[str | None, Any] = dict(value) if isinstance(value, dict) else {None: value}
        for key, leaf in leaves.items():
            option = {"ssl": key, "token": f"token-{key}"}.get(name, name) if key else name
            path = (name,) if key is None else (name, key)
            raw[path] = Value(leaf, Origin("call", f"--{option}".replace("_", "-")))
    values = resolved_paths(raw, target.directory)
    stated = RawProfile(alias, values, [], Origin("call", "ALIAS"), None)
    result = validate(stated)
    if isinstance(result, Findings):
        raise result.errors(1)[0]
    _ = result.endpoint
    file = None if target.standing is None else target.standing.file
    standing = Standing(file, ANSWERS) if asked else Standing(file, OPTIONS, standing_of(stated).variables)
    return result.placed(standing)


def refuse_existing(alias: str, target: Target, force: bool, yes: bool) -> None:
    """Stop early, before a prompt, where the file declares the alias already."""
    content = read_bytes(target.path)
    if content is None:
        return
    profiles = load_text(content, target.path, target.role, env=current().env)
    del content
    try:
        existing = profiles.raw(alias)
    except UnknownProfileError:
        return
    if not force:
        raise ConfigError(
            f"there is a profile {existing.alias!r} already",
            hint="choose another name, or replace it with --force",
            location=existing.declared.location("key"),
        )
    confirm_protected(profiles, existing.alias, "replace", yes)


def ask_secret(profile: Profile, token_stdin: bool, password_stdin: bool) -> Secret | None:
    """The secret of a new profile, from standard input or a person; None where the keyring is to keep what it has."""
    credential = profile.credential
    if credential is None or credential.kind != "keyring":
        if token_stdin or password_stdin:
            raise UsageError(
                "Milvus Lite has no authentication, so there is nothing to store", hint="leave the secret out"
            )
        return None

    account = keyring_account(profile.endpoint, credential.user)
    if password_stdin or token_stdin:
        option = "--password-stdin" if password_stdin else "--token-stdin"
        return Secret(account, keyring_access.read_secret(profile.endpoint, credential.user, option))
    if current().interactive:
        more = kept_note(profile)
        if secret := keyring_access.ask_secret(profile.endpoint, credential.user, more):
            return Secret(account, secret)
    return None


def run_one(profile: Profile, secret: SecretText | None) -> Report:
    """Test a profile that stands in no file yet, with what is going to be stored for it; None: with its reference."""
    from ..diagnosis.stages import ProfileTest, diagnose_profile
    from .progress import view_of

    session, alias = current(), profile.alias
    view = view_of([alias])
    with view:
        view.begin(alias)
        how = ProfileTest(
            keyring_access.context(alias, standing=profile.standing), on_stage=lambda stage: view.stage(alias, stage)
        )
        credential = profile.credential
        token = None if secret is None or credential is None else make_token(credential.user, secret)
        report = diagnose_profile(profile, how, token=token)
        view.end(report)
    if session.json and not report.ok:
        emit_json([report.as_json(verbose=session.verbose > 0)])
    return report


def test_first(profile: Profile, secret: Secret | None) -> None:
    """Test a profile before it is written; end the run if it fails."""
    report = run_one(profile, None if secret is None else secret.value)
    if not report.ok:
        note("nothing was written")
        raise typer.Exit(report.exit_code)


# --- writing ---


def write(
    target: Target,
    change: Change,
    *,
    touched: Sequence[str] = (),
    secrets: Sequence[Secret] = (),
    forgotten: str | None = None,
    replace: bool = True,
    dry_run: bool = False,
) -> EditResult:
    """The keyring first, then the file; nothing stays behind of an attempt that fails.

    The aliases ``touched`` must be valid in the new text.  Without ``replace`` no secret takes the place of another one
    that the keyring has, of whatever profile.  What the account ``forgotten`` has is deleted.
    """
    from ..config.edit import edit_file

    def edit(*, dry_run: bool) -> EditResult:
        return edit_file(
            target.path,
            change,
            dry_run=dry_run,
            check=lambda text: check_text(text, target, touched),
            inside=target.bounds(),
            standing=target.standing,
        )

    if dry_run:
        return edit(dry_run=True)
    if not secrets and forgotten is None:
        return finish(target, edit(dry_run=False))
    # Whether the file takes the edit is found out before the keyring is touched.
    planned = edit(dry_run=True)
    check_place(target)
    before: list[tuple[str, SecretText | None]] = []
    try:
        _fill_keyring(secrets, before, replace, touched)
        if forgotten is not None:
            ring = keyring_access.keyring(current().profiles())
            before.append((forgotten, ring.get(forgotten)))
            ring.delete(forgotten)
        result = edit(dry_run=False)
    except BaseException:
        # An interrupt may come right after the file was changed: then its secret belongs into the keyring.
        if not _was_made(planned):
            _restore(before)
        raise
    return finish(target, result)


def show_plan(result: EditResult, record: dict[str, Any]) -> None:
    """What ``--dry-run`` prints; the record is what JSON has beside the difference."""
    lines = result.diff.rstrip("\n").split("\n") if result.changed else ["nothing would change"]
    answer(record | {"diff": result.diff}, *lines, asked=True)


def finish(target: Target, result: EditResult) -> EditResult:
    """Pin an edited project file again if what was edited was trusted, or if there was no file; say what there is to
    say of it, and if it is not trusted."""
    for line in result.notes:
        note(line)
    for line in result.warnings:
        warn(line)
    if target.role != "project":
        return result
    store = TrustStore.load(current().env)
    # Of the very bytes that were edited: the file may have been changed since this program started.
    trusted = result.before is None
    if result.before is not None:
        with suppress(MilvusProfilesError):  # it was broken, and is not any more
            trusted = store.trusts(parse_document(result.before, target.path, "project"))
    if trusted and result.changed:
        try:
            store.pin(parse_document(result.after, target.path, "project"))
        except MilvusProfilesError as error:
            # The file was changed: what fails now is no failure of that.
            said = "was created, but is not trusted" if result.created else "was changed, but is not trusted any more"
            warn(f"{target.words} {said}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            trusted = False
    if not trusted:
        note(f"{target.words} is not trusted: {milvus_profiles('trust', target.path)}")
    return result


def check_text(content: bytes, target: Target, touched: Sequence[str] | None = None) -> None:
    """Refuse a text in which one of the touched profiles, or (None) any profile, is invalid."""
    profiles = load_text(content, target.path, target.role, env=current().env)
    if touched is None:
        touched = list(parse_document(content, target.path, target.role).profiles)
    for alias in touched:
        result = profiles.examine(alias)[1]
        if isinstance(result, Findings):
            raise result.errors(1)[0]


def _fill_keyring(
    secrets: Sequence[Secret], before: list[tuple[str, SecretText | None]], replace: bool, mine: Sequence[str]
) -> None:
    """Store secrets of some profiles, and note what each account had before."""
    ring = keyring_access.keyring(current().profiles())
    try:
        for secret in secrets:
            kept = ring.get(secret.account)
            if kept is not None and kept != secret.value and not replace:
                others = users_of(current().profiles(), secret.account, mine)
                whose = f", which {some(others, len(others))} use{'s' if len(others) == 1 else ''}" if others else ""
                raise ConfigError(
                    f"the keyring has another secret for {secret.account} already{whose}, so nothing was written",
                    hint="replace it with --force, if no other profile needs it",
                )
            if kept not in (None, secret.value):
                confirm_loss(secret.account, mine, "replace")
            before.append((secret.account, kept))
            ring.set(secret.account, secret.value)
    except SecretUnavailableError as error:
        raise SecretUnavailableError(
            f"the secret could not be stored, so nothing was written: {error.message}",
            hint=error.hint or ANOTHER_WAY,
        ) from None


def _was_made(planned: EditResult) -> bool:
    """Whether a file has become what an edit was to make of it, although the edit ended in an exception."""
    try:
        return planned.changed and read_bytes(planned.path) == planned.after
    except MilvusProfilesError:
        return False


def _restore(before: list[tuple[str, SecretText | None]]) -> None:
    # Backwards: two secrets may be for one account, and the first entry knows what was there.
    for account, value in reversed(before):
        ring = keyring_access.keyring(current().profiles())
        try:
            if value is None:
                ring.delete(account)
            else:
                ring.set(account, value)
        except SecretUnavailableError as error:
            warn(f"the keyring could not be given back what it had for {account}: {error.message}")
