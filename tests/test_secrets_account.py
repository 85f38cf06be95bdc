"""Under which name the keyring keeps a secret, and what a secret may look like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles.endpoint import Endpoint, endpoint_of
from milvus_profiles.errors import ConfigError
from milvus_profiles.masked import SecretText, line_of, secret_fault
from milvus_profiles.secrets.value import keyring_account


@pytest.mark.parametrize(
    ("address", "user", "account"),
    [
        ("https://in03.Cloud.Example", "root", "tls|in03.cloud.example|443|root"),
        ("https://in03.cloud.example.:443", None, "tls|in03.cloud.example|443|"),
        ("http://db.example", "root", "plain|db.example|19530|root"),
        ("db.example:1", None, "plain|db.example|1|"),
        ("[::1]:19530", "root", "plain|::1|19530|root"),
        ("http://db.example", "a|b", "plain|db.example|19530|a|b"),
        ("http://db.example", "Jürgen", "plain|db.example|19530|Jürgen"),
    ],
)
def test_an_account_names_transport_host_port_and_user(address: str, user: str | None, account: str) -> None:
    assert keyring_account(endpoint_of(address), user) == account


def test_a_unix_socket_is_known_by_its_real_path(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    expected = f"unix|{os.path.realpath(real)}/m.sock||root"
    assert keyring_account(Endpoint("unix", path=f"{tmp_path}/link/m.sock"), "root") == expected


def test_a_bar_in_the_path_of_a_socket_is_not_the_end_of_the_path() -> None:
    accounts = {
        keyring_account(Endpoint("unix", path="/s||x"), None),
        keyring_account(Endpoint("unix", path="/s"), "x||"),
        keyring_account(Endpoint("unix", path="/s%7C%7Cx"), None),
    }
    assert accounts == {"unix|/s%7C%7Cx||", "unix|/s||x||", "unix|/s%257C%257Cx||"}


def test_milvus_lite_has_no_account() -> None:
    with pytest.raises(ConfigError, match="Lite"):
        keyring_account(Endpoint("lite", path="/x.db"), None)


_hosts = st.from_regex(r"[a-z0-9][a-z0-9.:-]{0,5}", fullmatch=True)
_users = st.one_of(st.none(), st.text("ab|%/:19530", min_size=1, max_size=12))
_endpoints = st.one_of(
    st.builds(Endpoint, st.just("tcp"), _hosts, st.integers(1, 65535), st.just(""), st.booleans()),
    st.builds(lambda path: Endpoint("unix", path="/" + path), st.text("ab|%", max_size=12)),
)


@given(st.tuples(_endpoints, _users), st.tuples(_endpoints, _users))
def test_two_endpoints_or_users_never_share_an_account(
    one: tuple[Endpoint, str | None], other: tuple[Endpoint, str | None]
) -> None:
    assert (keyring_account(*one) == keyring_account(*other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
        ("a\r", "a\r"),
        ("\ufeffa\r\n", "a"),
        ("\ufeff", ""),
        ("\ufeff\ufeffa", "\ufeffa"),
        ("a\ufeff\n", "a\ufeff"),
        ("\n", ""),
        ("", ""),
        (" a ", " a "),
    ],
)
def test_a_byte_order_mark_and_one_newline_are_dropped(text: str, left: str) -> None:
    assert line_of(SecretText(text)).reveal() == left


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "is empty"),
        ("a\nb", "has several lines"),
        ("a\r", "has several lines"),
        ("a\x0bb", "contains a control character"),
        ("a\tb", None),
        ("a" * 65_536, None),
        ("a" * 65_537, "is longer than 65536 characters"),
        ("***", "is a row of asterisks: the mask of a secret, not the secret"),
        ("a\x00b", "contains a control character"),
        ("a\x7fb", "contains a control character"),
        ("a\udcffb", "is not UTF-8 text"),
        ("p:w ü€😀", None),
    ],
)
def test_a_secret_is_one_line_of_text(text: str, what: str | None) -> None:
    assert secret_fault(SecretText(text)) == what
