"""`doctor`: what is wrong with an installation and its environment, each with a remedy, without asking any server."""

from __future__ import annotations

import datetime as dt
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from milvus_profiles.doctor.software import is_met
from tests.support import faults
from tests.support.command import Command, Outcome
from tests.support.requirements import unavailable
from tests.support.secret_service import KeyringSession
from tests.test_hygiene import CANARY, leaks

pytestmark = pytest.mark.programs

GOOD = '[profiles.prod]\nuri = "https://db.example"\n'
NAMES = {
    "python", "libraries", "home", "files", "profiles", "trust", "tracked", "lite", "keyring", "variables", "dotenv",
    "proxy", "clock",
}  # fmt: skip


def findings(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    assert outcome.stderr == ""
    failed = [finding for finding in outcome.json["findings"] if finding["status"] == "failed"]
    assert outcome.json["ok"] == (not failed)
    assert outcome.returncode == (3 if failed else 0)
    for finding in outcome.json["findings"]:
        assert finding["name"] in NAMES
        # Nothing is said to be wrong without saying what to do.
        assert finding["hint"] or finding["status"] in ("ok", "skipped"), finding
    assert not leaks(outcome.stdout)
    return [finding for finding in outcome.json["findings"] if finding["name"] == name]


def only(outcome: Outcome, name: str) -> dict[str, Any]:
    [finding] = findings(outcome, name)
    return finding


def check(outcome: Outcome, name: str, status: str, detail: str, hint: str = "") -> None:
    finding = only(outcome, name)
    assert finding["status"] == status
    assert detail in finding["detail"]
    assert hint in (finding["hint"] or "")


def test_a_healthy_installation(cli: Command, keyring_session: KeyringSession) -> None:
    path = cli.own_file('[profiles.prod]\nuri = "https://db.example"\nuser = "root"\n')
    outcome = cli("doctor", "--json", keyring=keyring_session, status=0)
    assert {finding["status"] for finding in outcome.json["findings"]} == {"ok"}
    assert {finding["name"] for finding in outcome.json["findings"]} == NAMES - {"trust"}
    assert only(outcome, "files")["detail"] == f"{path} (user): 1 profile, mode 0600"
    assert "prod is selected" in only(outcome, "profiles")["detail"]
    assert "grpcio " in only(outcome, "libraries")["detail"]
    shown = cli("doctor", keyring=keyring_session, status=0)
    assert "nothing failed, 0 to look at" in shown.stdout
    # Of git nothing is said outside of a repository.
    assert (cli.cwd / ".git").exists()
    assert not findings(cli("doctor", "--json", keyring=keyring_session, cwd=cli.home), "tracked")


def test_no_server_is_asked(cli: Command) -> None:
    with faults.recorder() as server:
        cli.own_file(f'[profiles.prod]\nuri = "http://127.0.0.1:{server.port}"\ntoken = "root:Milvus"\n')
        assert cli("doctor").returncode == 0
        assert server.connections == 0


# --- the keyring -----------------------------------------------------------------------------------------------------


def test_the_round_trip_leaves_nothing_and_touches_nothing(cli: Command, keyring_session: KeyringSession) -> None:
    keyring_session.set("milvus-profiles", "tls|db.example|443|root", "kept")
    before = keyring_session.usernames("milvus-profiles")
    done = "keyring.backends.SecretService.Keyring: stored, read and deleted"
    check(cli("doctor", "--json", keyring=keyring_session), "keyring", "ok", done)
    assert keyring_session.usernames("milvus-profiles") == before
    assert keyring_session.get("milvus-profiles", "tls|db.example|443|root") == "kept"
    keyring_session.clear("milvus-profiles")


@pytest.mark.parametrize(
    ("user", "status"),
    [('user = "root"', "failed"), ("", "warning"), ('[profiles.template]\nuser = "root"', "warning")],
)
def test_no_keyring_is_a_failure_only_for_those_who_need_it(cli: Command, user: str, status: str) -> None:
    cli.own_file(f'[profiles.prod]\nuri = "https://db.example"\n{user}\n')
    check(cli("doctor", "--json"), "keyring", status, "there is no usable keyring", "--token-file")


def test_a_keyring_that_hangs(cli: Command, fresh_keyring: KeyringSession) -> None:
    fresh_keyring.suspend()
    env = {"MILVUS_PROFILES_KEYRING_TIMEOUT": "0.5"}
    finding = only(cli("doctor", "--json", keyring=fresh_keyring, env=env), "keyring")
    assert "did not answer within 0.5 s" in finding["detail"]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "status"), [(0o666, "failed"), (0o644, "warning"), (0o600, "ok")])
