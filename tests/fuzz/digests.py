"""`python -m tests.fuzz.digests COUNT` prints one hash for each target: of its corpus and of COUNT mutations."""

from __future__ import annotations

import json
import sys

from tests.conftest import engine_is_compiled
from tests.fuzz import running


def main() -> None:
    """Print them as one line of JSON, and which build they are of."""
    found = {"engine": "compiled" if engine_is_compiled() else "pure"}
    for name in running.names():
        if hasattr(running.load(name), "story"):
            found[name] = running.digest(name, int(sys.argv[1]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
