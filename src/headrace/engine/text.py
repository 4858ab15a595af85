"""Text on its way to octets: one rule for whatever is sent as UTF-8."""

from __future__ import annotations


def utf8(text: str) -> bytes:
    """Encode `text` as UTF-8. A lone surrogate becomes U+FFFD, and two that are a pair their character, as in browsers
    (Web IDL, USVString): `json.loads` makes such text of what a client wrote, and whoever gets it is not at fault.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