def test_who_may_read_a_file_with_a_secret(cli: Command, mode: int, status: str) -> None:
    path = cli.own_file(f'[profiles.prod]\nuri = "https://db.example"\ntoken = "{CANARY}"\n')
    path.chmod(mode)
    hint = "" if status == "ok" else f"run `chmod 600 {path}`"
    check(cli("doctor", "--json"), "files", status, f"mode {mode:04o}", hint)


@pytest.mark.parametrize(
    ("text", "env", "name", "status", "detail", "hint"),
    [
        ("[profiles.prod\n", {}, "files", "failed", "milvus.toml:1", ""),
        (GOOD, {"MILVUS_PROFILE": "prud"}, "profiles", "failed", "", "prod"),
        (GOOD, {"https_proxy": f"http://u:{CANARY}@proxy"}, "proxy", "warning", "https_proxy: not used", ""),
    ],
    ids=["broken", "selection", "proxy"],
)
def test_what_is_wrong_is_told_and_does_not_end_the_examination(
    cli: Command, text: str, env: dict[str, str], name: str, status: str, detail: str, hint: str
) -> None:
    cli.own_file(text)
    outcome = cli("doctor", "--json", env=env)
    check(outcome, name, status, detail, hint)
    assert findings(outcome, "keyring")
    assert findings(outcome, "clock")


def test_profiles_that_are_invalid(cli: Command) -> None:
    cli.own_file("".join(f'[profiles.p{n}]\nuri = "h"\ntimeout = -1\n' for n in range(7)))
    found = findings(cli("doctor", "--json"), "profiles")
    assert len(found) == 6
    assert "timeout" in found[0]["detail"]
    assert found[-1]["detail"] == "2 more are invalid"


def test_a_project_file_that_wants_trust(cli: Command, project: Path) -> None:
    path = project / "milvus.toml"
    path.write_text('[profiles.dev]\nuri = "https://db.example"\ntoken = { env = "DEV_TOKEN" }\n')
    check(cli("doctor", "--json"), "trust", "warning", "dev.token.env", f"`milvus-profiles trust {path}`")
    assert cli("trust").returncode == 0  # what the hint says
    assert only(cli("doctor", "--json"), "trust")["status"] == "ok"
    (cli.home / ".local/state/milvus/trust.json").chmod(0o666)
    assert findings(cli("doctor", "--json"), "trust")[0]["status"] == "failed"


def test_a_secret_in_a_file_that_git_tracks(cli: Command, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "milvus.toml").write_text(f'[profiles.dev]\nuri = "https://db.example"\ntoken = "{CANARY}"\n')
    (repository / ".env").write_text(f"MILVUS_TOKEN={CANARY}\n")

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=repository, check=True, capture_output=True)

    git("init")
    hint = "`milvus-profiles profile set dev 'token={ keyring = true }'`, then"
    check(cli("doctor", "--json", cwd=repository), "tracked", "warning", "", hint)
    git("add", "milvus.toml", ".env")
    configuration, dotenv = findings(cli("doctor", "--json", cwd=repository), "tracked")
    assert configuration["status"] == dotenv["status"] == "failed"
    assert "milvus-profiles secret set dev" in configuration["hint"]
    assert "MILVUS_TOKEN" in dotenv["detail"]
    git("rm", "--cached", ".env")  # what the hint says
    assert len(findings(cli("doctor", "--json", cwd=repository), "tracked")) == 1
    (repository / "milvus.toml").write_text('[profiles.dev]\nuri = "https://db.example"\n')
    git("add", "milvus.toml")
    assert only(cli("doctor", "--json", cwd=repository), "tracked")["status"] == "ok"


