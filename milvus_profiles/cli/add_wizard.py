"""``add`` where something is missing, on a terminal: asks, tests, goes back to the answer that was wrong, and writes.

The answers become the options of ``add``, and what is done with them is what ``add`` does.  Until everything is
answered and tested nothing is written but, for the test, a certificate, which is taken away again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from ..config.resolved import sends_plaintext
from ..endpoint import is_zilliz_cloud
from ..errors import MilvusProfilesError, SecretUnavailableError
from ..masked import SecretText, line_of, secret_fault
from ..names import check_alias, is_alias
from ..secrets.value import keyring_account
from . import keyring_access
from .asking import agreed, ask_hidden, ask_text, pick
from .keyring_access import kept_note
from .new_profile import FieldOptions, NewProfile, show_certificate, shows_certificate, tell_problem
from .options import ChangeOptions
from .output import note, print_error, warn
from .session import current
from .target import Target
from .writing import ANOTHER_WAY, Secret, check_place, refuse_existing, run_one

if TYPE_CHECKING:
    from ..diagnosis.report import StageName
    from ..probe.pinning import PresentedCertificate


_ADDRESS = "http://localhost:19530"

# The answer that is wrong where a stage of the test fails; of TLS it depends on what the server shows.
_WRONG: dict[StageName, str] = {
    "config": "address",
    "secret": "sign-in",
    "dns": "address",
    "tcp": "address",
    "grpc": "address",
    "auth": "sign-in",
    "version": "address",
    "database": "database",
}
# What is asked again after an answer has changed.
_FOLLOWING = {
    "address": ["address", "plaintext", "certificate"],
    "sign-in": ["sign-in", "plaintext"],
    "certificate": ["trust"],
}


@dataclass
class Wizard:
    """The answers so far; each step asks for one, and has the one before as its default.

    Attributes:
        alias, options, target, how, wanted, force, test: what the command line says already.
    """

    alias: str | None
    options: FieldOptions
    target: Target
    how: ChangeOptions
    wanted: bool | None
    force: bool
    test: bool | None
    secret: SecretText | None = None
    certificate: PresentedCertificate | None = None
    tested: bool = False

    def __post_init__(self) -> None:
        self.default = bool(self.wanted)
        self._allowed = self.options.allow_insecure
        self._steps: dict[str, Callable[[], None]] = {
            "address": self._ask_address,
            "name": self._ask_name,
            "sign-in": self._ask_sign_in,
            "plaintext": self._ask_plaintext,
            "database": self._ask_database,
            "certificate": self._ask_certificate,
            "default": self._ask_default,
        }
        self._pending = list(self._steps)
        self._steps["trust"] = lambda: self._show_certificate(anyway=True)
        self._asked: set[str] = set()

    def run(self) -> None:
        """Ask for what is missing, test the profile, and write it; typer.Exit with the test's status gives it up."""
        current().profiles()  # what is wrong with a file is said before anything is asked
        if not self.how.dry_run:
            check_place(self.target)
        if self.alias is not None:
            refuse_existing(self.alias, self.target, self.force, self.how.yes)
        is_done = False
        while not is_done:
            while self._pending:
                step = self._pending.pop(0)
                self._steps[step]()
                self._asked.add(step)
            is_done = self._try()
        self._say_next()

    # --- the questions ---

    def _ask_address(self) -> None:
        if "address" not in self._asked and self.options.has_address:
            return
        before = self.options.address
        typed = ask_text(
            "Address of the Milvus",
            default="" if before else _ADDRESS,
            typed=before,
            fault=lambda text: self._fault(self.options.leading_to(text)),
        )
        self.options = self.options.leading_to(typed)
        self.certificate = None

    def _ask_name(self) -> None:
        if self.alias is not None:
            return

        def fault(text: str) -> str | None:
            try:
                check_alias(text)
                if not self.force:
                    refuse_existing(text, self.target, False, True)
            except MilvusProfilesError as error:
                return error.message
            return None

        proposed = _proposed_name(self._new())
        self.alias = ask_text("Name of the profile", default="" if fault(proposed) else proposed, fault=fault)
        if self.force:
            refuse_existing(self.alias, self.target, True, self.how.yes)

    def _ask_sign_in(self) -> None:
        endpoint, options = self._new().profile.endpoint, self.options
        before = options.sign_in
        if endpoint.kind == "lite":  # it has no authentication
            return
        if "sign-in" not in self._asked and before is not None:
            self._ask_secret()
            return
        if is_zilliz_cloud(endpoint.host) and before in (None, "token"):
            key = self._typed(lambda: ask_hidden(f"API key of Zilliz Cloud for {endpoint.uri} (empty: another way)"))
            if key:
                self.options, self.secret = options.signing_in(token_stdin=True), key
                return
        ways = {
            "password": "with user and password",
            "token": "with an API key, or another token",
            "variable": "with a token that a variable of the environment holds",
            "none": "not at all",
        }
        way = pick("How do you sign in?", ways, at=before if before in ways else None)
        if way != before:
            self.secret = None
        if way == "password":
            user = ask_text(
                "User",
                default="" if options.user else "root",
                typed=options.user or "",
                fault=lambda text: self._fault(options.signing_in(user=text)),
            )
            self.options = options.signing_in(user=user)
        elif way == "token":
            self.options = options.signing_in(token_stdin=True)
        elif way == "variable":
            name = ask_text(
                "Name of the variable",
                typed=options.token_env or "",
                fault=lambda text: self._fault(options.signing_in(token_env=text)),
            )
            self.options = options.signing_in(token_env=name)
        else:
            self.options = options.signing_in()
        self._ask_secret()

    def _ask_secret(self) -> None:
        profile = self._new().profile
        credential = profile.credential
        if credential is None or credential.kind != "keyring":
            self.secret = None
            return
        more = " (empty: what was typed before)" if self.secret else kept_note(profile)
        typed = self._typed(lambda: keyring_access.ask_secret(profile.endpoint, credential.user, more))
        self.secret = typed or self.secret

    def _typed(self, ask: Callable[[], SecretText]) -> SecretText | None:
        """A secret that can be one; None where nothing was typed."""
        while typed := line_of(ask()):
            if (fault := secret_fault(typed)) is None:
                return typed
            warn(f"the secret {fault}")
        return None

    def _ask_plaintext(self) -> None:
        endpoint = self._new().profile.endpoint
        if not sends_plaintext(self._new().profile):
            self.options = replace(self.options, allow_insecure=self._allowed)
        elif not self.options.allow_insecure:
            warn(f"the secret would be sent to {endpoint.authority} unencrypted; https:// asks for TLS")
            if agreed("Send it all the same?"):
                self.options = replace(self.options, allow_insecure=True)
            else:
                self._pending[:0] = ["address", "plaintext"]

    def _ask_database(self) -> None:
        if "database" not in self._asked and self._new().profile.db_name is not None:
            return

        def with_database(text: str) -> FieldOptions:
            return replace(self.options, db_name=text or None)

        typed = ask_text(
            "Database (empty: the server's default)",
            typed=self.options.db_name or "",
            fault=lambda text: self._fault(with_database(text)),
        )
        self.options = with_database(typed)

    def _ask_certificate(self) -> None:
        """Only where the issuer is not known here; where the test fails for it, ``trust`` asks whatever it is."""
        if self.options.pin_certificate:
            self._show_certificate(anyway=True)
        elif self.test is not False and ("certificate" in self._asked or self.options.ca is None):
            self._show_certificate(anyway=False)

    def _show_certificate(self, *, anyway: bool) -> None:
        from ..probe.pinning import fetch_certificate, untrusted_certificate

        new = self._new()
        if not new.profile.endpoint.tls:
            return
        self.certificate = None
        note("looking at the server's certificate ...")
        shown = None
        with suppress(MilvusProfilesError):  # the test says what is wrong
            shown = fetch_certificate(new.profile) if anyway else untrusted_certificate(new.profile)
        if shown is None:
            return
        show_certificate(shown)
        tell_problem(shown, new.profile.endpoint.host)
        ways = {
            "pin": "trust this certificate, which you compared",
            "file": "name the file of its CA",
            "address": "correct the address",
        }
        way = pick("This machine does not trust the certificate. What is to be trusted?", ways, at="file")
        if way == "pin":
            self.certificate = shown
            self.options = replace(self.options, ca=None)
        elif way == "file":
            path = ask_text(
                "File with its CA (PEM)",
                typed=self.options.ca or "",
                fault=lambda text: self._fault(replace(self.options, ca=text)) if text else "name a file",
            )
            self.options = replace(self.options, ca=path)
        else:
            self._pending[:0] = _FOLLOWING["address"]

    def _ask_default(self) -> None:
        if self.wanted is None:
            document = self.target.read()
            now = None if document is None else document.root.get("default_profile")
            question = f"Make it the default profile of {self.target}" + (f", which is {now!r} now" if now else "")
            self.default = agreed(f"{question}?", default=now is None)

    # --- what comes of them ---

    def _new(self, options: FieldOptions | None = None) -> NewProfile:
        return NewProfile(self.alias or "new", options or self.options, self.target, "the address", asked=True)

    def _fault(self, options: FieldOptions) -> str | None:
        try:
            self._new(options)
        except MilvusProfilesError as error:
            return error.message + (f" ({error.hint})" if error.hint else "")
        return None

    def _try(self) -> bool:
        """Test the profile and write it; False where an answer is to be corrected, and then it is pending."""
        new = self._new()
        with new.undone_on_failure():
            if self.certificate is not None:
                new.pin(self.certificate)
            if self.how.dry_run:
                new.write(None, default=self.default, replace=self.force, dry_run=True)
                return True
            new.store_certificate()
            if not self._passes(new):
                new.undo()
                return False
            try:
                new.write(self._stored(new), default=self.default, replace=self.force)
            except SecretUnavailableError as error:
                new.undo()
                if error.hint == ANOTHER_WAY:
                    error.hint = "sign in another way, such as with a variable of the environment"
                print_error(error)
                return self._correct(new, "sign-in", error.exit_status, keep=False)
        return True

    def _stored(self, new: NewProfile) -> Secret | None:
        credential = new.profile.credential
        if self.secret is None or credential is None:
            return None
        return Secret(keyring_account(new.profile.endpoint, credential.user), self.secret)

    def _passes(self, new: NewProfile) -> bool:
        """Whether the test passes, or somebody wants the profile all the same."""
        endpoint = new.profile.endpoint
        if self.test is False or (endpoint.kind == "lite" and not os.path.exists(endpoint.path)):
            return True  # a database would be made by looking at it
        report = run_one(new.profile, self.secret)
        failure = report.failure
        self.tested = failure is None
        if failure is None:
            return True
        wrong = _WRONG.get(failure.name) or ("certificate" if shows_certificate(new.profile) else "address")
        return self._correct(new, wrong, report.exit_code)

    def _correct(self, new: NewProfile, wrong: str, status: int, *, keep: bool = True) -> bool:
        """Ask what is to be done, first about what seems to be wrong; whether it is wanted as it is, if it can be."""
        profile = new.profile
        answers = {"address": f"correct the address: {profile.endpoint.uri}"}
        if profile.endpoint.kind != "lite":
            answers["sign-in"] = "correct how you sign in"
        answers["database"] = f"correct the database: {profile.db_name or 'the default'}"
        if profile.endpoint.tls:
            answers["certificate"] = "correct what is trusted"
        choices = {wrong: answers.pop(wrong, wrong), "again": "try again", **answers}
        choices |= {"keep": "add it all the same"} if keep else {}
        choices["stop"] = "give up, and write nothing"
        chosen = pick("What now?", choices)
        if chosen == "stop":
            note("nothing was written")
            raise typer.Exit(status)
        self._pending = [] if chosen in ("again", "keep") else list(_FOLLOWING.get(chosen, [chosen]))
        return chosen == "keep"

    def _say_next(self) -> None:
        assert self.alias is not None
        if self.how.dry_run:
            return
        remedy, selected = current().remedy, ""
        with suppress(MilvusProfilesError):
            selected = current().profiles(fresh=True).select().alias
        if not self.tested:
            first = f"{remedy('profile', 'test', self.alias)} tests it"
        elif selected != self.alias:
            first = f"{remedy('profile', 'use', self.alias)} makes it the default"
        else:
            first = f"{remedy('profile', 'show', self.alias)} shows it"
        note(f"next: {first}")
        note(f"      {remedy('export', self.alias, '--to', 'pymilvus')} prints a program that connects")


def _proposed_name(new: NewProfile) -> str:
    endpoint = new.profile.endpoint
    if endpoint.kind != "tcp" or endpoint.is_loopback:
        return "local"
    if is_zilliz_cloud(endpoint.host):
        return "cloud"
    label = endpoint.host.partition(".")[0]
    return label if is_alias(label) and not label.isdigit() else "milvus"
