"""A client's defaults, changed in one thread while another prepares requests from them."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.client import Client, Headers, QueryParams
from headrace.client.calls import defaults as defaults_module
from headrace.client.message.jar import JarHolder

from tests.client.support.fake import Answer, FakeTransport
from tests.support.serving import Run

HERE = "https://example.org/"


def change_header(client: Client) -> None:
    client.headers["authorization"] = "new"


def change_headers(client: Client) -> None:
    client.headers = Headers({"authorization": "new"})


def change_auth(client: Client) -> None:
    client.auth = lambda request: request.headers.update({"authorization": "new"})


@pytest.mark.parametrize("place", ["ClientRequest", "URL"])
@pytest.mark.parametrize("change", [change_header, change_headers, change_auth])
def test_a_default_that_another_thread_changes_while_requests_are_prepared(
    run: Run, monkeypatch: pytest.MonkeyPatch, change: Any, place: str
) -> None:
    """The change comes in the midst of `_prepare`, as a switch of threads there would have it: what was prepared from
    the old fields was kept as if made from the new ones, and sent until the next change."""

    async def main() -> None:
        transport = FakeTransport(respond=lambda sent: Answer())
        real = getattr(defaults_module, place)
        async with Client(transport=transport, headers={"authorization": "old"}) as client:
            preparing = client._prepare
            is_due = False

            def prepare(url: Any) -> None:
                nonlocal is_due
                is_due = True
                preparing(url)

            def make(*arguments: Any, **named: Any) -> Any:
                nonlocal is_due
                made = real(*arguments, **named)
                if is_due:
                    is_due = False
                    monkeypatch.setattr(client, "_prepare", preparing)
                    change(client)
                return made

            monkeypatch.setattr(client, "_prepare", prepare)
            monkeypatch.setattr(defaults_module, place, make)
            await client.get(HERE)
            monkeypatch.setattr(defaults_module, place, real)
            transport.sent.clear()
            for _ in range(4):
                await client.get(HERE)
            assert [sent.field("authorization") for sent in transport.sent] == ["new"] * 4

    run(main())


def test_a_request_is_built_from_the_fields_of_one_moment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cookie` was asked for in one list of fields, and read in another that had none."""

    async def main() -> None:
        async with Client(transport=FakeTransport(), headers={"cookie": "a=1"}) as client:
            contains = Headers.__contains__

            def has(headers: Headers, name: object) -> bool:
                found = contains(headers, name)
                monkeypatch.setattr(Headers, "__contains__", contains)
                client.headers["cookie"] = "c=3"
                del client.headers["cookie"]
                return found

            monkeypatch.setattr("headrace.client.message.cookies.cookie_field", lambda given: "b=2")
            monkeypatch.setattr(Headers, "__contains__", has)
            assert client.build_request("GET", HERE, cookies={"b": "2"}).headers["cookie"] == "a=1; b=2"
            params = client.params = QueryParams({"q": "1"})
            assert client.build_request("GET", HERE, params={"r": "2"}).url.raw_path == b"/?q=1&r=2" and params

    run(main())


def test_a_jar_that_two_threads_open_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one made another jar, and what the first had put into its own was gone."""
    holder = JarHolder()
    import headrace.client.message.cookies as cookies_module

    real = cookies_module.Cookies

    def make(*arguments: Any) -> Any:
        monkeypatch.setattr(cookies_module, "Cookies", real)
        holder.open()["a"] = "1"
        return real(*arguments)

    monkeypatch.setattr(cookies_module, "Cookies", make)
    assert holder.open()["a"] == "1" == holder.open()["a"]
