"""Text as bytes: one rule for all output in UTF-8."""

from __future__ import annotations


def utf8(text: str) -> bytes:
    """Return `text` in UTF-8. A lone surrogate becomes U+FFFD, and a pair of them its character, as in browsers (Web
    IDL, USVString): `json.loads` makes such text of a client's input, and its receiver is not at fault."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
