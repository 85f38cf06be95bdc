"""``python -m milvus_profiles``: the command line where the console script is not on the path."""

from __future__ import annotations

from .cli.entry import script

if __name__ == "__main__":
    script()
