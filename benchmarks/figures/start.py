"""Starting: a program up to its first authenticated call, an import, the command line, completion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own, turns
from benchmarks.processes import PYTHON, ROOT, lasting, spending, until_printed
from benchmarks.servers import milvus

CONSOLE_SCRIPT = Path(PYTHON).with_name("milvus-profiles")
SDKS = Path(os.environ.get("TEST_SDKS") or ROOT / ".sdks")
# What people use to look at profiles elsewhere, each in an environment of its own, which `make bench` fetches.
# kubectl, aws-vault and the like are no Python, and no registry of Python's has them.
CLIS = {
    "milvus_cli --version": SDKS / "milvus-cli/venv/bin/milvus_cli",
    "aws configure list": SDKS / "awscli/venv/bin/aws",
    "snow connection list": SDKS / "snowflake-cli/venv/bin/snow",
}
LIBRARIES = "import typer, pydantic_settings, tomli"
FLOOR = "what explains a failure is imported before there is one; pydantic, in the row with one model, is not"
OURS = "import milvus_profiles as mp\nmp.connect().ping()\nprint(now())"
PYMILVUS = """
from os import environ
from pymilvus import MilvusClient
client = MilvusClient(uri=environ['MILVUS_URI'], token=environ['MILVUS_TOKEN'])
client.get_server_version()
print(now())
"""
RAW = """
import base64, os, grpc
channel = grpc.insecure_channel(os.environ["MILVUS_URI"].removeprefix("http://"))
token = base64.b64encode(os.environ["MILVUS_TOKEN"].encode()).decode()
service = "/milvus.proto.milvus.MilvusService/"
channel.unary_unary(service + "GetVersion", None, None)(b"", timeout=10, metadata=[("authorization", token)])
print(now())
"""
MODEL = """
from pydantic import BaseModel
class Model(BaseModel):
    number: int = 1
"""


def _first_call(rounds: int) -> list[Row]:
    with milvus() as server:
        env = {"MILVUS_URI": server.uri, "MILVUS_TOKEN": server.token or ""}
        programs = {"ours": OURS, "pymilvus": PYMILVUS, "raw": RAW, "raw and pydantic": MODEL + RAW}
        found = turns({name: until_printed(program, env) for name, program in programs.items()}, rounds)
    figure, ours = "process start to first authenticated call", found["ours"]
    return [
        compared(figure, "pymilvus", "s", ours, found["pymilvus"], at_most(0.4), FLOOR),
        compared(figure, "import grpc, raw channel and call", "s", ours, found["raw"], at_most(1.25), FLOOR),
        compared(figure, "the same and one pydantic model", "s", ours, found["raw and pydantic"]),
    ]


def _container_probe(rounds: int) -> Row:
    with milvus() as server:
        env = {"MILVUS_URI": server.uri, "MILVUS_TOKEN": server.token or ""}
        found = turns(
            {
                "ours": spending([str(CONSOLE_SCRIPT), "ping", "--probe"], env),
                "grpc": spending([PYTHON, "-c", "import grpc"]),
            },
            rounds,
        )
    return compared(
        "CPU time of `ping --probe`, for containers", "import grpc", "s", found["ours"], found["grpc"], at_most(1.3)
    )


def _import(rounds: int) -> list[Row]:
    found = turns(
        {
            "bare": lasting([PYTHON, "-c", "pass"]),
            "ours": lasting([PYTHON, "-c", "import milvus_profiles"]),
            "pymilvus": lasting([PYTHON, "-c", "import pymilvus"]),
        },
        rounds,
    )
    ours, theirs = (
        [total - bare for total, bare in zip(found[name], found["bare"], strict=True)] for name in ("ours", "pymilvus")
    )
    figure = "import milvus_profiles, over a bare interpreter"
    return [own(figure, "s", ours, 0.010), compared(figure, "import pymilvus", "s", ours, theirs, at_most(0.1))]


def _commands(rounds: int, home: Path) -> list[Row]:
    """The commands on a file of the user's own with ten profiles, beside what other people's tools do with theirs."""
    path = home / ".config/milvus/milvus.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        'default_profile = "p1"\n'
        + "".join(f'[profiles.p{n}]\nuri = "https://h{n}.example:443"\ntoken = {{ env = "T" }}\n' for n in range(10))
    )
    path.chmod(0o600)
    script, env = str(CONSOLE_SCRIPT), {"HOME": str(home), "XDG_CONFIG_HOME": "", "T": "root:Milvus"}

    def ours(*words: str) -> Callable[[], float]:
        return lasting([script, *words], env, home)

    completion = {
        "_MILVUS_PROFILES_COMPLETE": "complete_bash",
        "COMP_WORDS": "milvus-profiles profile show p",
        "COMP_CWORD": "3",
    }
    contestants = {
        "list": ours("profile", "list"),
        "show": ours("profile", "show", "p1"),
        "current": ours("profile", "current"),
        "exec": ours("exec", "p1", "--", "true"),
        "completion": lasting([script], {**env, **completion}, home),
        "bare": lasting([PYTHON, "-c", "pass"]),
        "libraries": lasting([PYTHON, "-c", LIBRARIES]),
        "keyring": lasting([PYTHON, "-c", "import keyring"]),
    }
    for peer, program in CLIS.items():
        if program.exists():
            contestants[peer] = lasting([str(program), *peer.split()[1:]], env, home)
    found = turns(contestants, rounds)

    def row(figure: str, name: str, peer: str, said: str, limit: float) -> list[Row]:
        return [compared(figure, said, "s", found[name], found[peer], at_most(limit))] if peer in found else []

    listed, shown, one = "profile list, 10 profiles", "profile show", "profile current"
    libraries = f"python -c '{LIBRARIES}'"
    return [
        *row(listed, "list", "libraries", libraries, 0.9),
        *(one for peer in CLIS for one in row(listed, "list", peer, peer, 0.5)),
        *row(shown, "show", "libraries", libraries, 1.25),
        *(one for peer in [*CLIS][1:] for one in row(shown, "show", peer, peer, 1)),
        *row(one, "current", "bare", "bare interpreter", 5),
        *row(one, "current", "aws configure list", "aws configure list", 0.25),
        *row("exec ALIAS -- true", "exec", "keyring", "python -c 'import keyring'", 1.2),
        *row("completion of an alias", "completion", "bare", "bare interpreter", 3),
    ]


def run(effort: Effort) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        return [
            *_first_call(choose(effort, 15, 2, 1)),
            _container_probe(choose(effort, 15, 3, 1)),
            *_import(choose(effort, 15, 2, 1)),
            *_commands(choose(effort, 15, 2, 1), Path(directory)),
        ]


if __name__ == "__main__":
    main(run)
