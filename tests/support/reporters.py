"""What error reporters see of an exception: Sentry, rich and cgitb, and a walk that goes further than any of them.

Unlike the traceback module they do not print a local but walk into it: a mapping that hides its values in its repr
shows them all the same.  Standard library, sentry_sdk and rich only: programs of the tests include this file's text.
"""

from __future__ import annotations

import collections.abc
import copy
import dataclasses
import io
import json
import pickle
import sys
import traceback
import warnings
from types import TracebackType
from typing import Any


def all_told(error: BaseException) -> str:
    """Every text that could be made from an error, and from those behind it, suppressed ones too."""
    told = [str(error), repr(error), repr(vars(error)), repr(error.args)]
    told += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    told += [repr(pickle.loads(pickle.dumps(error))), repr(copy.copy(error)), reported(error)]
    told += [all_told(behind) for behind in (error.__cause__, error.__context__) if behind is not None]
    return "\n".join(told)


def reported(error: BaseException) -> str:
    """Every text that a reporter would send, store or print of an exception and of those behind it."""
    return "\n".join([_by_sentry(error), _by_rich(error), _by_cgitb(error), _by_walking(error)])


def _by_sentry(error: BaseException) -> str:
    import sentry_sdk
    from sentry_sdk.envelope import Envelope
    from sentry_sdk.transport import Transport

    sent: list[str] = []

    class Kept(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.append(json.dumps([item.payload.json for item in envelope.items], default=repr))

    # Its defaults, but for where it sends: locals are included, and walked.
    client = sentry_sdk.Client(dsn="http://key@127.0.0.1/1", transport=Kept, default_integrations=False)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        sentry_sdk.capture_exception(error)
    client.close(timeout=0)
    assert sent, "Sentry was told nothing"
    return "\n".join(sent)


def _by_rich(error: BaseException) -> str:
    from rich.console import Console
    from rich.traceback import Traceback

    printed = io.StringIO()
    trace = Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=1000, locals_max_string=100_000
    )
    Console(file=printed, width=5000).print(trace)
    return printed.getvalue()


def _by_cgitb(error: BaseException) -> str:
    if sys.version_info >= (3, 13):
        return ""  # it is no longer part of Python
    if isinstance(error, OSError):
        return ""  # it fails itself on an attribute that dir() names and such an error lacks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import cgitb
    described = (type(error), error, error.__traceback__)
    return cgitb.text(described) + cgitb.html(described)  # type: ignore[arg-type]  # it may have no traceback


def _by_walking(error: BaseException) -> str:
    """Every local of every frame, as deep as containers and dataclasses go."""
    told: list[str] = []
    seen: dict[int, object] = {}
    left: list[Any] = [error]
    while left:
        behind = left.pop()
        if behind is None or id(behind) in seen:
            continue
        seen[id(behind)] = behind
        left += [behind.__cause__, behind.__context__]
        trace: TracebackType | None = behind.__traceback__
        while trace is not None:
            # The frame of the test that holds the secret itself is no part of it.
            if "milvus_profiles" in trace.tb_frame.f_code.co_filename.replace("\\", "/").split("/"):
                for name, value in trace.tb_frame.f_locals.items():
                    told.append(f"{getattr(trace.tb_frame.f_code, 'co_qualname', '')} {name}")
                    _walk(value, told, seen, 0)
            trace = trace.tb_next
    return "\n".join(told)


def _walk(value: Any, told: list[str], seen: dict[int, object], depth: int) -> None:
    told.append(repr(value))
    if depth > 12 or id(value) in seen or isinstance(value, (str, bytes, int, float, type(None))):
        return
    seen[id(value)] = value
    inner: list[Any] = []
    if isinstance(value, collections.abc.Mapping):
        inner = [part for pair in value.items() for part in pair]
    elif isinstance(value, (list, tuple, set, frozenset, collections.abc.Sequence)):
        inner = list(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        # As rich does; asdict goes further, which has a test of its own.
        inner = [getattr(value, field.name, None) for field in dataclasses.fields(value) if field.repr]
    for part in inner:
        _walk(part, told, seen, depth + 1)
