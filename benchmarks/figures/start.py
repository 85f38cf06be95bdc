"""Starting: a program up to its first authenticated call, an import, the command line, completion."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.measure import Effort, Row, at_most, choose, compared, main, own, turns
from benchmarks.processes import PYTHON, ROOT, lasting, spending, until_printed
from benchmarks.servers import milvus

CONSOLE_SCRIPT = Path(PYTHON).with_name("milvus-profiles")


def milvus_cli() -> Path | None:
    """The Milvus CLI, in an environment of its own; ``make bench`` fetches it."""
    program = Path(os.environ.get("TEST_SDKS") or ROOT / ".sdks") / "milvus-cli/venv/bin/milvus_cli"
    return program if program.exists() else None


def _first_call(rounds: int) -> Row:
    with milvus() as server:
        env = {"MILVUS_URI": server.uri, "MILVUS_TOKEN": server.token or ""}
        found = turns(
            {
                "ours": until_printed("import milvus_profiles as mp\nmp.connect().ping()\nprint(now())", env),
                "pymilvus": until_printed(
                    "from os import environ\nfrom pymilvus import MilvusClient\n"
                    "client = MilvusClient(uri=environ['MILVUS_URI'], token=environ['MILVUS_TOKEN'])\n"
                    "client.get_server_version()\n"
                    "print(now())",
                    env,
                ),
            },
            rounds,
        )
    return compared(
        "process start to first authenticated call", "pymilvus", "s", found["ours"], found["pymilvus"], at_most(0.5)
    )


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
    return [own(figure, "s", ours, 0.030), compared(figure, "import pymilvus", "s", ours, theirs, at_most(0.1))]


def _commands(rounds: int, directory: Path) -> list[Row]:
    (directory / ".git").mkdir()
    (directory / "milvus.toml").write_text(
        "".join(f'[profiles.p{n}]\nuri = "https://h{n}.example:443"\nuser = "root"\n' for n in range(10))
    )
    script = str(CONSOLE_SCRIPT)
    completion = {
        "_MILVUS_PROFILES_COMPLETE": "complete_bash",
        "COMP_WORDS": "milvus-profiles profile show p",
        "COMP_CWORD": "3",
    }
    contestants = {
        "list": lasting([script, "profile", "list"], cwd=directory),
        "libraries": lasting([PYTHON, "-c", "import typer, pydantic_settings, tomli"]),
        "completion": lasting([script], completion, directory),
        "bare": lasting([PYTHON, "-c", "pass"]),
    }
    if (program := milvus_cli()) is not None:
        contestants["milvus_cli"] = lasting([str(program), "--version"])
    found = turns(contestants, rounds)
    rows = [
        compared(
            "profile list, 10 profiles", "python -c 'import typer, pydantic_settings, tomli'", "s", found["list"],
            found["libraries"], at_most(1.25),
        ),
        compared("completion of an alias", "bare interpreter", "s", found["completion"], found["bare"], at_most(3)),
    ]  # fmt: skip
    if "milvus_cli" in found:
        peer = "milvus_cli --version"
        rows.insert(1, compared(rows[0].figure, peer, "s", found["list"], found["milvus_cli"], at_most(0.5)))
    return rows


def run(effort: Effort) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        return [
            _first_call(choose(effort, 13, 2, 1)),
            _container_probe(choose(effort, 13, 3, 1)),
            *_import(choose(effort, 13, 2, 1)),
            *_commands(choose(effort, 13, 2, 1), Path(directory)),
        ]


if __name__ == "__main__":
    main(run)
