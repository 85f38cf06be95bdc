"""Addresses: what they mean, in one spelling, and what is refused because it could mean two things."""

from __future__ import annotations

import ipaddress
import os
import string

import pytest
from hypothesis import assume, example, given, reject
from hypothesis import strategies as st

from milvus_profiles.endpoint import (
    Address,
    AddressError,
    absolute_address,
    endpoint_of,
    parse_address,
    parse_host,
)
from milvus_profiles.files.paths import absolute_path

# --- what people write ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("http://milvus.example:19530", "http://milvus.example:19530"),
        ("http://milvus.example", "http://milvus.example:19530"),
        ("https://milvus.example", "https://milvus.example:443"),
        ("https://milvus.example:19530", "https://milvus.example:19530"),
        ("tcp://milvus.example", "http://milvus.example:19530"),
        ("milvus.example", "http://milvus.example:19530"),
        ("milvus.example:443", "http://milvus.example:443"),
        ("localhost", "http://localhost:19530"),
        ("10.0.0.7:1", "http://10.0.0.7:1"),
        ("[::1]:19530", "http://[::1]:19530"),
        ("[::1]", "http://[::1]:19530"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("http://milvus.example/", "http://milvus.example:19530"),
        ("http://milvus.example:19530/analytics", "http://milvus.example:19530"),
        ("HTTPS://Milvus.Example:443", "https://milvus.example:443"),
        ("my_service.ns.svc", "http://my_service.ns.svc:19530"),
        ("http://host:00080", "http://host:80"),
    ],
)
def test_every_documented_form_means_one_endpoint(text: str, uri: str) -> None:
    assert endpoint_of(text).uri == uri
    assert str(endpoint_of(text)) == uri


def test_only_https_decides_about_tls_and_only_a_scheme_spells_plaintext() -> None:
    addresses = [parse_address(text) for text in ("https://h", "http://h", "tcp://h", "h:1", "unix:/s")]
    assert [address.tls for address in addresses] == [True, None, None, None, None]
    assert [address.cleartext_spelled for address in addresses] == [False, True, True, False, False]


@pytest.mark.parametrize("address", ["http://h", "h:1", "[::1]:1", "https://h"])
def test_the_first_path_segment_is_the_database(address: str) -> None:
    for path, database in (("/analytics", "analytics"), ("/analytics/", "analytics"), ("/my.db", "my.db")):
        assert parse_address(address + path).database == database
    assert parse_address(f"{address}/").database is parse_address(address).database is None


@pytest.mark.parametrize("text", ["http://h/a/b", "http://h//b", "http://h/a%20b", "http://h/ä", "http://h/a%2fb"])
def test_a_path_that_is_not_one_plain_segment_is_refused(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert caught.value.hint


# --- one server, one spelling --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTPS://EXAMPLE.com", "https://example.com:443"),
        ("http://example.com.", "http://example.com"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://BÜCHER.example", "http://XN--BCHER-KVA.example"),
        ("http://例。example", "http://例.example"),
        ("http://ｅxample.com", "http://example.com"),
        ("[0:0:0:0:0:0:0:1]:1", "[::1]:1"),
        ("[2001:DB8::0:1]:1", "[2001:db8::1]:1"),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
        ("[::FFFF:7F00:1]:1", "127.0.0.1:1"),
        ("1.2.3.4.", "1.2.3.4"),
        ("unix:///run/m.sock", "unix:/run/m.sock"),
        ("unix:////run/m.sock", "unix:/run/m.sock"),
        ("UNIX:/run/../run/m.sock", "unix:/run/m.sock"),
        ("/data//milvus.db/", "/data/milvus.db"),
        ("//data/milvus.db", "/data/milvus.db"),
    ],
)
def test_two_spellings_of_one_server_are_one_endpoint(one: str, other: str) -> None:
    assert endpoint_of(one) == endpoint_of(other)
    assert hash(endpoint_of(one)) == hash(endpoint_of(other))


def test_two_servers_are_two_endpoints() -> None:
    hosts = ["http://h", "https://h", "http://h:1", "http://h:2", "http://h2", "http://a.h"]
    others = ["http://localhost", "http://127.0.0.1", "unix:/a.db", "/a.db"]
    assert len({endpoint_of(text) for text in (*hosts, *others)}) == 10


