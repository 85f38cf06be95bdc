"""What the TLS stage says of a connection that came about: protocol, certificate, and how long that is good."""

from __future__ import annotations

import datetime as dt

from ..masked import server_text
from ..probe.certificate import Certificate
from ..probe.context import ConnectContext
from ..probe.tls import ClientCertificate, TLSOutcome
from ..text import counted
from .test_run import StageDraft

_ENDS_SOON = 30
_SHOWN_NAMES, _SHOWN_CHAIN = 20, 10

_CLIENT: dict[ClientCertificate, str] = {
    "not required": "no client certificate asked for",
    "accepted": "client certificate accepted",
}


def describe_tls(stage: StageDraft, seen: TLSOutcome | None, context: ConnectContext, now: dt.datetime) -> None:
    """Fill in the stage, from what the port showed beside the handshake; None where nobody looked."""
    if seen is None or seen.certificate is None:
        # The handshake of gRPC is what counts; what it verified is for others to see, and here nobody has.
        stage.detail = "gRPC trusts the certificate"
        stage.warn(f"it could not be examined: {_why(seen)}", "run the test again; --verbose shows more")
        _warn_of_client(stage, seen, context, now)
        return
    own = seen.certificate
    days = own.days_left(now)
    stage.detail = ", ".join(
        part
        for part in (
            seen.protocol,
            seen.cipher,
            f"subject {server_text(own.subject) or 'none'}",
            f"issuer {server_text(own.issuer) or 'none'}",
            f"names {own.listed_names(_SHOWN_NAMES, ' ') or 'none'}",
            f"chain of {seen.chain_length}" if seen.chain_length > 1 else None,
            f"{counted(round(days), 'day')} left",
            _CLIENT.get(seen.client_certificate),
        )
        if part
    )
    stage.notes += [_line(certificate) for certificate in (seen.chain or (own,))[:_SHOWN_CHAIN]]
    if seen.status != "trusted":
        # The handshake is what counts; that OpenSSL sees it otherwise is worth a word.
        stage.warn(
            f"gRPC trusts it, and others would not: {seen.detail or seen.status}", "see whether the whole chain is sent"
        )
    ending = min(seen.chain or (own,), key=lambda certificate: certificate.not_after)
    whose = "it" if ending == own else f"the certificate of its issuer {server_text(ending.subject)}"
    get_a_new_one = f"have the server at {context.endpoint} get a new certificate before that"
    _warn_of_end(stage, whose, ending, now, get_a_new_one)
    _warn_of_client(stage, seen, context, now)


def _warn_of_client(stage: StageDraft, seen: TLSOutcome | None, context: ConnectContext, now: dt.datetime) -> None:
    if seen is not None and seen.client is not None and context.tls is not None:
        get_a_new_one = f"put a new client certificate into {context.tls.cert} before that"
        _warn_of_end(stage, "the client certificate", seen.client, now, get_a_new_one)


def _warn_of_end(stage: StageDraft, whose: str, ending: Certificate, now: dt.datetime, hint: str) -> None:
    left = ending.days_left(now)
    if left < _ENDS_SOON:
        stage.warn(f"{whose} ends on {ending.not_after:%Y-%m-%d}, in {counted(round(max(left, 0)), 'day')}", hint)


_UNSEEN: dict[str, str] = {
    "closed": "the port closed the connection of the look at it",
    "silent": "the port did not answer the look at it in time",
    "plaintext": "the port spoke plaintext to the look at it",
    "unreachable": "the port could not be reached again",
    "refused": "the port broke off the look at it",
}


def _why(seen: TLSOutcome | None) -> str:
    if seen is None:
        return "nobody looked"
    words = _UNSEEN.get(seen.status, "")
    return f"{words} ({seen.detail})" if words and seen.detail else words or seen.detail


def _line(certificate: Certificate) -> str:
    return (
        f"{server_text(certificate.subject) or 'no subject'} by {server_text(certificate.issuer) or 'no issuer'}, "
        f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, SHA-256 {certificate.sha256}"
    )
