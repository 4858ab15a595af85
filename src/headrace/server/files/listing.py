"""The page that lists a folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final
from urllib.parse import quote

from headrace.server.files.folder import Listed

MOST: Final = 10_000
"""Rows on a page; a folder may have more, but a longer page helps no reader."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:2rem}}td{{padding-right:2rem}}td+td{{text-align:right}}</style>
<h1>{title}</h1>
<table>
{rows}
</table>
</html>
"""


def page(names: Sequence[str], rows: Sequence[Listed]) -> bytes:
    """Return the listing of the folder with this path, as HTML in UTF-8."""
    written = ['<tr><td><a href="../">../</a></td></tr>'] if names else []
    for row in rows:
        name = row.name + ("/" if row.is_folder else "")
        size = "" if row.is_folder else f"{row.size:,}"
        modified = datetime.fromtimestamp(row.modified, UTC).strftime("%Y-%m-%d %H:%M")
        # "./" keeps a name with a colon from being read as a scheme (RFC 3986 §4.2).
        link = f'<a href="./{escape(quote(name))}">{escape(name)}</a>'
        written.append(f"<tr><td>{link}</td><td>{size}</td><td>{modified}</td></tr>")
    title = escape("/" + "".join(f"{each}/" for each in names))
    return _PAGE.format(title=title, rows="\n".join(written)).encode()
