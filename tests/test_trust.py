"""A project file that was merely found: what it may do, what it may not, and how that is changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milvus_profiles.config.documents import parse_document, read_document
from milvus_profiles.config.fields import FIELDS, field
from milvus_profiles.config.loading import load
from milvus_profiles.config.trust import TrustStore, gated_fields, gated_names, is_gated, shown_gated
from milvus_profiles.errors import ConfigError, MilvusProfilesError, UntrustedError
from milvus_profiles.masked import MASK, SecretText
from tests.support.errors import refused
from tests.support.files import written
from tests.support.waiting import side_by_side
from tests.support.world import World

CANARY = "s3cr3tc4n4ry"
TEXT = '[profiles.p]\nuri = "http://h"\nproxy = "http://p:1"\n'


@pytest.fixture
def pem(project: Path) -> Path:
    return written(project / "x.pem", "-----BEGIN CERTIFICATE-----\n")


# --- what is inert -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        'uri = "http://h"',
        'uri = "https://h:443/db"',
        'host = "h"\nport = 5',
        'uri = "./data/m.db"',
        'uri = "http://h"\ndb_name = "d"\ndescription = "x"\nprotected = true',
        'uri = "http://h"\ntimeout = 3\ncall_timeout = 3\nretry = false\nkeepalive = { time = 10 }',
        'uri = "http://h"\npool = { max_total_per_key = 3 }\nmanagement_port = 9092',
        'uri = "http://h"\nssl = true',
        'uri = "http://h"\nssl = {}',
        'uri = "http://h"\nuser = "root"',
        'uri = "http://h"\nuser = "root"\npassword = { keyring = true }',
        'uri = "http://h"\ntoken = { keyring = true }',
        'uri = "http://h"\ntoken = "its own"',
        'uri = "http://h"\nuser = "its"\npassword = "own"',
    ],
)
def test_what_is_inert_needs_no_trust(world: World, body: str) -> None:
    world.found(f"[profiles.p]\n{body}\n")
    resolved = world.load().use("p")
    assert not resolved.trusted
    assert gated_names(resolved.raw) == []
    assert gated_fields(world.document()) == {}


# --- what is gated -------------------------------------------------------------------------------------------------

GATED = {
    'token = { env = "T" }': ["token.env"],
    'token = { file = "t" }': ["token.file"],
    'token = { command = ["x"] }': ["token.command"],
    'token = { command = ["x"], pass_env = ["A"] }': ["token.command", "token.pass_env"],
    'user = "u"\npassword = { env = "T" }': ["password.env"],
    'user = "u"\npassword = { file = "/t" }': ["password.file"],
    'user = "u"\npassword = { command = ["x"] }': ["password.command"],
    'ssl = { ca = "x.pem" }': ["ssl.ca"],
    'ssl = { cert = "x.pem", key = "x.pem" }': ["ssl.cert", "ssl.key"],
    'ssl = { server_name = "x" }': ["ssl.server_name"],
    'proxy = "http://p:1"': ["proxy"],
    "allow_insecure = true": ["allow_insecure"],
    "allow_insecure = false": ["allow_insecure"],
}


@pytest.mark.parametrize("body", GATED)
def test_each_gated_field_is_refused_until_the_file_is_trusted(world: World, pem: Path, body: str) -> None:
    names = GATED[body]
    world.found(f'[profiles.base]\n{body}\n[profiles.p]\nextends = "base"\nuri = "http://h"\n')
    assert ", ".join(names) in world.refusal().message  # those of a parent too
    world.found(f'[profiles.p]\nuri = "http://h"\n{body}\n[profiles.free]\nuri = "http://h"\n')
    error = world.refusal()
    assert error.message == f"the profile 'p' of a project file that is not trusted sets {', '.join(names)}"
    assert str(error.location).startswith((f"{world.project_file}:3", f"{world.project_file}:4"))
    # To look at it is always allowed, and its neighbours are not concerned.
    assert world.load().resolve("p").trusted is False
    assert gated_names(world.load().raw("p")) == names
    assert world.load().use("free").profile.uri == "http://h"
    world.trust()
    resolved = world.load().use("p")
    assert resolved.trusted
    assert world.load().resolve("p").trusted


def test_gated_fields_from_a_trusted_layer_are_fine(world: World, pem: Path) -> None:
    world.found('[profiles.p]\nuri = "https://h"\n')
    resolved = world.load(
        MILVUS_PROFILES__P__SSL__CA=str(pem),
        MILVUS_PROFILES__P__PROXY="http://p:1",
        MILVUS_PROFILES__P__ALLOW_INSECURE="true",
    ).use("p")
    assert resolved.profile.proxy == "http://p:1"
    assert world.load().use("p", {"proxy": "http://p:1", "ssl": {"ca": str(pem)}}).profile.proxy == "http://p:1"


def test_an_override_takes_the_gated_field_out_of_the_way(world: World) -> None:
    world.found('[profiles.p]\nuri = "http://h"\nproxy = "http://evil:1"\nallow_insecure = true\n')
    assert "sets proxy, allow_insecure" in world.refusal().message
    assert "sets allow_insecure" in world.refusal(MILVUS_PROFILES__P__PROXY="http://p:1").message
    # An address of one's own drops allow_insecure, but the foreign proxy stays gated.
    assert "sets proxy" in world.refusal(MILVUS_PROFILES__P__URI="http://own").message
    assert "sets proxy" in world.refusal("p", {"uri": "http://own"}).message


def test_every_field_is_either_inert_or_gated_by_intention() -> None:
    leaves = [(name, key) for name in FIELDS for key in field((name,)).keys] + [(name,) for name in FIELDS]
    gated = {".".join(path) for path in leaves if is_gated(path, "x", "/dir")}
    assert gated == {
        "ssl.ca", "ssl.cert", "ssl.key", "ssl.server_name", "proxy", "allow_insecure",
        "token.env", "token.file", "token.command", "token.pass_env",
        "password.env", "password.file", "password.command", "password.pass_env",
    }  # fmt: skip


INSIDE = [
    "./m.db", "m.db", "sub/m.db", "sub/../m.db", "unix:m.sock", "unix:./m.sock", "{project}/m.db",
    "unix:{project}/m.sock", "http://h/x.db", "unix:inner/m.sock",
]  # fmt: skip
OUTSIDE = [
    "../m.db", "sub/../../m.db", "/var/m.db", "//{project}/../m.db", "~/m.db", "unix:/run/docker.sock",
    "unix:///run/docker.sock", "unix:////run/docker.sock", "UNIX:../m.sock", "unix:~/m.sock", "a/b://../../../m.db",
    "link/m.db", "link.db", "{project}-sibling/m.db",
]  # fmt: skip


@pytest.mark.parametrize("uri", [*INSIDE, *OUTSIDE])
def test_an_address_that_is_a_path_must_not_lead_out_of_the_project(world: World, tmp_path: Path, uri: str) -> None:
    (world.project / "sub").mkdir()
    (world.project / "link").symlink_to(tmp_path)
    (world.project / "link.db").symlink_to(tmp_path / "m.db")
    (world.project / "inner").symlink_to("sub")
    world.found(f'[profiles.p]\nuri = "{uri.format(project=world.project)}"\n')
    if uri in OUTSIDE:
        assert "sets uri" in world.refusal().message
    else:
        assert world.load().use("p").profile.uri is not None


def test_a_path_leads_out_only_of_where_it_really_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(world.project)
    world.found('[profiles.p]\nuri = "m.db"\n')
    assert load(env=world.env(), cwd=tmp_path / "alias").use("p").profile.uri == f"{tmp_path}/alias/m.db"
    world.trust(TEXT)
    assert load(env=world.env(), cwd=tmp_path / "alias").use("p").trusted


@pytest.mark.parametrize("body", ["uri = 5", 'uri = "a\\u0000b.db"', 'uri = ""', 'uri = "unix:"', "uri = ['x.db']"])
def test_an_address_that_is_none_is_not_gated_but_invalid(world: World, body: str) -> None:
    world.found(f"[profiles.p]\n{body}\n")
    with pytest.raises(ConfigError):
        world.load().use("p")


def test_an_untrusted_file_has_no_file_of_its_choice_opened(world: World, tmp_path: Path) -> None:
    # Opening a FIFO or a device can have effects; only the trusted file gets that far.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    world.found(f'[profiles.p]\nuri = "https://h"\nssl = {{ ca = "{fifo}" }}\n')
    assert world.load()["p"].tls is not None
    assert world.load().findings("p") == []
    world.trust()
    with pytest.raises(ConfigError, match="is not a file"):
        world.load()["p"]


# --- secrets of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables",
    [
        {"MILVUS_PROFILES__P__TOKEN": CANARY},
        {"MILVUS_PROFILES__P__TOKEN_FILE": "/secret"},
        {"MILVUS_PROFILES__P__TOKEN__ENV": "T"},
        {"MILVUS_PROFILES__P__TOKEN__COMMAND": '["x"]'},
        {"MILVUS_PROFILES__P__PASSWORD": CANARY, "MILVUS_PROFILES__P__USER": "u"},
        {"MILVUS_PROFILES__P__PASSWORD_FILE": "/secret", "MILVUS_PROFILES__P__USER": "u"},
        {"MILVUS_PROFILES__P__TOKEN": CANARY, "MILVUS_PROFILES__P__PORT": "5"},
        {"MILVUS_PROFILES__P__TOKEN": CANARY, "MILVUS_PROFILES__P__SSL": "true"},
    ],
)
def test_a_secret_of_the_environment_is_not_sent_to_an_untrusted_address(
    world: World, variables: dict[str, str]
) -> None:
    world.found('[profiles.p]\nhost = "evil"\n')
    error = world.refusal(**variables)
    assert "would be sent to the address of 'p'" in error.message
    assert CANARY not in str(error)
    assert str(error.location) == f"{world.project_file}:1:11"
    of_a_call = world.refusal("p", {"token": CANARY})
    assert of_a_call.message.startswith("token= would be sent")
    assert CANARY not in str(of_a_call)
    world.trust()
    assert world.load(**variables).use("p").trusted
    world.found('[profiles.base]\nhost = "evil"\n[profiles.p]\nextends = "base"\n')
    world.refusal(**variables)


def test_a_secret_of_the_environment_goes_to_an_address_of_the_environment(world: World) -> None:
    world.found('[profiles.p]\nuri = "http://evil"\ntimeout = 3\n')
    resolved = world.load(MILVUS_PROFILES__P__TOKEN=CANARY, MILVUS_PROFILES__P__URI="https://own").use("p")
    assert resolved.profile.uri == "https://own"
    assert resolved.profile.timeout == 3.0
    resolved = world.load(MILVUS_PROFILES__P__TOKEN=CANARY).use("p", {"uri": "https://own", "token": CANARY})
    assert resolved.profile.uri == "https://own"


def test_the_keyring_needs_no_trust_because_its_entries_are_bound_to_addresses(world: World) -> None:
    world.found('[profiles.p]\nuri = "http://h"\n')
    for name, value in (("TOKEN__KEYRING", "true"), ("USER", "root")):
        assert world.load(**{f"MILVUS_PROFILES__P__{name}": value}).use("p").profile.auth == "keyring"


def test_a_secret_and_an_address_never_meet_across_files(world: World) -> None:
    world.user(f'[profiles.p]\nuri = "https://own"\ntoken = "{CANARY}"\n')
    world.found('[profiles.p]\nuri = "https://evil"\n')
    assert world.load()["p"].token is None
    world.trust()
    assert world.load().use("p").profile.token is None
    world.found('[profiles.p]\nextends = "base"\n[profiles.base]\nuri = "https://evil"\n')
    assert world.load()["p"].token is None


# --- names of others -----------------------------------------------------------------------------------------------


def test_taking_the_users_alias_for_another_server_is_refused_naming_both(world: World) -> None:
    world.user('# mine\n[profiles.Prod]\nuri = "https://own"\n')
    world.found('[profiles.prod]\nuri = "https://evil"\n')
    error = world.refusal("PROD")
    assert error.message == (
        "the profile 'prod' leads to https://evil:443 in a project file that is not trusted, "
        f"and to https://own:443 in {world.user_file}:2:11"
    )
    assert str(error.location) == f"{world.project_file}:1:11"
    assert world.load()["prod"].uri == "https://evil"  # looking is allowed
    world.trust()
    assert world.load().use("prod").profile.uri == "https://evil"


@pytest.mark.parametrize(
    ("theirs", "own", "refused"),
    [
        ('uri = "https://h"', 'uri = "https://H.:443"', False),
        ('uri = "https://h"\ndb_name = "d"', 'uri = "https://h"', True),
        ('uri = "https://h/d"', 'uri = "https://h"\ndb_name = "d"', False),
        ('uri = "https://h"', 'uri = "https://h"\ndb_name = "d"', True),
        ('uri = "https://h"\ndb_name = "default"', 'uri = "https://h"', False),
        ('uri = "https://h"\nuser = "root"', 'uri = "https://h"\nuser = "reader"', True),
        ('uri = "https://h"\ntoken = { keyring = true }', 'uri = "https://h"\nuser = "reader"', True),
        ('uri = "https://h"\nuser = "reader"', 'uri = "https://h"\nuser = "reader"', False),
        ('uri = "https://h"', 'uri = "https://h"\nuser = "reader"', False),
        ('uri = "https://h"\nuser = "x"\npassword = "theirs"', 'uri = "https://h"\nuser = "reader"', False),
        ('host = "h"\nssl = true', 'uri = "https://h:19530"', False),
        ('uri = "http://h"', 'uri = "https://h:19530"', True),
        ('uri = "https://h"', 'uri = "https://h:444"', True),
        ('uri = "https://h"', "timeout = 3", False),
        ('uri = "https://h"', "uri = 5", True),
        ('uri = "https://h"', 'uri = "https://h"\nssl = { ca = "missing.pem" }', False),
        ("timeout = 3", 'uri = "https://h"', None),
    ],
)
def test_an_alias_of_ones_own_leads_to_no_other_endpoint_database_or_account(
    world: World, theirs: str, own: str, refused: bool | None
) -> None:
    world.user(f"[profiles.p]\n{own}\n")
    world.found(f"[profiles.p]\n{theirs}\n")
    if refused:
        assert "leads to" in world.refusal().message
    elif refused is None:
        with pytest.raises(ConfigError, match="has no address"):
            world.load().use("p")
    else:
        assert world.load().use("p").profile.uri or world.load().use("p").profile.host


def test_an_address_of_ones_own_is_never_a_foreign_one(world: World) -> None:
    world.user('[profiles.p]\nuri = "https://own"\n')
    world.found('[profiles.p]\nuri = "https://evil"\n')
    assert world.load(MILVUS_PROFILES__P__URI="https://x").use("p").profile.uri == "https://x"
    assert world.load().use("p", {"uri": "https://x"}).profile.uri == "https://x"
    # But what the override leaves of the address counts.
    world.found('[profiles.p]\nhost = "evil"\n')
    world.refusal(MILVUS_PROFILES__P__PORT="5")


def test_a_database_or_user_of_ones_own_is_never_a_foreign_one(world: World) -> None:
    world.user('[profiles.p]\nuri = "https://own"\nuser = "reader"\ndb_name = "films"\n')
    world.found('[profiles.p]\nuri = "https://own"\nuser = "root"\ndb_name = "payroll"\n')
    world.refusal(MILVUS_PROFILES__P__DB_NAME="films")
    world.refusal(MILVUS_PROFILES__P__USER="reader")
    mine = {"MILVUS_PROFILES__P__DB_NAME": "payroll", "MILVUS_PROFILES__P__USER": "root"}
    assert world.load(**mine).use("p").profile.db_name == "payroll"
    assert world.load().use("p", {"db_name": "payroll", "user": "root"}).profile.user == "root"


def test_a_foreign_default_may_name_only_its_own_profiles(world: World) -> None:
    world.user('[profiles.prod]\nuri = "https://own"\n')
    world.found('default_profile = "prod"\n[profiles.dev]\nuri = "http://dev"\n')
    said, remedy = "…default_profile names 'prod'…", "…milvus-profiles trust…"
    with refused(said, at=f"{world.project_file}:1:19", hint=remedy, kind=UntrustedError):
        world.load().select()
    assert world.load().select("prod").alias == "prod"
    assert world.load(MILVUS_PROFILE="dev").select().alias == "dev"
    world.trust()
    assert world.load().select().alias == "prod"
    world.found('default_profile = "DEV"\n[profiles.dev]\nuri = "http://dev"\n')
    assert world.load().select().alias == "dev"
    # A name that nobody declares is not said to be unknown: that would tell what the user has.
    world.found('default_profile = "nobody"\n')
    with pytest.raises(UntrustedError):
        world.load().select()


# --- pinning -------------------------------------------------------------------------------------------------------


def test_every_content_that_was_approved_stays_so_and_untrust_forgets_them_all(world: World) -> None:
    world.found(TEXT)
    assert world.store().pinned(world.document()) is None
    texts = [TEXT + f"# {number}\n" for number in range(3)]
    for text in texts:
        world.trust(text)
        world.trust()
    for text in (texts[0], texts[2], texts[1]):
        world.found(text)
        assert world.load().use("p").trusted
    assert len(world.store().contents(str(world.project_file))) == 3
    elsewhere = parse_document(texts[1].encode(), "/elsewhere/milvus.toml", "project")
    assert not world.store().trusts(elsewhere)  # the same content there is another file
    world.found(TEXT + "# another\n")
    assert world.store().pinned(world.document()) is not None
    world.refusal()
    world.project_file.unlink()  # which is no reason to keep them
    world.store().unpin(str(world.project_file))
    world.store().unpin("/never/seen")
    for text in texts:
        world.found(text)
        world.refusal()


def test_contents_that_were_approved_at_another_place_are_not_here(world: World, tmp_path: Path) -> None:
    # One file, read by a link in another directory: its relative paths lead elsewhere from there.
    world.found(TEXT)
    (there := tmp_path / "there").mkdir()
    (there / "milvus.toml").symlink_to(world.project_file)
    linked = read_document(str(there / "milvus.toml"), "project")
    world.store().pin(linked)
    world.refusal()
    world.trust()
    assert world.store().trusts(linked)
    assert world.store().trusts(world.document())
    world.trust(TEXT + "# more\n")
    assert not world.store().trusts(read_document(str(there / "milvus.toml"), "project"))


def test_what_an_earlier_version_wrote_is_read_and_it_reads_what_is_written_now(world: World) -> None:
    world.trust(TEXT)
    world.entry(lambda entry: entry.pop("approved"))  # as it was before there was such a list
    assert world.load().use("p").trusted
    world.trust(TEXT + "# more\n")
    assert world.entry()["sha256"] == world.document().sha256  # all that the earlier version asks for
    world.found(TEXT)
    assert world.load().use("p").trusted


@pytest.mark.parametrize("approved", [None, 3, [], {"d": 3}, {"d": [3, None]}, {3: []}, {"d": {"a": "b"}}])
def test_a_list_of_contents_that_is_none_approves_nothing(world: World, approved: Any) -> None:
    world.trust(TEXT)
    world.entry(lambda entry: entry.update(approved=approved, sha256="0" * 64))
    world.refusal()
    world.trust()
    assert world.load().use("p").trusted


def test_no_more_contents_are_remembered_than_the_state_file_holds(world: World) -> None:
    world.trust(TEXT)
    many = [f"{number:064}" for number in range(5000)]
    world.entry(lambda entry: entry.update(approved={entry["directory"]: many}))
    world.trust(TEXT + "# more\n")
    assert len(world.store().contents(str(world.project_file))) == 1000
    world.found(TEXT)
    assert world.load().use("p").trusted


def test_the_state_file_is_private_and_remembers_what_was_gated(world: World) -> None:
    world.trust(TEXT + '[profiles.q]\ntoken = { command = ["op", "x"] }\nssl = { ca = 1979-05-27 }\n')
    store = world.store()
    assert store.path == str(world.home / ".local/state/milvus/trust.json")
    assert os.stat(store.path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(store.path)).st_mode & 0o777 == 0o700
    pinned = store.pinned(world.document())
    assert pinned is not None
    assert pinned["sha256"] == world.document().sha256
    assert pinned["gated"] == {"p.proxy": "http://p:1", "q.token.command": ["op", MASK], "q.ssl.ca": MASK}


def test_the_state_directory_may_be_elsewhere(world: World, tmp_path: Path) -> None:
    world.found(TEXT)
    env = world.env(XDG_STATE_HOME=str(tmp_path / "state"))
    TrustStore.load(env).pin(world.document())
    assert (tmp_path / "state" / "milvus" / "trust.json").exists()
    assert load(env=env, cwd=world.project).use("p").trusted
    world.refusal()


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"5", b'"x"', b'{"files": []}', b'{"files": 5}', b'{"file": {}}', b"\xff\xfe",
        b'{"files": {"x": 5}}', b"[" * 100_000, b'{"files": {"FILE": {"sha256": null}}}',
        b'{"files": {"FILE": "DIGEST"}}', b'{"files": {"FILE": ["DIGEST"]}}',
    ],
)  # fmt: skip
def test_a_broken_state_file_trusts_nothing_and_is_written_anew(world: World, content: bytes) -> None:
    world.found(TEXT)
    state = world.state()
    state.parent.mkdir(parents=True, mode=0o700)
    content = content.replace(b"FILE", str(world.project_file).encode()).replace(
        b"DIGEST", world.document().sha256.encode()
    )
    state.write_bytes(content)
    state.chmod(0o600)
    assert not world.store().trusts(world.document())
    world.refusal()
    world.trust()
    assert world.load().use("p").trusted
    assert json.loads(state.read_text())["version"] == 1


def test_a_state_that_cannot_be_read_trusts_nothing_and_one_that_cannot_be_written_is_said(world: World) -> None:
    world.found(TEXT)
    (world.home / ".local").write_text("a file in the way")
    assert not world.store().trusts(world.document())
    with pytest.raises(MilvusProfilesError) as caught:
        world.trust()
    assert caught.value.location
    assert caught.value.hint


def test_two_who_trust_at_once_lose_nothing(world: World) -> None:
    files = []
    for number in range(8):
        file = written(world.project / str(number) / "milvus.toml", TEXT + f"# {number}\n")
        files.append(read_document(str(file), "project"))
    side_by_side(world.store().pin, *zip(files))
    assert all(world.store().trusts(document) for document in files)


# --- what may be shown of it ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("p.proxy", "http://p:1", "http://p:1"),
        ("p.proxy", f"http://u:{CANARY}@p:1", MASK),
        ("p.ssl.ca", "/ca.pem", "/ca.pem"),
        ("p.ssl.key", f"-----BEGIN PRIVATE KEY-----{CANARY}", MASK),
        ("p.ssl.ca", "a\nb", MASK),
        ("p.ssl.ca", 5, MASK),
        ("p.allow_insecure", True, True),
        ("p.allow_insecure", CANARY, MASK),
        ("p.token.command", ["op", CANARY, CANARY], ["op", MASK, MASK]),
        ("p.token.command", [], MASK),
        ("p.token.command", CANARY, MASK),
        ("p.token.env", "NAME", "NAME"),
        ("p.token.env", f"{CANARY}-", MASK),
        ("p.token.env", 5, MASK),
        ("p.token.pass_env", ["A", "b c", 5], ["A", MASK, MASK]),
        ("p.token.file", "/run/secret", "/run/secret"),
    ],
)
def test_a_gated_value_is_shown_without_what_could_be_a_secret(name: str, value: Any, shown: Any) -> None:
    assert shown_gated(name, value) == shown


def test_what_changed_since_it_was_trusted_is_known_even_where_it_is_not_shown(world: World) -> None:
    world.trust(TEXT + '[profiles.q]\ntoken = { command = ["op", "one"] }\nssl = { ca = "a" }\n')
    assert world.store().changes(world.document()) == {}
    world.found(
        TEXT.replace("p:1", "p:2") + '[profiles.q]\ntoken = { command = ["op", "two"] }\nallow_insecure = true\n'
    )
    assert world.store().changes(world.document()) == {
        "p.proxy": ("http://p:1", "http://p:2"),
        "q.token.command": (["op", MASK], ["op", MASK]),
        "q.ssl.ca": (str(world.project / "a"), None),
        "q.allow_insecure": (None, True),
    }
    other = parse_document(TEXT.encode(), "/elsewhere/milvus.toml", "project")
    assert world.store().changes(other) == {"p.proxy": (None, "http://p:1")}


def test_what_no_file_declares_has_nothing_gated(world: World) -> None:
    profiles = world.load(MILVUS_URI="http://h", MILVUS_TOKEN="t")
    assert gated_names(profiles.raw("default")) == []
    assert profiles.is_trusted(profiles.raw("default"))
    world.found("[profiles]\np = 5\n")
    assert gated_fields(world.document()) == {}


# --- as a property -------------------------------------------------------------------------------------------------

_LINES = st.sampled_from(
    [
        'uri = "https://evil"', 'host = "evil"', "port = 5", 'user = "root"', "ssl = true", 'ssl.server_name = "x"',
        'proxy = "http://evil:1"', "allow_insecure = true", 'token = { env = "T" }', 'token = { file = "/etc/passwd" }',
        'token = { command = ["x"] }', 'token = { keyring = true }', 'token = "own"', "timeout = 3", 'uri = "/m.db"',
        'extends = "base"',
    ]
)  # fmt: skip
_VARIABLES = st.sampled_from(
    [
        ("TOKEN", CANARY), ("PASSWORD", CANARY), ("USER", "me"), ("URI", "https://own"), ("HOST", "own"), ("PORT", "7"),
        ("TOKEN_FILE", "/secret"), ("SSL", "true"), ("PROXY", "http://own:1"), ("TIMEOUT", "5"),
    ]
)  # fmt: skip


@given(
    body=st.lists(_LINES, max_size=4, unique_by=lambda line: line.split()[0].split(".")[0]),
    base=st.lists(
        _LINES.filter(lambda line: "extends" not in line), max_size=2, unique_by=lambda line: line.split()[0]
    ),
    variables=st.lists(_VARIABLES, max_size=3, unique_by=lambda pair: pair[0]),
)
def test_nothing_foreign_and_nothing_secret_meet_in_a_profile_that_may_be_used(
    scratch: Path, body: list[str], base: list[str], variables: list[tuple[str, str]]
) -> None:
    (scratch / "milvus.toml").write_text("\n".join(["[profiles.p]", *body, "[profiles.base]", *base, ""]))
    env = {"HOME": "/nowhere"} | {f"MILVUS_PROFILES__P__{name}": value for name, value in variables}
    try:
        made = load(env=env, cwd=scratch).use("p").profile
    except (ConfigError, UntrustedError) as error:
        refused = error
    else:
        if made.endpoint.host == "evil":
            assert made.auth in ("none", "keyring", "inline")
            assert made.auth != "inline" or made.token == SecretText("own")
        assert made.auth not in ("env", "command")
        assert made.proxy in (None, "http://own:1")
        assert not made.allow_insecure
        assert made.endpoint.kind == "tcp"
        return
    assert CANARY not in str(refused)
