"""Check that a release may be made: `python tools/check_release.py v0.1.0`.

The tag, pyproject.toml and CHANGELOG.md have to name the same version, and nothing may be left under "Unreleased". It
runs before anything is published.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def faults(tag: str, version: str, changelog: str) -> list[str]:
    """Return what is wrong, a sentence each."""
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, but pyproject.toml says {version}: the tag must be v{version}")
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    names = [section.splitlines()[0].strip() for section in sections]
    if not any(re.fullmatch(re.escape(version) + r" - \d{4}-\d{2}-\d{2}", name) for name in names):
        found.append(f"CHANGELOG.md has no section '{version} - YEAR-MONTH-DAY'")
    if any(name == "Unreleased" and "\n- " in section for name, section in zip(names, sections, strict=True)):
        found.append("CHANGELOG.md still has changes under 'Unreleased'")
    return found


def main(tag: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if found := faults(tag, project["version"], (ROOT / "CHANGELOG.md").read_text("utf-8")):
        sys.exit("\n".join(found))
    print(f"{tag} can be released")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"python {sys.argv[0]} TAG")
    main(sys.argv[1])
