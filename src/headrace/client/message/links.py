"""Parses the field `link` (RFC 8288 §3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_TARGET: Final = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER: Final = re.compile(r"""\s*;\s*([^\s=;,"<>]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?""")
_ESCAPED: Final = re.compile(r"\\(.)")


def parse_links(values: Iterable[str]) -> list[dict[str, str]]:
    """Return the links of the fields, each with `url` and its parameters. A malformed part ends its field."""
    links = []
    for value in values:
        at = 0
        while (target := _TARGET.match(value, at)) is not None:
            link = {"url": target[1].strip()}
            at = target.end()
            while (parameter := _PARAMETER.match(value, at)) is not None:
                quoted = parameter[2]
                text = _ESCAPED.sub(r"\1", quoted) if quoted is not None else parameter[3] or ""
                link.setdefault(parameter[1].lower(), text)
                at = parameter.end()
            links.append(link)
    return links
