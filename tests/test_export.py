"""`export`: what each format says of a profile, what it leaves out and says so, and where the secret stands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
import yaml

import milvus_profiles as mp
from milvus_profiles.errors import ConfigError
from milvus_profiles.interop.exports import FORMATS, export
from milvus_profiles.interop.exports.plan import Exported, plan_for
from milvus_profiles.masked import SecretText
from tests.support.certificates import Certificates
from tests.support.command import Command
from tests.support.environment import run_python
from tests.support.faults import listener
from tests.support.files import written
from tests.support.milvus import MilvusServer
from tests.support.requirements import need
from tests.support.secret_service import KeyringSession
from tests.test_export_quoting import READERS, STARTED, WAYS, evaluated
from tests.test_hygiene import CANARY, leaks

EVERY = sorted(name for name, form in FORMATS.items() if form.connects)
AWKWARD = 'it\'s $HOME `id` "x" \\ %d #1 ${A}'
"""A password with what shells, YAML, systemd and .env files give a meaning."""


def test_the_issues_formats_are_there_and_in_the_help(cli: Command) -> None:
    wanted = "env|dotenv|json|pymilvus|langchain|node|go|java|curl|milvus-cli|k8s-secret|compose|systemd|mcp"
    assert list(FORMATS) == wanted.split("|")
    assert ", ".join(FORMATS) in " ".join(cli("export", "--help").stdout.split())


def test_milvus_lite_is_pymilvuss_own(cli: Command) -> None:
    cli.own_file(f'[profiles.lite]\nuri = "{cli.cwd}/m.db"\n')
    program = exported(cli, "lite", "pymilvus").text
    done = run_python(program)
    assert done.stdout == "[]\n", done.stderr


def exported(cli: Command, alias: str, name: str, token: SecretText | None = None) -> Exported:
    """What the command prints and warns of, without the time that starting it takes."""
    return export(plan_for(mp.load(env={"HOME": str(cli.home)}, cwd=cli.cwd)[alias], token), name)


@pytest.mark.parametrize("name", EVERY)
def test_every_port_is_written_and_the_database_is_its_own(cli: Command, name: str) -> None:
    cli.own_file('[profiles.a]\nuri = "https://db.example/films"\n[profiles.b]\nuri = "db.example"\n')
    text = exported(cli, "a", name).text
    assert "db.example:443" in text or '"port": 443' in text
    assert "films" in text
    if name != "milvus-cli":  # whose `connect` takes it in the address only
        assert ":443/films" not in text
    assert "db.example:19530" in exported(cli, "b", name).text


@pytest.mark.parametrize("name", EVERY)
def test_the_secret_is_a_reference_unless_it_is_asked_for(cli: Command, name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(CANARY)
    cli.own_file(
        f'[profiles.literal]\nuri = "https://db.example"\ntoken = "{CANARY}"\n'
        f'[profiles.file]\nuri = "https://db.example"\ntoken = {{ file = "{tmp_path}/secret" }}\n'
        '[profiles.variable]\nuri = "https://db.example"\ntoken = { env = "TEAM_TOKEN" }\n'
        '[profiles.keyring]\nuri = "https://export.example"\nuser = "canary"\n'
        f'[profiles.password]\nuri = "https://db.example"\nuser = "u"\npassword = {{ file = "{tmp_path}/secret" }}\n',
    )
    for alias in ("literal", "file", "variable", "keyring", "password"):
        found = exported(cli, alias, name)
        assert not leaks(found.text + "".join(found.gaps) + repr(found))
        wanted = {"file": f"{tmp_path}/secret", "variable": "TEAM_TOKEN"}.get(alias, "MILVUS_TOKEN")
        assert wanted in found.text
    if name == "dotenv":
        with pytest.raises(ConfigError) as refused:
            exported(cli, "literal", name, SecretText(CANARY))
        assert not leaks(str(refused.value))
        return
    found = exported(cli, "literal", name, SecretText(CANARY))
    assert leaks(found.text)
    assert not leaks("".join(found.gaps) + repr(found))


def test_the_command_writes_the_secret_only_when_it_is_confirmed(cli: Command, keyring_session: KeyringSession) -> None:
    cli.own_file('[profiles.a]\nuri = "https://export.example"\nuser = "canary"\n')
    keyring_session.set("milvus-profiles", "tls|export.example|443|canary", CANARY)
    outcome = cli("export", "a", "--to", "curl", status=0)  # there is no keyring here, and none is asked
    refused = cli("export", "a", "--to", "env", "--with-secret", keyring=keyring_session)
    assert (refused.returncode, refused.stdout) == (1, "")
    outcome = cli("export", "a", "--to", "env", "--with-secret", "--yes", keyring=keyring_session)
    assert f"canary:{CANARY}" in outcome.stdout
    assert not leaks(outcome.stderr)


def test_on_a_terminal_the_secret_is_confirmed(cli: Command) -> None:
    cli.own_file(f'[profiles.a]\nuri = "https://db.example"\ntoken = "{CANARY}"\n')
    words = ["export", "a", "--to", "env", "--with-secret"]
    declined = cli.tty(*words, answers=[("in plain text?", "n")], columns=200, status=1)
    assert not leaks(declined.text)
    assert leaks(cli.tty(*words, answers=[("in plain text?", "y")], columns=200).text)


def test_json_holds_no_secret(cli: Command) -> None:
    cli.own_file(f'[profiles.a]\nuri = "https://db.example"\ntoken = "{CANARY}"\nproxy = "http://p:1"\n')
    found = cli("export", "a", "--to", "node", "--json").json
    assert (found["alias"], found["format"]) == ("a", "node")
    assert "MilvusClient" in found["text"]
    assert len(found["gaps"]) == 1
    outcome = cli("export", "a", "--to", "node", "--json", "--with-secret", "--yes")
    assert (outcome.returncode, outcome.stdout) == (2, "")


def test_what_a_client_cannot_express_is_told(cli: Command, certificates: Certificates) -> None:
    client = certificates.client
    cli.own_file(
        '[profiles.proxied]\nuri = "https://db.example"\nproxy = "http://p.example:3128"\n'
        f'[profiles.uncertain]\nuri = "https://db.example"\nssl = {{ cert = "{client.cert}", key = "{client.key}" }}\n'
        '[profiles.six]\nuri = "http://[::1]:19530"\n'
        '[profiles.lite]\nuri = "./m.db"\n'
        '[profiles.socket]\nuri = "unix:/run/milvus.sock"\n',
    )
    cases = [
        ("proxied", "node", "proxy"), ("proxied", "go", "proxy"), ("proxied", "milvus-cli", "proxy"),
        ("proxied", "env", "only milvus-profiles"), ("uncertain", "pymilvus", "together with a CA"),
        ("uncertain", "java", "together with a CA"), ("uncertain", "milvus-cli", "no client certificates"),
        ("six", "pymilvus", "IPv6"), ("six", "compose", "leads a container to itself"),
        ("lite", "env", "cannot be imported"),
    ]  # fmt: skip
    for alias, name, words in cases:
        found = exported(cli, alias, name)
        assert words in " ".join(found.gaps), (alias, name)
        assert found.text
    for alias, name in (("proxied", "java"), ("proxied", "curl"), ("proxied", "pymilvus"), ("uncertain", "go")):
        assert exported(cli, alias, name).gaps == ()
    for alias, name in (("lite", "node"), ("lite", "systemd"), ("socket", "curl")):
        with pytest.raises(ConfigError, match="cannot reach"):
            exported(cli, alias, name)
    outcome = cli("export", "proxied", "--to", "node")
    assert (outcome.returncode, "MilvusClient" in outcome.stdout) == (0, True)
    assert "no option for a proxy" in outcome.stderr
    strict = cli("export", "proxied", "--to", "node", "--strict")
    assert (strict.returncode, strict.stdout) == (3, "")
    assert "no option for a proxy" in strict.stderr
    assert "exec lite" in cli("export", "lite", "--to", "go").stderr


def test_what_connecting_refuses_is_not_exported(cli: Command, project: Path) -> None:
    cli.own_file('[profiles.far]\nuri = "http://db.example"\ntoken = "t"\n[profiles.base]\ndb_name = "x"\n')
    (project / "milvus.toml").write_text('[profiles.found]\nuri = "https://db.example"\ntoken = { env = "HOME" }\n')
    assert cli("export", "far", "--to", "env", "--json").error["error"] == "insecure"
    assert cli("export", "base", "--to", "env").returncode == 3
    assert cli("export", "found", "--to", "env").returncode == 5
    assert cli("export", "nobody", "--to", "env").returncode == 3
    wrong = cli("export", "far", "--to", "pymilvu", status=2)
    assert "did you mean pymilvus?" in wrong.stderr


# --- the formats that are read, by their own readers -----------------------------------------------------------------


@pytest.fixture
def awkward(cli: Command, certificates: Certificates) -> Command:
    literal = json.dumps(AWKWARD)
    client = certificates.client
    cli.own_file(
        f'[profiles.a]\nuri = "https://db.example"\nuser = "u"\npassword = {literal}\ndb_name = "d\'b$x"\n'
        f'ssl = {{ ca = "{certificates.ca}", cert = "{client.cert}", key = "{client.key}", '
        'server_name = "n.example" }\n',
    )
    return cli


def assert_the_same(cli: Command, env: dict[str, str], *, without_files: bool = False) -> None:
    """The variables declare the profile that was exported."""
    profiles = mp.load(env={"HOME": "/nowhere", **env})
    found, original = profiles["default"], mp.load(env={"HOME": str(cli.home)})["a"]
    assert found.endpoint == original.endpoint
    assert found.db_name == original.db_name
    if not without_files:
        assert found.ssl == original.ssl


@pytest.mark.parametrize(("shell", "way"), WAYS)
def test_env_comes_back_through_every_shell_quoted_or_not(
    awkward: Command, shell: str, way: str, tmp_path: Path
) -> None:
    original = mp.load(env={"HOME": str(awkward.home)})["a"]
    text = exported(awkward, "a", "env", SecretText(f"u:{AWKWARD}")).text
    env = evaluated(shell, way, text, tmp_path, {"MILVUS_TOKEN_FILE": "/old", "MILVUS_PROFILE": "other"})
    assert (env["MILVUS_TOKEN"], env["MILVUS_PASSWORD"]) == (f"u:{AWKWARD}", AWKWARD)
    assert not {"MILVUS_TOKEN_FILE", "MILVUS_PROFILE"} & set(env)
    assert_the_same(awkward, {name: value for name, value in env.items() if name.startswith("MILVUS")})
    # The references: a variable, one of those too that are unset, and a file.
    (tmp_path / "to ken").write_text(f"{AWKWARD}\n")
    for reference in ('{ env = "MILVUS_API_KEY" }', '{ env = "TEAM_TOKEN" }', f'{{ file = "{tmp_path}/to ken" }}'):
        awkward.own_file(f'[profiles.a]\nuri = "https://db.example"\ntoken = {reference}\n')
        text = exported(awkward, "a", "env").text
        env = evaluated(shell, way, text, tmp_path, {"MILVUS_API_KEY": AWKWARD, "TEAM_TOKEN": AWKWARD})
        assert (env["MILVUS_TOKEN"], env["MILVUS_URI"]) == (AWKWARD, "https://db.example:443")
    assert original.db_name == "d'b$x"


def test_a_universal_variable_of_fish_is_not_a_secret_for_another_server(cli: Command, tmp_path: Path) -> None:
    need("fish")
    cli.own_file('[profiles.a]\nuri = "https://db.example"\n')
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    subprocess.run(["fish", "-c", "set -Ux MILVUS_TOKEN old"], env=env, check=True)
    (tmp_path / "text").write_text(exported(cli, "a", "env").text)
    program = f'eval "$(cat {tmp_path}/text)"; env; set -eg MILVUS_TOKEN; echo universal $MILVUS_TOKEN'
    done = subprocess.run(["fish", "-c", program], env=env, capture_output=True, text=True, check=True)
    assert "\nMILVUS_TOKEN=old\n" not in done.stdout
    assert "universal old" in done.stdout


@pytest.mark.parametrize("shell", STARTED)
def test_env_without_its_variable_stops_the_script(awkward: Command, shell: str) -> None:
    need(shell)
    text = awkward("export", "a", "--to", "env").stdout
    program = 'eval "$TEXT"; echo reached "$MILVUS_TOKEN"'
    run = [*(word for word in STARTED[shell] if word != "-fieu"), "-c", program]
    env = {"PATH": os.environ["PATH"], "HOME": str(awkward.home), "TEXT": text}
    missing = subprocess.run(run, env=env, capture_output=True, text=True, check=False)
    assert missing.stdout == ""
    assert "MILVUS_TOKEN: is not set" in missing.stderr
    done = subprocess.run(run, env={**env, "MILVUS_TOKEN": AWKWARD}, capture_output=True, text=True, check=True)
    assert done.stdout == f"reached {AWKWARD}\n"


def test_on_a_terminal_it_is_said_how_the_shell_takes_the_variables_in(cli: Command) -> None:
    cli.own_file('[profiles.a]\nuri = "https://db.example"\n')
    told = cli.tty("export", "a", "--to", "env", columns=200).text
    assert 'to set them in this shell: eval "$(milvus-profiles export a --to env)"' in told
    assert "#" not in told


@pytest.mark.security
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('uri = "https://h"\ndb_name = "a$(>evil)"', "MILVUS_DB: '$' in it"),
        ('uri = "https://h"\ndb_name = "it`>evil`"', "MILVUS_DB: '`' in it"),
        ('uri = "https://h"\nssl = { server_name = "h", ca = "CA" }', "MILVUS_PROFILES__DEFAULT__SSL__CA: ' ' in it"),
        ('uri = "https://h"\ndb_name = "=ls"', "MILVUS_DB: '=' in it"),
        ('uri = "unix:/a/it\'s"', "MILVUS_URI: "),
        ('uri = "https://h"\ntoken = { file = "$x" }', "MILVUS_TOKEN_FILE: '$' in it"),
        ('uri = "https://h"\ntoken = "q7$(>evil)"', "MILVUS_TOKEN: a character in it"),
        ('uri = "https://h"\nuser = "u"\npassword = "q7\\"x"', "MILVUS_TOKEN: a character in it"),
    ],
)
def test_a_value_that_readers_of_dotenv_files_disagree_on_is_refused(cli: Command, lines: str, told: str) -> None:
    (cli.home / "a b.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    cli.own_file(f"[profiles.a]\n{lines.replace('CA', f'{cli.home}/a b.pem')}\n")
    outcome = cli("export", "a", "--to", "dotenv", "--with-secret", "--yes") if "token =" in lines else None
    if outcome is None or "file" in lines:
        outcome = cli("export", "a", "--to", "dotenv", *(["--with-secret", "--yes"] if "password" in lines else []))
    assert (outcome.returncode, outcome.stdout) == (3, ""), outcome.stderr
    assert told in outcome.stderr
    assert "`milvus-profiles exec a -- COMMAND`" in outcome.stderr
    assert "q7" not in outcome.stderr


@pytest.mark.security
@pytest.mark.parametrize("reader", READERS)
def test_dotenv_declares_the_profile_to_every_reader(cli: Command, reader: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    cli.own_file(
        f'[profiles.a]\nuri = "https://db.example/films"\nuser = "rööt"\npassword = "q7@%+,=é"\n'
        f'proxy = "http://p.example:3128"\nssl = {{ ca = "{tmp_path}/ca.pem", server_name = "n.example" }}\n'
        '[profiles.variable]\nuri = "https://db.example"\ntoken = { env = "TEAM_TOKEN" }\n'
        f'[profiles.file]\nuri = "https://db.example"\ntoken = {{ file = "{tmp_path}/token" }}\n',
    )
    texts = {
        "a": cli("export", "a", "--to", "dotenv", "--with-secret", "--yes").stdout,
        **{alias: exported(cli, alias, "dotenv").text for alias in ("variable", "file")},
    }
    for alias, text in texts.items():
        (path := tmp_path / f"{alias}.env").write_text(text)
        env = {name: value for name, value in READERS[reader](path).items() if name.startswith("MILVUS_")}
        found = mp.load(env={"HOME": "/nowhere", **env})["default"]
        original = mp.load(env={"HOME": str(cli.home)})[alias]
        assert (found.endpoint, found.db_name, found.ssl, found.proxy) == (
            original.endpoint, original.db_name, original.ssl, original.proxy
        )  # fmt: skip
        assert found.credential is not None
        assert original.credential is not None
        if alias == "a":
            assert (env["MILVUS_TOKEN"], env["MILVUS_PASSWORD"]) == ("rööt:q7@%+,=é", "q7@%+,=é")
        else:
            assert found.credential.source == original.credential.source
    assert "only milvus-profiles reads" in " ".join(exported(cli, "variable", "dotenv").gaps)


@pytest.mark.security
def test_a_client_certificate_behind_a_colon_is_read_by_curl_as_a_path(
    cli: Command, certificates: Certificates, tmp_path: Path
) -> None:
    need("curl")
    (place := tmp_path / "a:b\\c:d").mkdir()
    client = certificates.client
    for name, path in (("cert.pem", client.cert), ("key.pem", client.key)):
        shutil.copy(path, place / name)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.load_cert_chain(certificates.server.cert, certificates.server.key)
    context.verify_mode = ssl.CERT_REQUIRED

    def answer(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n")

    with listener(answer) as opened:
        port = opened.port
        cli.own_file(
            f'[profiles.a]\nuri = "https://127.0.0.1:{port}"\nmanagement_port = {port}\n'
            f"ssl = {{ ca = '{certificates.ca}', cert = '{place}/cert.pem', key = '{place}/key.pem', "
            'server_name = "localhost" }\n',
        )
        (script := tmp_path / "program.sh").write_text(exported(cli, "a", "curl").text)
        done = subprocess.run(["sh", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("hello\n"), done.stderr


def test_manifests_come_back_through_a_yaml_reader(awkward: Command) -> None:
    secret = yaml.safe_load(awkward("export", "a", "--to", "k8s-secret", "--with-secret", "--yes").stdout)
    assert (secret["kind"], secret["metadata"]["name"]) == ("Secret", "milvus-a")
    assert secret["stringData"]["MILVUS_PASSWORD"] == AWKWARD
    assert all(isinstance(value, str) for value in secret["stringData"].values())
    env = {name: value for name, value in secret["stringData"].items() if "__SSL__" not in name}
    assert_the_same(awkward, env, without_files=True)
    manifest = yaml.safe_load(awkward("export", "a", "--to", "compose", "--with-secret", "--yes").stdout)
    [service] = manifest["services"].values()
    assert service["environment"]["MILVUS_PASSWORD"].replace("$$", "$") == AWKWARD
    assert set(service["secrets"]) == set(manifest["secrets"])
    for name, place in service["environment"].items():
        if name.endswith(("__CA", "__CERT", "__KEY")):
            assert place.removeprefix("/run/secrets/") in manifest["secrets"]


def test_references_in_manifests_are_files_that_are_there(awkward: Command, tmp_path: Path) -> None:
    manifest = yaml.safe_load(awkward("export", "a", "--to", "compose").stdout)
    [service] = manifest["services"].values()
    assert service["environment"]["MILVUS_TOKEN_FILE"] == "/run/secrets/milvus-token"
    assert manifest["secrets"]["milvus-token"] == {"environment": "MILVUS_TOKEN"}
    for name, entry in manifest["secrets"].items():
        assert name == "milvus-token" or Path(entry["file"]).exists()
    text = awkward("export", "a", "--to", "k8s-secret").stdout
    secret = yaml.safe_load(text)
    assert secret["stringData"]["MILVUS_TOKEN_FILE"] == "/run/secrets/milvus-a/token"
    assert "MILVUS_TOKEN" not in secret["stringData"]
    # The command in its comment makes that Secret: every key that a path names is in it.
    command = next(line for line in text.splitlines() if "kubectl create secret" in line)
    for value in secret["stringData"].values():
        if value.startswith("/run/secrets/milvus-a/"):
            assert f"--from-file={value.rpartition('/')[2]}=" in command
    if shutil.which("kubectl") is not None:
        printed = command.lstrip("# ").partition(" | ")[2] + " --dry-run=client --output yaml"
        done = subprocess.run(["sh", "-c", printed], input="t", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert set(yaml.safe_load(done.stdout)["data"]) == {"ca.pem", "cert.pem", "key.pem", "token"}


SYSTEMD = Path("/lib/systemd/systemd")


def test_a_unit_comes_back_through_systemd(awkward: Command, tmp_path: Path) -> None:
    reference = awkward("export", "a", "--to", "systemd")
    assert "LoadCredentialEncrypted=milvus-token:" in reference.stdout
    literal = awkward("export", "a", "--to", "systemd", "--with-secret", "--yes").stdout
    assert 'SetCredential=milvus-token:u:it\'s $HOME `id` "x" \\\\ %%d #1 ${A}\n' in literal
    if shutil.which("systemd-analyze") is None or not SYSTEMD.exists() or shutil.which("setpriv") is None:
        pytest.skip("there is no systemd on this machine to read the unit")
    units = tmp_path / "units"
    units.mkdir()
    for name, text in (("reference", reference.stdout), ("literal", literal)):
        path = units / f"{name}.service"
        path.write_text(text)
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    # Its own dump of what it read; it refuses to do so as root.
    runtime = tmp_path / "run"
    runtime.mkdir()
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    if as_nobody:
        os.chown(runtime, 65534, 65534)
        for directory in (tmp_path, *list(tmp_path.parents)[:3], units):
            directory.chmod(directory.stat().st_mode | 0o011)
    text = (units / "literal.service").read_text().replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n")
    text = "".join(line for line in text.splitlines(keepends=True) if "network-online" not in line)
    written(units / "dumped.service", text.replace("DynamicUser=yes\n", ""), 0o644)
    done = subprocess.run(
        [*as_nobody, SYSTEMD, "--test", "--user", "--unit=dumped.service"],
        env={"PATH": os.environ["PATH"], "HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime),
             "SYSTEMD_UNIT_PATH": str(units), "SYSTEMD_LOG_TARGET": "console"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    lines = {line.strip() for line in (done.stdout + done.stderr).splitlines()}
    assert "Environment: MILVUS_DB=d'b$x" in lines, done.stderr[-2000:]
    assert "Environment: MILVUS_URI=https://db.example:443" in lines
    assert any(line.startswith("Environment: MILVUS_PROFILES__DEFAULT__SSL__CA=") for line in lines)


def test_json_is_whole(awkward: Command, certificates: Certificates) -> None:
    found = json.loads(awkward("export", "a", "--to", "json", "--with-secret", "--yes").stdout)
    assert found == {
        "alias": "a", "uri": "https://db.example:443", "host": "db.example", "port": 443, "path": None, "tls": True,
        "db_name": "d'b$x", "user": "u", "token": f"u:{AWKWARD}", "ca": str(certificates.ca),
        "cert": str(certificates.client.cert), "key": str(certificates.client.key), "server_name": "n.example",
        "proxy": None, "timeout": 10.0, "management_port": 9091,
    }  # fmt: skip


@pytest.mark.parametrize("password", ["in front ", "tab in\t ", 'all: "of" it\'s '])
def test_curl_keeps_a_blank_at_the_end_of_a_password(
    cli: Command, milvus_auth: MilvusServer, password: str, tmp_path: Path
) -> None:
    need("curl", "base64")
    user = f"blank_{len(password)}"
    with mp.connect(uri=milvus_auth.uri, token="root:Milvus") as admin:
        admin.client().create_user(user, password)
    port = milvus_auth.metrics_port
    cli.own_file(f'[profiles.a]\nuri = "{milvus_auth.uri}"\nuser = "u"\nmanagement_port = {port}\n')
    for secret, ends in ((password, True), (password.rstrip(), False)):
        (script := tmp_path / "program.sh").write_text(exported(cli, "a", "curl", SecretText(f"{user}:{secret}")).text)
        done = subprocess.run(["sh", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.startswith('{"code":200') is ends, done.stdout + done.stderr
    with mp.connect(uri=milvus_auth.uri, token="root:Milvus") as admin:
        admin.client().drop_user(user)
