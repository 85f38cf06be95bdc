"""What a shell reads: variables to evaluate, and scripts around curl and milvus_cli."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

from ..running import superseded
from .plan import TOKEN_VARIABLE, Exported, ExportPlan, FromFile, FromVariable, exported
from .quoting import evaluated
from .quoting import shell as quoted

_CURL_TLS = {"ca": "--cacert", "cert": "--cert", "key": "--key"}
_SEGMENT = re.compile(r"[A-Za-z0-9_.~-]+")


# Two backslashes in single quotes are one to fish alone; what only one of them understands stands in a word for eval.
_IN_FISH = "test '\\\\' = \"\\\\\" && eval"
_ELSEWHERE = "test '\\\\' = \"\\\\\" || eval"


def env(plan: ExportPlan) -> Exported:
    """Lines for ``eval`` in bash, dash, zsh and fish; what another connection left in the shell is unset.

    No comment is among them: one would hide all the rest where the text is not quoted.
    """
    found = {name: evaluated(value) for name, value in plan.environment().items()}
    if isinstance(plan.secret, FromFile):
        found[TOKEN_VARIABLE] = f'"$(cat {evaluated(plan.secret.path)})"'
    kept = {TOKEN_VARIABLE, plan.secret.name} if isinstance(plan.secret, FromVariable) else set()
    unset = [name for name in superseded() if name not in {*found, *kept}]
    names = " ".join(unset)
    # An exported universal variable of fish comes to light where the one above it is erased: then it is covered.
    in_fish = f"for name in {names}; set -eg $name; set -q $name; and set -gx $name; end"
    elsewhere = f"unset {names}"
    if isinstance(plan.secret, FromVariable):
        name = plan.secret.name
        missing = f'begin; echo "{name}: is not set" >&2; status is-interactive; or exit 1; end'
        in_fish += f'; set -q {name}; and set -gx {TOKEN_VARIABLE} "${name}"; or {missing}'
        elsewhere += f'; export {TOKEN_VARIABLE}="${{{name}:?is not set}}"'
    lines = [f"{_ELSEWHERE} {evaluated(elsewhere)};", f"{_IN_FISH} {evaluated(in_fish)};"]
    lines += [f"export {name}={value};" for name, value in found.items()]
    return exported(lines, plan.gaps())


def curl(plan: ExportPlan) -> Exported:
    """A script that asks the REST API on the gRPC port for the collections, and the management port for its health."""
    profile, endpoint, tls = plan.profile, plan.endpoint, plan.tls
    common = ["--silent", "--show-error", "--fail", "--connect-timeout", f"{profile.timeout:g}"]
    common += ["--proxy", profile.proxy] if profile.proxy is not None else ["--noproxy", "*"]
    rest, url = list(common), endpoint.uri
    for name, path in plan.tls_files.items():
        # Behind a colon curl looks for the key's password.
        rest += [_CURL_TLS[name], re.sub(r"([\\:])", r"\\\1", path) if name == "cert" else path]
    if tls is not None and tls.server_name is not None:
        # curl checks the certificate against the name in the address, so that is the name, led to the host.
        url = f"https://{tls.server_name}:{endpoint.port}"
        rest += ["--connect-to", f"{tls.server_name}:{endpoint.port}:{endpoint.authority}"]
    lines = _beginning(plan, "curl 7.55 or newer")
    if plan.secret is not None:
        lines += [
            "# HTTP drops what is blank at the end of a header.",
            "case $token in",
            """    *[[:blank:]]) authorization="Basic $(printf %s "$token" | base64 | tr -d '\\n')" ;;""",
            '    *) authorization="Bearer $token" ;;',
            "esac",
        ]
    lines.append("rest() {")
    call = f'curl {" ".join(map(quoted, rest))} "$@"'
    if plan.secret is None:
        lines.append(f"    {call}")
    else:
        # By standard input: an argument would show the token to everyone on this machine.
        lines.append(f"    printf 'Authorization: %s\\n' \"$authorization\" | {call} --header @-")
    database = f"?dbName={quote(profile.db_name, safe='')}" if profile.db_name is not None else ""
    body = "{}" if profile.db_name is None else json.dumps({"dbName": profile.db_name})
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    lines += [
        "}",
        "# Servers before 2.4 have the first version of the API only, and answer 404 to the second.",
        "rest --request POST --header 'Content-Type: application/json' \\",
        f"    --data {quoted(body)} {quoted(url + '/v2/vectordb/collections/list')} 2>/dev/null ||",
        f"    rest {quoted(url + '/v1/vector/collections' + database)}",
        "echo",
        f"curl {' '.join(map(quoted, common))} {quoted(f'http://{host}:{profile.management_port}/healthz')}",
        "echo",
    ]
    return exported(lines)


def milvus_cli(plan: ExportPlan) -> Exported:
    profile, tls = plan.profile, plan.tls
    gaps: list[str] = []
    words = ["connect -uri %s"]
    # Its `connect` has no option for the database, and its `use database` asks what servers before 2.5 do not know.
    in_uri = profile.db_name is not None and _SEGMENT.fullmatch(profile.db_name)
    values = [quoted(f"{plan.endpoint.uri}/{profile.db_name}" if in_uri else plan.endpoint.uri)]
    if plan.secret is not None:
        words.append("-t %s")
        values.append('"$token"')
    if tls is not None:
        words.append("-tls 1")
        if tls.ca is not None:
            words.append("-cert %s")
            values.append(quoted(tls.ca))
        if tls.cert is not None:
            gaps.append("milvus_cli has no client certificates")
        if tls.server_name is not None:
            gaps.append("milvus_cli has no option for the server's name")
    if profile.proxy is not None:
        gaps.append("milvus_cli has no option for a proxy: gRPC reads the variable http_proxy")
    if ":" in plan.endpoint.host:
        gaps.append("milvus_cli reads IPv6 addresses wrongly: use a name that stands for the address")
    lines = [
        *_beginning(plan, "pip install milvus-cli"),
        "# milvus_cli writes the token into two files of its home directory: it gets one that is removed afterwards.",
        'HOME="$(mktemp -d)"',
        "export HOME",
        "trap 'rm -rf \"$HOME\"' EXIT",
        "# Its prompt takes words apart as a shell does.",
        "word() {",
        "    printf %s \"$1\" | sed \"s/'/'\\\\\\\\''/g; 1s/^/'/; \\$s/\\$/'/\"",
        "}",
        "{",
        f"    printf '{' '.join(words)}\\n' {' '.join(_word(value) for value in values)}",
    ]
    if profile.db_name is not None and not in_uri:
        lines.append(f"    printf 'use database -db %s\\n' {_word(quoted(profile.db_name))}")
    lines += ["    echo 'list collections'", "    echo exit", "} | milvus_cli"]
    return exported(lines, gaps)


def _beginning(plan: ExportPlan, needs: str) -> list[str]:
    token = _token(plan)
    lines = ["#!/bin/sh", "set -eu", *plan.header("#", needs, "sh program.sh")]
    return lines if token is None else [*lines, f"token={token}"]


def _word(value: str) -> str:
    return f'"$(word {value})"'


def _token(plan: ExportPlan) -> str | None:
    return plan.secret_as(
        variable=lambda name: f'"${{{name}:?is not set}}"', file=lambda path: f'"$(cat {quoted(path)})"', literal=quoted
    )
