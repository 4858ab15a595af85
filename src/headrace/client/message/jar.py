"""Holds a client's cookies. The jar is made for the first cookie, because most clients never receive one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.client.interface import Pairs
from headrace.client.message.url import URL

if TYPE_CHECKING:
    from headrace.client.message.cookies import Cookies, CookiesLike


class JarHolder:
    """A jar, or the place for one. `is_empty` is True while there is certainly no cookie."""

    __slots__ = ("_kept", "is_empty")

    def __init__(self, cookies: CookiesLike | None = None) -> None:
        self.is_empty: bool = True
        # A dictionary, because its `setdefault` is one step: two threads that open the jar at once get the same one.
        self._kept: dict[None, Cookies] = {}
        if cookies is not None:
            self.set(cookies)

    def set(self, cookies: CookiesLike | None) -> None:
        """Use these cookies from now on."""
        from headrace.client.message.cookies import Cookies

        self._kept[None] = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
        self.is_empty = False

    def open(self) -> Cookies:
        """Return the jar."""
        found = self._kept.get(None)
        if found is None:
            from headrace.client.message.cookies import Cookies

            found = self._kept.setdefault(None, Cookies())
        self.is_empty = False  # the caller may put a cookie in
        return found

    def header_for(self, url: URL, is_led_away: bool = False) -> str:
        """Return the value of the field `cookie` for a request to this URL, "" for none; see `Cookies.header_for`."""
        found = self._kept.get(None)
        return "" if found is None else found.header_for(url, is_led_away)

    def extract(self, url: URL, headers: Pairs) -> None:
        """Keep the cookies that a response sets, as far as the policy allows."""
        self.open().extract(url, headers)