_LABELS = st.text(string.ascii_letters + string.digits + "-_äßéøЖ例", min_size=1, max_size=12)
_HOSTS = st.one_of(
    st.lists(_LABELS, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded.upper()}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
)
_ADDRESSES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "http://", "https://", "tcp://", "HTTPS://"]),
    _HOSTS,
    st.one_of(st.just(""), st.integers(1, 65535).map(":{}".format)),
    st.sampled_from(["", "/", "/analytics"]),
)


@given(_ADDRESSES)
@example("[::ffff:0:0]")
@example("xn--a")
@example("ß.example.")
def test_the_rebuilt_uri_means_the_same_endpoint(text: str) -> None:
    try:
        endpoint = endpoint_of(text)
    except AddressError:
        reject()
    assert endpoint_of(endpoint.uri) == endpoint
    assert endpoint_of(endpoint.uri).uri == endpoint.uri
    assert endpoint.uri.isascii()
    assert endpoint.uri == endpoint.uri.lower()
    host = endpoint.host
    assert parse_host(host) == parse_host(host.upper()) == host
    assert ":" in host or parse_host(f"{host}.") == host


_PLAIN = st.builds(
    "://{}{}{}".format,
    st.one_of(
        st.lists(st.from_regex(r"[a-z0-9_-]{1,5}", fullmatch=True), min_size=1, max_size=4).map(".".join),
        st.integers(180, 260).map(lambda length: (("a" * 60 + ".") * 5)[:length]),  # some too long
    ),
    st.one_of(st.just(""), st.integers(0, 100_000).map(":{}".format)),
    st.sampled_from(["", "/", "/analytics", "/Db_2", "/a-b", "/a/b", ".db"]),
)


def outcome(text: str) -> Address | str:
    """What an address means, or why it is none."""
    try:
        return parse_address(text)
    except AddressError as error:
        return str(error)


@given(st.sampled_from(["http", "https", "tcp"]), _PLAIN)
@example("http", "://h.0x1")
@example("https", "://a.7")
@example("tcp", "://h:59999/db")
def test_a_scheme_in_small_letters_means_what_one_in_capitals_does(scheme: str, rest: str) -> None:
    # The first is read in one step where there is nothing to be refused in it, the second never is.
    assert outcome(scheme + rest) == outcome(scheme.upper() + rest)


_PATHS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)


@given(_PATHS, st.sampled_from(["unix:", "unix:///", ""]), st.sampled_from(["/base", "/base dir/ä"]))
def test_paths_become_absolute_and_stay_what_they_are(path: str, prefix: str, base: str) -> None:
    text = prefix + path + ("" if prefix else ".db")
    assume(prefix or "://" not in text)
    try:
        address = parse_address(text, base=base, home="/home/me")
    except AddressError:
        reject()
    assume(address.kind != "tcp")
    uri = address.endpoint().uri
    assert os.path.isabs(address.path)
    assert parse_address(uri, base="/elsewhere", home="/other") == address
    assert absolute_address(text, base=base, home="/home/me") == uri
    assert absolute_address(uri, base="/elsewhere") == uri


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_clear_refusal(text: str) -> None:
    try:
        endpoint = endpoint_of(text)
    except AddressError:
        return
    assert endpoint_of(endpoint.uri) == endpoint


# --- what is refused -----------------------------------------------------------------------------------------------


