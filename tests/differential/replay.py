"""Plays the corpus of tests/support/sessions.py in a process of its own and prints its digests as one line of JSON.

`python -m tests.differential.replay SESSIONS BATCH` — which engine it plays is decided by what Python imports.
"""

from __future__ import annotations

import json
import sys

from headrace.engine.h2 import connection

from tests.support.sessions import digest


def main() -> None:
    """Print the engine's file and one digest a batch."""
    count, batch = int(sys.argv[1]), int(sys.argv[2])
    digests = [digest(first, batch) for first in range(0, count, batch)]
    print(json.dumps({"engine": str(connection.__file__), "digests": digests}))


if __name__ == "__main__":
    main()
