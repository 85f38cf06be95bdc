"""A profile in the form that other clients take: which formats there are, and what each can be written for.

The help and the completion list them, so what writes them is imported only to write.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from ...errors import ConfigError, UsageError
from ...masked import as_given
from ...names import suggest

if TYPE_CHECKING:
    from .plan import Exported, ExportPlan

_Kind = Literal["tcp", "unix", "lite"]
_ALL: frozenset[_Kind] = frozenset(("tcp", "unix", "lite"))
_TCP: frozenset[_Kind] = frozenset(("tcp",))
_TCP_AND_UNIX: frozenset[_Kind] = frozenset(("tcp", "unix"))


@dataclass(frozen=True)
class Format:
    """A format of ``export``.

    Attributes:
        writer: the module and the function that write a plan down.
        kinds: the kinds of endpoint that its client can reach.
        connects: whether it says how to connect; if not, it names the profile, and never holds a secret.
    """

    writer: str
    kinds: frozenset[_Kind]
    connects: bool = True


FORMATS: dict[str, Format] = {
    "env": Format("shell:env", _ALL),
    "dotenv": Format("manifests:dotenv", _ALL),
    "json": Format("manifests:json", _ALL),
    "pymilvus": Format("programs:pymilvus", _ALL),
    "langchain": Format("programs:langchain", _ALL),
    "node": Format("programs:node", _TCP),
    "go": Format("programs:go", _TCP),
    "java": Format("programs:java", _TCP),
    "curl": Format("shell:curl", _TCP),
    "milvus-cli": Format("shell:milvus_cli", _TCP),
    "k8s-secret": Format("manifests:k8s_secret", _TCP),
    "compose": Format("manifests:compose", _TCP),
    # Not Milvus Lite: a dynamic user owns no directory that it could lie in.
    "systemd": Format("manifests:systemd", _TCP_AND_UNIX),
    "mcp": Format("manifests:mcp", _ALL, connects=False),
}


def find_format(name: str) -> Format:
    if (found := FORMATS.get(name)) is not None:
        return found
    near = suggest(name, FORMATS)
    hint = f"did you mean {near}?" if near else f"there are {', '.join(FORMATS)}"
    raise UsageError(f"{as_given(name)!r} is not a format", hint=hint)


def export(plan: ExportPlan, name: str) -> Exported:
    """Write a plan down in one of the :data:`FORMATS`; ConfigError where its client cannot reach such an address."""
    form = find_format(name)
    if plan.endpoint.kind not in form.kinds:
        what = "Milvus Lite" if plan.endpoint.kind == "lite" else "a Unix socket"
        remedy = f"{plan.exec_command} serves it as long as the command runs"
        raise ConfigError(
            f"{name} cannot reach {what}", hint=remedy if plan.endpoint.kind == "lite" else "give it a TCP address"
        )
    module, _, function = form.writer.partition(":")
    written: Exported = getattr(import_module(f".{module}", __package__), function)(plan)
    return written
