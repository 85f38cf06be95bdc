"""Programs for pymilvus and for LangChain, which takes pymilvus's arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...channel.pymilvus_client import client_arguments
from ...profile import SSL
from .plan import Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import python

__all__ = ["langchain", "pymilvus"]

# Of the channel's options those that say where the connection goes; how it is kept is left to pymilvus.
_OPTIONS = ("grpc.enable_http_proxy", "grpc.http_proxy", "grpc.default_authority")


def pymilvus(plan: ExportPlan) -> Exported:
    """A program that lists the collections through ``pymilvus.MilvusClient``."""
    found, gaps = _arguments(plan)
    lines = [
        *plan.header("#", "pip install pymilvus", "python program.py"),
        *_imports(plan),
        "from pymilvus import MilvusClient",
        "",
        "client = MilvusClient(",
        *(f"    {name}={value}," for name, value in found.items()),
        ")",
        "print(client.list_collections())",
        "client.close()",
    ]
    return exported(lines, gaps)


def langchain(plan: ExportPlan) -> Exported:
    """A program with the ``connection_args`` of LangChain's vector store, and a store to try them with."""
    found, gaps = _arguments(plan)
    lines = [
        *plan.header("#", "pip install langchain-milvus", "python program.py"),
        *_imports(plan),
        "from langchain_core.embeddings import DeterministicFakeEmbedding",
        "from langchain_milvus import Milvus",
        "",
        "connection_args = {",
        *(f"    {python(name)}: {value}," for name, value in found.items()),
        "}",
        "# Your own embeddings in place of these.",
        "store = Milvus(",
        "    embedding_function=DeterministicFakeEmbedding(size=8),",
        "    connection_args=connection_args,",
        ")",
        "print(store.client.list_collections())",
    ]
    return exported(lines, gaps)


def _imports(plan: ExportPlan) -> list[str]:
    if isinstance(plan.secret, FromVariable):
        return ["import os", ""]
    return ["from pathlib import Path", ""] if isinstance(plan.secret, FromFile) else []


def _arguments(plan: ExportPlan) -> tuple[dict[str, str], list[str]]:
    gaps = []
    profile, reach = plan.profile, plan.endpoint
    if ":" in reach.host:
        gaps.append("pymilvus reads IPv6 addresses wrongly: use a name that stands for the address")
        reach = replace(reach, host="localhost")
    if isinstance(profile.ssl, SSL) and profile.ssl.cert is not None and profile.ssl.ca is None:
        gaps.append("pymilvus takes a client certificate only together with a CA: set ssl.ca")
        profile = profile.model_copy(update={"ssl": profile.ssl.model_copy(update={"cert": None, "key": None})})
    arguments: dict[str, Any] = client_arguments(profile, reach) | {"uri": plan.endpoint.uri}
    options = arguments.pop("grpc_options", {})
    if kept := {name: options[name] for name in _OPTIONS if name in options}:
        arguments["grpc_options"] = kept
    found = {name: python(value) for name, value in arguments.items()}
    token = plan.secret_as(
        variable=lambda name: f"os.environ[{python(name)}]",
        file=lambda path: f'Path({python(path)}).read_text(encoding="utf-8").removesuffix("\\n")',
        literal=python,
    )
    return {"uri": found.pop("uri"), **({} if token is None else {"token": token}), **found}, gaps