# --- environment -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "detail", "hint"),
    [
        ({"MILVUS_TOKEN": CANARY}, "MILVUS_TOKEN: ignored, because MILVUS_URI is not set", "set MILVUS_URI"),
        ({"MILVUS_TOKN": CANARY}, "MILVUS_TOKN is no variable of milvus-profiles", "did you mean MILVUS_TOKEN?"),
        ({"MILVUS_HOST": "h"}, "MILVUS_HOST is no variable of milvus-profiles", "the variables are MILVUS_URI"),
        ({"MILVUS_CONN_TIMEOUT": "5"}, "MILVUS_CONN_TIMEOUT is read by pymilvus alone", "__TIMEOUT"),
        ({"MILVUS_PROFILES__PRDO__TOKEN": CANARY}, "there is no profile 'prdo' with an address", "profile 'prod'"),
        (
            {"MILVUS_URI": "https://h", "MILVUS_TOKEN": CANARY, "MILVUS_PASSWORD": CANARY},
            "MILVUS_PASSWORD mean nothing beside a token", "unset MILVUS_PASSWORD",
        ),
        ({"MILVUS_URI": ""}, "MILVUS_URI: set and empty, which counts as unset", "unset MILVUS_URI"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)  # fmt: skip
def test_variables_that_mean_nothing(cli: Command, env: dict[str, str], detail: str, hint: str) -> None:
    cli.own_file(GOOD)
    check(cli("doctor", "--json", env=env, status=0), "variables", "warning", detail, hint)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("MILVUS_PROFILES__P{}__TIMEOUT", "50 more set fields of profiles that have no address"),
        ("MILVUS_TYPO{}", "50 more are no variables of milvus-profiles"),
    ],
)
def test_a_hundred_variables_that_mean_nothing_are_told_and_how_many_more(cli: Command, name: str, said: str) -> None:
    outcome = cli("doctor", "--json", env={name.format(number): "1" for number in range(150)})
    found = findings(outcome, "variables")
    assert len(found) == 101
    assert found[-1]["detail"] == said


def test_a_dotenv_file_that_pymilvus_would_load(cli: Command, project: Path) -> None:
    (project / ".env").write_text(f"export MILVUS_URI=http://h\nhttps_proxy = x\n# MILVUS_USER=u\nOTHER='{CANARY}'\n")
    below = project / "a/b"
    below.mkdir(parents=True)
    sets = f"{project}/.env sets MILVUS_URI, https_proxy:"
    check(cli("doctor", "--json", cwd=below), "dotenv", "warning", sets, "PYTHON_DOTENV_DISABLED=1")
    # And so it is: pymilvus loads it, unless it is told not to, as the hint says.
    program = "import os, pymilvus; print(os.environ.get('MILVUS_URI'))"
    python = Command([sys.executable, "-c", program], cli.home, below)
    assert python().stdout == "http://h\n"
    disabled = {"PYTHON_DOTENV_DISABLED": "1"}
    assert python(env=disabled).stdout == "None\n"
    assert only(cli("doctor", "--json", cwd=below, env=disabled), "dotenv")["status"] == "ok"
    (project / ".env").write_text("OTHER=1\n")
    assert only(cli("doctor", "--json", cwd=below), "dotenv")["status"] == "ok"


def test_a_clock_that_is_behind(cli: Command) -> None:
    path = cli.own_file(GOOD)
    tomorrow = (dt.datetime.now() + dt.timedelta(days=1)).timestamp()  # noqa: DTZ005
    os.utime(path, (tomorrow, tomorrow))
    check(cli("doctor", "--json"), "clock", "failed", str(path))


# --- software --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "specifiers", "met"),
    [
        ("1.85.1", "!=1.68.0,!=1.71.0,>=1.66.2", True),
        ("1.71.0", "!=1.68.0,!=1.71.0,>=1.66.2", False),
        ("1.66.1", ">=1.66.2", False),
        ("1.66.2rc1", ">=1.66.2", False),
        ("1.70.0rc1", ">=1.66.2", True),
        ("unknown", ">=1.66.2", False),
        ("3.1", "", True),
    ],
)
def test_versions_are_compared(version: str, specifiers: str, met: bool) -> None:
    assert is_met(version, SpecifierSet(specifiers)) is met


def test_a_library_with_known_defects(cli: Command, tmp_path: Path) -> None:
    metadata = tmp_path / "site/grpcio-1.71.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: grpcio\nVersion: 1.71.0\n")
    outcome = cli("doctor", "--json", env={"PYTHONPATH": str(metadata.parent)})
    detail = "grpcio 1.71.0 is too old, or a release with known defects"
    check(outcome, "libraries", "failed", detail, 'pip install --upgrade "grpcio')


