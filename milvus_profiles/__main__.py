"""``python -m milvus_profiles``: the command line where the console script is not on the path."""

from __future__ import annotations

import sys

from .cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
