"""Where a client's cookies are; made when the first one comes, as most clients never see one."""

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
        # In a dictionary, whose `setdefault` is one step: two threads that open the jar at once have the same one.
        self._kept: dict[None, Cookies] = {}
        if cookies is not None:
            self.set(cookies)

    def set(self, cookies: CookiesLike | None) -> None:
        """Use these from now on."""
        from headrace.client.message.cookies import Cookies

        self._kept[None] = cookies if isinstance(cookies, Cookies) else Cookies(cookies)
        self.is_empty = False

    def open(self) -> Cookies:
        """The jar."""
        found = self._kept.get(None)
        if found is None:
            from headrace.client.message.cookies import Cookies

            found = self._kept.setdefault(None, Cookies())
        self.is_empty = False  # whoever has it may put something in
        return found

    def header_for(self, url: URL, is_led_away: bool = False) -> str:
        """The value of the field `cookie` for a request to this URL, "" for none; see `Cookies.header_for`."""
        found = self._kept.get(None)
        return "" if found is None else found.header_for(url, is_led_away)

    def extract(self, url: URL, headers: Pairs) -> None:
        """Keep what a response sets, as far as it may."""
        self.open().extract(url, headers)
