"""The application: groups of commands, and every exception's way to an exit status."""

from __future__ import annotations

import os
import re
import sys
from typing import Annotated

import typer
from typer.main import get_command

from ..errors import MilvusProfilesError, UsageError
from . import (
    config_commands,
    connect_command,
    doctor,
    exec_command,
    export_command,
    import_command,
    profile_commands,
    secret_commands,
    trust_commands,
)
from .output import print_error
from .session import command, start

__all__ = ["app", "run"]

NAME = "milvus-profiles"

app = typer.Typer(
    name=NAME,
    help="Named connection profiles for Milvus.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    add_completion=True,
    rich_markup_mode=None,
)
app.add_typer(profile_commands.app, name="profile")
app.add_typer(secret_commands.app, name="secret")
app.add_typer(config_commands.app, name="config")
app.command("trust")(command(trust_commands.trust))
app.command("untrust")(command(trust_commands.untrust))
app.command("doctor")(command(doctor.doctor))
# -h is the host here, as in the Milvus CLI.
app.command("connect", context_settings={"help_option_names": ["--help"]})(command(connect_command.connect))
app.command("exec")(command(exec_command.execute))
app.command("export")(command(export_command.export_profile))
app.command("import")(command(import_command.import_profiles))


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        sys.stdout.write(f"{NAME} {__version__}\n")
        raise typer.Exit


@app.callback()
@command
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Named connection profiles for Milvus."""


def run(words: list[str]) -> int:
    """Run one command line.

    Args:
        words: the words after the program's name.

    Returns:
        The exit status.
    """
    session = start()
    # gRPC writes to stderr by itself when some TLS handshakes fail, and there stands our one error, perhaps as JSON.
    # After the session took its copy of the environment, which `exec` hands on as it was.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # An error may come up before the options are parsed; how it is to be shown stands in the words.
    before_command = words[: words.index("--")] if "--" in words else words
    session.json = "--json" in before_command
    session.color = "--no-color" not in before_command
    try:
        result = get_command(app).main(args=words, prog_name=NAME, standalone_mode=False)
    except MilvusProfilesError as error:
        print_error(error)
        return error.exit_status
    except typer.Exit as stop:
        return stop.exit_code
    except (typer.Abort, KeyboardInterrupt):
        sys.stderr.write("\n")
        return 130
    except Exception as error:
        if (usage := _usage(error)) is None:
            raise
        if usage.message.startswith("Usage: "):
            # A group without a command: its help says more than an error would.
            sys.stderr.write(f"{usage.message}\n")
            return usage.exit_status
        print_error(usage)
        return usage.exit_status
    return result if isinstance(result, int) else 0


_SURPLUS = re.compile(r"(Got unexpected extra argument(?:\(s\)|s)?) \(.*\)", re.DOTALL)


def _usage(error: Exception) -> UsageError | None:
    """What the parser of options found wrong, as an error of ours; None for any other exception."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    # An argument too many may be a secret that was meant for a prompt: it is not repeated.
    message = _SURPLUS.sub(r"\1", str(format_message()).rstrip("."))
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else NAME
    return UsageError(message, hint=f"`{path} --help` shows what there is")