REFUSED = {
    "empty": ["", "   ", "unix:", "unix:  "],
    "host is empty": ["http://", "http://:19530", ":19530", "http:///db"],
    "not a valid host": ["."],
    "space": ["http://h:1 ", " http://h:1", "http://a b"],
    "backslash": ["http://h\\x"],
    "query": ["http://h?x=1"],
    "fragment": ["http://h#x"],
    "(a control character)": [
        "http://h\n", "http://h\t", "http://h\x00.example", "http://h\x1b[31m", "http://h\x7f", "unix:/run/\x00.sock",
        "a\nb.db",
    ],
    "U+200B (ZERO WIDTH SPACE)": ["http://h\u200b"],
    "U+2028 (LINE SEPARATOR)": ["http://h\u2028"],
    "U+00A0 (NO-BREAK SPACE)": ["http://h\xa0"],
    "percent": ["http://h%2e.example", "[fe80::1%25eth0]:1", "[fe80::1%eth0]:1"],
    "user information": ["http://root:pw@h", "root@h:19530", "http://h/db@x", "root:pw@h/my.db", "root:pw@my.db"],
    "port": ["h:my.db"],
    "ftp://": ["ftp://h"],
    "grpc://": ["grpc://h"],
    "dns://": ["dns:///h"],
    "colon": ["::1", "h:1:2", "ipv4:1.2.3.4:80"],
    "brackets": ["[::1", "[::1]x", "[::1]1"],
    "IPv6": ["[]:1", "[h]:1", "[1.2.3.4]:1", "[::g]:1", "[1::2::3]"],
    "path": ["./milvus", "/run/milvus.sock", "~/milvus", "../x/y"],
    "host name": ["-h", "h-", "a..b", "h..", "a,b", "h!", "a" * 64, "http://﹪h"],
    "253": [".".join(["a" * 60] * 5), "ä" * 300],
    "international": ["xn--ä", "ä" * 63],
    "absolute": ["unix://host/x"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "word"), [(text, word) for word, texts in REFUSED.items() for text in texts])
def test_what_is_no_address_or_could_be_two_is_refused(text: str, word: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert word in caught.value.message or word in (caught.value.hint or "")


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "0x7f.1", "2130706433", "017700000001", "0x7f000001", "127.0.0.01", "0177.0.0.1", "1.2.3", "1.2.3.4.5",
        "256.1.1.1", "1.2.3.0x4", "example.1", "0x", "1", "１２７.１",
    ],
)  # fmt: skip
def test_numbers_that_resolvers_read_in_different_ways_are_refused(host: str) -> None:
    for text in (host, f"http://{host}", f"https://{host}:19530", f"{host}."):
        with pytest.raises(AddressError, match="number"):
            parse_address(text)


@given(st.from_regex(r"(0[xX][0-9a-fA-F]*|[0-9]{1,12})(\.(0[xX][0-9a-fA-F]*|[0-9]{1,12})){0,4}", fullmatch=True))
def test_a_host_that_ends_in_a_number_is_four_plain_decimal_parts_or_refused(host: str) -> None:
    try:
        parsed = parse_host(host)
    except AddressError:
        return
    assert parsed == host
    assert str(ipaddress.IPv4Address(parsed)) == host


@pytest.mark.parametrize(
    "port", ["0", "65536", "99999", "123456", "-1", "+1", "1.0", "", "x", "0x50", "١٩٥٣٠", "１９", "²", "9" * 5000]
)
def test_ports_outside_1_to_65535_and_foreign_digits_are_refused(port: str) -> None:
    for good in (1, 80, 443, 9999, 19530, 65535):
        assert parse_address(f"h:{good}").port == good
    for text in (f"http://h:{port}", f"[::1]:{port}", f"h:{port}"):
        with pytest.raises(AddressError, match="port" if len(port) < 4096 else "longer than 4096"):
            parse_address(text)


@given(st.text(st.characters(categories=["Cc", "Cf", "Zs", "Zl", "Zp"]), min_size=1, max_size=1), st.integers(0, 20))
def test_a_control_character_or_a_space_anywhere_is_refused(char: str, at: int) -> None:
    text = "http://milvus.example"
    at = min(at, len(text))
    for spoiled in (text[:at] + char + text[at:], f"milvus{char}", f"{char}milvus:1"):
        with pytest.raises(AddressError):
            parse_address(spoiled)


def test_hosts_given_alone_meet_the_same_rules() -> None:
    assert parse_host("::1") == parse_host("[::1]") == "::1"
    assert parse_host("EXAMPLE.com.") == "example.com"
    for wrong in ("", "a b", "a\n", "a@b", "a/b", "a?b", "a\\b", "h:1", "[::1", "::1%lo", "127.1", "\udcff", "a\u0000"):
        with pytest.raises(AddressError):
            parse_host(wrong)


CANARY = "s3cr3t-c4n4ry"


