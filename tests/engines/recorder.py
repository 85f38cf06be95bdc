"""Writes down what every process of an engine pickles: put on the PYTHONPATH as `sitecustomize.py`.

The engines pickle with cloudpickle, whose picklers inherit from the one that is replaced here, or with `pickle.dumps`.
Standard library only, and nothing of this project: it runs before everything else in each process.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import Any


class _Both:
    """The file of a pickler, and the record of this process beside it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, data: Any) -> Any:
        with open(os.path.join(os.environ["TEST_PICKLED"], str(os.getpid())), "ab") as record:
            record.write(data)
        return self._file.write(data)


class _Pickler(pickle.Pickler):
    def __init__(self, file: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(_Both(file), *arguments, **options)


def _dump(value: Any, file: Any, *arguments: Any, **options: Any) -> None:
    _Pickler(file, *arguments, **options).dump(value)


def _dumps(value: Any, *arguments: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    _dump(value, file, *arguments, **options)
    return file.getvalue()


if __name__ == "sitecustomize":
    pickle.Pickler, pickle.dump, pickle.dumps = _Pickler, _dump, _dumps  # type: ignore[misc, assignment]