@pytest.fixture
def unloadable_grpc(tmp_path: Path) -> dict[str, str]:
    """The installed grpcio, as it is where the library of C++ is missing: it names another one, which nowhere is."""
    (source,) = importlib.util.find_spec("grpc").submodule_search_locations or []  # type: ignore[union-attr]
    site = tmp_path / "site"
    shutil.copytree(source, site / "grpc", ignore=shutil.ignore_patterns("cygrpc*.so"), copy_function=os.symlink)
    (compiled,) = Path(source, "_cython").glob("cygrpc*.so")
    content = compiled.read_bytes()
    if content.count(b"libstdc++.so.6\0") != 1:
        unavailable("needs a grpcio that is linked with libstdc++.so.6")
    (site / "grpc/_cython" / compiled.name).write_bytes(content.replace(b"libstdc++.so.6\0", b"libstdc--.so.6\0"))
    return {"PYTHONPATH": str(site), "MILVUS_PROFILES__P__URI": "http://127.0.0.1:1"}


LOADER = "libstdc--.so.6: cannot open shared object file"


def test_a_library_that_is_installed_and_cannot_be_loaded(cli: Command, unloadable_grpc: dict[str, str]) -> None:
    outcome = cli("doctor", "--json", env=unloadable_grpc, status=3)
    detail = f"is installed, and cannot be loaded: {LOADER}"
    check(outcome, "libraries", "failed", detail, "pip install --force-reinstall --no-cache-dir grpcio==")


@pytest.mark.parametrize(
    "words", [["profile", "test", "p"], ["--verbose", "connect"], ["profile", "test", "p", "--json"]]
)
def test_the_loaders_sentence_is_told_by_whoever_needs_the_library(
    cli: Command, unloadable_grpc: dict[str, str], words: list[str]
) -> None:
    told = cli(*words, env=unloadable_grpc, status=1).stderr
    assert f"the module cygrpc cannot be imported: {LOADER}" in told
    assert "`milvus-profiles doctor`" in told


# --- what nobody foresaw ---------------------------------------------------------------------------------------------


@pytest.fixture
def broken_library(tmp_path: Path) -> dict[str, str]:
    """A library that cannot be imported, and says so with a secret in its words."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/tomlkit.py").write_text(f"raise RuntimeError('half an installation: {CANARY}')\n")
    return {"PYTHONPATH": str(tmp_path / "broken")}


# A text with quotes in it is written by tomlkit.
EDIT = ["profile", "add", "one", "--uri", "https://db.example", "--description", 'the "old" one']


def test_an_unexpected_exception_is_an_internal_error(cli: Command, broken_library: dict[str, str]) -> None:
    outcome = cli(*EDIT, env=broken_library, status=1)
    assert outcome.stdout == ""
    assert outcome.stderr.splitlines()[0] == "error: unexpected: RuntimeError"
    assert "`--verbose`" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not leaks(outcome.stderr)
    for words in ([*EDIT, "--json"], ["--json", *EDIT, "--verbose"]):
        as_json = cli(*words, env=broken_library, status=1)
        assert as_json.stdout == ""
        assert set(as_json.error) == {"error", "message", "hint", "location"}
        assert as_json.error["error"] == "internal"
        assert "tomlkit.py:1" in as_json.error["location"]
        assert not leaks(as_json.stderr)


def test_an_unexpected_exception_in_full_has_frames_and_no_secret(cli: Command, broken_library: dict[str, str]) -> None:
    outcome = cli(*EDIT, "--verbose", env=broken_library, status=1)
    assert "profile_add.py" in outcome.stderr
    assert "tomlkit.py" in outcome.stderr
    assert "the lines above" in outcome.stderr
    # The line of source code that raised stands there; what it said does not.
    assert [line for line in leaks(outcome.stderr) if not line.strip().startswith("raise RuntimeError(")] == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["profile", "list", "--json"], ["config", "path"], ["profile", "list", "-v"]])
def test_output_that_cannot_be_written(cli: Command, words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*cli.program, *words], env=cli.environment(), cwd=cli.cwd, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "OSError: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
