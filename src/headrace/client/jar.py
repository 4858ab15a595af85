"""Where a client's cookies are; made when the first one comes, as most clients never see one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.client.interface import Pairs
from headrace.client.url import URL

if TYPE_CHECKING:
    from headrace.client.cookies import Cookies


class JarHolder:
    """A jar, or the place for one. `is_empty` is True while there is certainly no cookie."""

    __slots__ = ("_cookies", "is_empty")

    def __init__(self, cookies: Any = None) -> None:
        self.is_empty = True
        self._cookies: Cookies | None = None
        if cookies is not None:
            self.set(cookies)

    def set(self, cookies: Any) -> None:
        """Use these from now on."""
        from headrace.client.cookies import Cookies

        self._cookies = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
        self.is_empty = False

    def open(self) -> Cookies:
        """The jar."""
        if self._cookies is None:
            self.set(None)
        assert self._cookies is not None
        self.is_empty = False  # whoever has it may put something in
        return self._cookies

    def header_for(self, url: URL) -> str:
        """The value of the field `cookie` for a request to this URL, "" for none."""
        return "" if self._cookies is None else self._cookies.header_for(url)

    def extract(self, url: URL, headers: Pairs) -> None:
        """Keep what a response sets, as far as it may."""
        self.open().extract(url, headers)
