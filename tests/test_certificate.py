"""Certificates are read as the cryptography package reads them, and garbage is refused politely."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import os
import re
import ssl
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles.probe.certificate import Certificate, MalformedCertificate, read_certificate
from tests.support.certificates import Certificates
from tests.support.forged import (
    BMP,
    EMAIL,
    GENERALIZED_TIME,
    URI,
    UTC_TIME,
    alternative_names,
    der,
    dns,
    forge,
    ip,
    name,
    utc,
)

PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def leaf(path: Path) -> bytes:
    found = PEM.search(path.read_text())
    assert found
    return ssl.PEM_cert_to_DER_cert(found[0])


@pytest.mark.parametrize("which", [one.name for one in dataclasses.fields(Certificates) if one.type == "Identity"])
def test_facts_are_those_that_cryptography_reads(certificates: Certificates, which: str) -> None:
    der = leaf(getattr(certificates, which).cert)
    ours, theirs = read_certificate(der), x509.load_der_x509_certificate(der)
    assert ours.not_before == theirs.not_valid_before_utc
    assert ours.not_after == theirs.not_valid_after_utc
    names = theirs.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ours.names == tuple(str(name.value) for name in names)
    for ours_name, theirs_name in ((ours.subject, theirs.subject), (ours.issuer, theirs.issuer)):
        assert sorted(part.split("=", 1)[1] for part in ours_name.split(", ")) == sorted(
            str(attribute.value) for attribute in theirs_name
        )
    assert ours.sha256 == hashlib.sha256(der).hexdigest()
    assert ssl.PEM_cert_to_DER_cert(ours.pem) == der
    assert ours.is_self_issued == (theirs.subject == theirs.issuer)


def test_all_roots_of_grpc_are_read() -> None:
    roots = Path(os.path.dirname(grpc.__file__), "_cython", "_credentials", "roots.pem").read_text()
    read = [read_certificate(ssl.PEM_cert_to_DER_cert(pem)) for pem in PEM.findall(roots)]
    assert len(read) > 50
    assert all(root.subject and root.not_before < root.not_after for root in read)


def test_a_certificate_without_extensions_has_no_names() -> None:
    assert read_certificate(forge(name(("CN", "bare"))).der).names == ()


def test_names_of_other_kinds_are_passed_over() -> None:
    names = [der(URI, b"https://x"), *dns("*.a.example"), der(EMAIL, b"a@b.example"), *ip("fd00::1")]
    made = forge(name(("CN", "x")), alternative_names(names))
    assert read_certificate(made.der).names == ("*.a.example", "fd00::1")


@pytest.mark.parametrize(
    ("subject", "read"),
    [
        (("CN", "evil\x1b[2Jname\u202e"), "CN=evil\\x1b[2Jname\\u202e"),
        (("CN", "Zürich"), "CN=Zürich"),
        (("CN", BMP, "東京".encode("utf-16-be")), "CN=東京"),
        (("serialNumber", "17"), ""),  # it has no short name
    ],
    ids=["what would move a cursor", "multibyte", "wide", "another attribute"],
)
def test_a_subject_is_read_and_fit_to_be_shown(subject: tuple[str, str], read: str) -> None:
    shown = read_certificate(forge(name(("O", "Ours"), subject)).der).subject
    assert shown == ", ".join(filter(None, ("O=Ours", read)))


@pytest.mark.parametrize("year", [1950, 1999, 2000, 2049, 2050, 9999])
def test_dates_are_read_in_both_forms(year: int) -> None:
    ends = dt.datetime(year, 12, 31, 23, 59, 59, tzinfo=dt.timezone.utc)
    later = der(GENERALIZED_TIME, ends.strftime("%Y%m%d%H%M%SZ").encode())
    made = forge(name(("CN", "x")), ends=utc(ends) if year < 2050 else later)
    assert read_certificate(made.der).not_after == ends


def test_days_left_count_down_and_below_zero() -> None:
    certificate = read_certificate(forge(name(("CN", "x"))).der)
    day = dt.timedelta(days=1)
    assert certificate.days_left(certificate.not_after - 30 * day) == 30
    assert certificate.days_left(certificate.not_after + 2 * day) == -2


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x85\x01\x01\x01\x01\x01",
        b"\x30\x05\x30\x03\x02\x01\x01",
        b"\x31\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"-----BEGIN CERTIFICATE-----",
    ],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        read_certificate(garbage)


@pytest.mark.parametrize("ends", [der(UTC_TIME, b"99zz31235959Z"), der(0x13, b"401231235959Z")], ids=["text", "kind"])
def test_a_time_that_is_none_is_refused(ends: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        read_certificate(forge(name(("CN", "x")), ends=ends).der)


@given(data=st.data())
def test_a_damaged_certificate_never_raises_anything_else(data: st.DataObject) -> None:
    der = bytearray(DAMAGED)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(der[: data.draw(st.integers(0, len(der)))])
    for form in (bytes(der), cut):
        with contextlib.suppress(MalformedCertificate):
            assert isinstance(read_certificate(form), Certificate)


DAMAGED = forge(name(("CN", "damaged")), alternative_names([*dns("a.example"), *ip("::1")])).der
