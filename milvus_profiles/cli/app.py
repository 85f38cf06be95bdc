"""The application: groups of commands, and every exception's way to an exit status."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any

import typer
from typer.main import get_command

from ..errors import MilvusProfilesError, UsageError
from ..masked import without_pairs
from ..names import suggest_field
from .completion import VARIABLE
from .completion_scripts import answer_source, install, show
from .internal import FLAGS, SYNONYMS, VALUED, own_words
from .options import Command, Group, command
from .output import print_error, print_version, warn
from .session import NAME, start

# In the order of the help: the module and the function of each command; the help of a group, and its commands.
_PROFILE = {
    "list": ".listing:list_all",
    "show": "profile:show",
    "test": "profile_test:test",
    "ping": "profile_test:ping",
    "watch": "profile_test:watch",
    "open": "open:open_console",
    "add": "profile_add:add",
    "use": "selection:use",
    "current": "profile:current_profile",
    "edit": "profile_edit:edit",
    "set": "profile_edit:set_fields",
    "unset": "profile_edit:unset_fields",
    "rename": "profile_edit:rename",
    "copy": "profile_edit:copy",
    "remove": "profile_edit:remove",
}
_COMMANDS: dict[str, str | tuple[str, dict[str, str]]] = {
    "connect": "selection:connect",
    "exec": "exec:execute",
    # Those of `profile` also without its name: it is what most people come for.
    **_PROFILE,
    "profile": ("Connection profiles; its commands work without this word too.", _PROFILE),
    "secret": (
        "Secrets in the operating system's keyring.",
        {"set": "secret:set_secret", "delete": "secret:delete_secret", "status": "secret:secret_status"},
    ),
    "trust": "trust:trust",
    "untrust": "trust:untrust",
    "export": "export:export_profile",
    "import": "imports:import_profiles",
    "config": (
        "The configuration files.",
        {"path": "config:path", "validate": "config:validate", "schema": "config:schema"},
    ),
    "doctor": "general:doctor",
    "explain": "general:explain",
    "completion": "general:completion",
    "version": ".output:print_version",
    "help": "general:help_of",
}
_WITHOUT_PROFILE = frozenset(
    {"add", "edit", "trust", "untrust", "import", "path", "validate", "schema", "doctor"}
    | {"completion", "version", "help", "explain"}
)
"""Commands that use no profile there is."""
# -h is the host of `connect`, as in the Milvus CLI.
_HELP = {"help_option_names": ["--help", "-h"]}
_CONTEXTS = {"connect": {"help_option_names": ["--help"]}}


def application(words: list[str]) -> typer.Typer:
    """The command line, as far as these words need it: to import and describe every command takes longer than most."""
    app = typer.Typer(
        name=NAME,
        help="Named connection profiles for Milvus.",
        cls=Group,
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        context_settings=_HELP,
        # Typer's own options for it write files in a way of their own.
        add_completion=False,
        rich_markup_mode=None,
    )
    app.callback()(command(_root))
    if VARIABLE in os.environ:
        answer_source()
        from typer._completion_classes import completion_init

        completion_init()
    _add(app, _COMMANDS, words)
    return app


def _add(app: typer.Typer, commands: Mapping[str, Any], words: list[str], path: str = "") -> None:
    """Add the command that the words name; none where they ask for the help or the version; else all of them."""
    if words and set(words) <= _ALONE and not set(words) <= FLAGS:
        return
    other = {name: right for name, right in SYNONYMS.items() if right in commands and name not in commands}
    word, rest = _first(words)
    for name in (word,) if word in commands or word in other else (*commands, *other):
        found = commands[other.get(name, name)]
        if isinstance(found, tuple):
            group = typer.Typer(help=found[0], short_help=_summary(name), cls=Group, rich_markup_mode=None)
            takes = not found[1].keys() <= _WITHOUT_PROFILE
            group.callback()(command(lambda: None, uses_profile=takes))
            _add(group, found[1], rest, f"{name} " if name != "profile" else "")
            app.add_typer(group, name=name)
        else:
            module, _, function = found.partition(":")
            source = import_module(f".{module}", f"{__package__}.commands")
            made = command(getattr(source, function), uses_profile=name not in _WITHOUT_PROFILE)
            parser, settings = getattr(source, "PARSER", Command), _CONTEXTS.get(name)
            short = _summary(path + name)
            app.command(name, cls=parser, context_settings=settings, short_help=short, hidden=name in other)(made)


def _summary(name: str) -> str | None:
    """What completion says of a command, where typer would cut the first line of its help off."""
    if VARIABLE not in os.environ:
        return None
    from .manual import PAGES

    page = PAGES.get(name)
    return None if page is None else page.summary


_ALONE = FLAGS | {"--help", "-h", "--version", "-V"}


def _first(words: list[str]) -> tuple[str, list[str]]:
    """The first word that is no option and no value of one, and what follows it; empty where that cannot be told."""
    for index, word in enumerate(words):
        if not word.startswith("-"):
            if index and words[index - 1] in VALUED:
                continue
            return word, words[index + 1 :]
        if word not in FLAGS and word.partition("=")[0] not in VALUED:
            break
    return "", []


def _version(wanted: bool) -> None:
    if wanted:
        print_version()
        raise typer.Exit


_at_once = partial(typer.Option, is_eager=True)


def _root(
    version: bool = _at_once(False, "--version", "-V", callback=_version, help="Print the version."),
    install_completion: bool = _at_once(
        False, "--install-completion", callback=install, help="Install completion for this shell."
    ),
    show_completion: bool = _at_once(
        False, "--show-completion", callback=show, help="Print completion for this shell."
    ),
) -> None:
    """Named connection profiles for Milvus."""


def run(words: list[str]) -> int:
    """Run the words after the program's name; the exit status."""
    session = start()
    session.warn = warn
    # gRPC writes to stderr by itself when some TLS handshakes fail, and there stands our one error, perhaps as JSON.
    # After the session took its copy of the environment, which `exec` hands on as it was.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # An error may come up before the options are parsed; how it is to be shown stands in the words.
    own = set(own_words(words))
    session.json, session.color, session.quiet = "--json" in own, "--no-color" not in own, bool({"--quiet", "-q"} & own)
    try:
        result = get_command(application(words)).main(args=words, prog_name=NAME, standalone_mode=False)
    except MilvusProfilesError as error:
        print_error(error)
        return error.exit_status
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
        return 130
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):
            # Typer's own end where nobody reads any more, with a status that would mean a failure.
            raise BrokenPipeError from None
        raise
    except Exception as error:
        if (usage := _usage(error)) is None:
            raise
        print_error(usage)
        return usage.exit_status
    return result if isinstance(result, int) else 0