WITH_A_PASSWORD = [
    *(f"http://root:{CANARY}{rest}" for rest in (
        "@host:19530", "@", "/x@host", "%40host", "?@host", "#@host", " @host", "\\@host", "\x00@host",
    )),
    f"root:{CANARY}@host", f"root:{CANARY}@host.db", f"https://{CANARY}@host/db", f"http://[{CANARY}]:1",
    f"ftp:{CANARY}@host", f"http://host:{CANARY}", f"http://h/{CANARY}/{CANARY}", f"http://h/{CANARY}%",
    f"unix://{CANARY}",
]  # fmt: skip


@pytest.mark.parametrize("text", WITH_A_PASSWORD)
def test_no_message_repeats_what_may_be_a_password(text: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address(text)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)


# --- sockets and Lite ----------------------------------------------------------------------------------------------


def test_relative_paths_count_from_the_base(tmp_path: os.PathLike[str]) -> None:
    base = os.fspath(tmp_path)
    assert parse_address("./milvus.db", base=tmp_path) == Address("lite", path=f"{base}/milvus.db")
    assert parse_address("data/../m.db", base=base).path == f"{base}/m.db"
    assert parse_address(".db", base=base).path == f"{base}/.db"
    assert parse_address("unix:m.sock", base=base) == Address("unix", path=f"{base}/m.sock")
    assert parse_address("unix:./m.sock", base=base).path == f"{base}/m.sock"
    assert parse_address("/abs/m.db", base=base).path == "/abs/m.db"


def test_the_current_directory_is_the_base_where_none_is_given(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_address("m.db").path == os.path.join(os.getcwd(), "m.db")


def test_a_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_address("~/m.db", base="/b", home="/home/me").path == "/home/me/m.db"
    assert parse_address("unix:~/m.sock", base="/b", home="/home/me").path == "/home/me/m.sock"
    monkeypatch.setenv("HOME", "/home/process")
    assert parse_address("~/m.db", base="/b").path == "/home/process/m.db"
    assert parse_address("a~/m.db", base="/b", home="/home/me").path == "/b/a~/m.db"


def test_an_address_without_a_path_stays_as_it_is_when_paths_are_made_absolute() -> None:
    for text in ("h:1", "http://h", "http://root:pw@h", "", "unix:", "not an address", "http://h/x.db"):
        assert absolute_address(text, base="/b") == text


def test_paths_have_one_spelling() -> None:
    assert absolute_path("//x/../y", base="/b") == "/y"
    assert absolute_path("x/", base="/b") == "/b/x"
    assert absolute_path("~", base="/b", home="/home/me") == "/home/me"
    assert absolute_path("./~nobody-of-that-name/x", base="/b", home="/home/me") == "/b/~nobody-of-that-name/x"


def test_unix_and_lite_have_neither_host_nor_port() -> None:
    unix, lite = endpoint_of("unix:/run/m.sock"), endpoint_of("/data/m.db")
    assert (unix.uri, unix.authority, unix.host, unix.port) == ("unix:/run/m.sock", "/run/m.sock", "", 0)
    assert (lite.uri, lite.authority, lite.host, lite.port) == ("/data/m.db", "/data/m.db", "", 0)
    assert (endpoint_of("[::1]:5").authority, endpoint_of("h:5").authority) == ("[::1]:5", "h:5")
    with pytest.raises(AttributeError):
        unix.host = "other"  # type: ignore[misc]


LOOPBACK = [
    "localhost", "LOCALHOST.", "127.0.0.1", "127.255.255.254", "[::1]", "[::ffff:127.0.0.1]", "https://localhost",
    "unix:/s", "./m.db",
]  # fmt: skip
ELSEWHERE = [
    "128.0.0.1", "126.255.255.255", "10.0.0.1", "192.168.0.1", "0.0.0.0", "[::]", "[::2]", "[::127.0.0.1]",
    "[fe80::1]", "localhost.example.com", "foo.localhost", "localhost4", "127.0.0.1.example.com",
    "localhost.localdomain",
]  # fmt: skip


def test_loopback_is_127_8_and_1_and_localhost_and_what_has_no_network() -> None:
    assert [text for text in LOOPBACK if not endpoint_of(text).is_loopback] == []
    assert [text for text in ELSEWHERE if endpoint_of(text).is_loopback] == []