# What pydantic says of a value of an option, for typer.
_NO_NUMBER = re.compile(r"Input should be a valid (?:number|(integer))\b.*", re.DOTALL)
_BOUND = re.compile(r"Input should be (greater|less) than (or equal to )?(\S+)")
_BOUNDS = {"greater": ("more than", "at least"), "less": ("less than", "at most")}
_GLUED = re.compile(r"(No such option: [\w-]+):.*", re.DOTALL)
_SURPLUS = re.compile(r"(Got unexpected extra argument(?:\(s\)|s)?) \(.*\)", re.DOTALL)


def _usage(error: Exception) -> UsageError | None:
    """What the parser of options found wrong, as an error of ours; None for any other exception."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    # An argument too many may be a secret that was meant for a prompt: it is not repeated.
    message = _SURPLUS.sub(r"\1", without_pairs(_GLUED.sub(r"\1", str(format_message()).rstrip("."))))
    message = _NO_NUMBER.sub(lambda found: f"a {'whole ' if found[1] else ''}number is wanted", message)
    message = _BOUND.sub(lambda found: f"it must be {_BOUNDS[found[1]][bool(found[2])]} {found[3]}", message)
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else getattr(error, "command_path", NAME)
    hint = f"`{path} --help` shows what there is"
    if (missing := getattr(getattr(error, "param", None), "help", None)) and "Missing" in message:
        hint = f"{missing} {hint}"
    wanted: str | None = getattr(error, "option_name", None)
    if context is not None and hasattr(error, "possibilities") and wanted is not None:
        there = {name[2:].replace("-", "_"): name for one in context.command.params for name in one.opts}
        near = suggest_field(wanted.lstrip("-").replace("-", "_"), there)
        message = message.partition(" (")[0]
        hint = f"did you mean {there[near]}? {hint}" if near is not None else hint
    return UsageError(message, hint=hint)
