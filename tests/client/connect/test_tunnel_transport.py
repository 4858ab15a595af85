"""A tunnel as a transport: a proxy that takes nothing, protocols that pause, and every order of the end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from headrace.client.connect.tunnel_transport import TunnelTransport


class Tunnel:
    """The stream to the proxy, blocked and lost as the test says."""

    def __init__(self) -> None:
        self.blocked = False
        self.lost = False
        self.written: list[tuple[bytes, bool]] = []
        self.credit = 0
        self.aborted = 0

    def write(self, data: bytes, end: bool) -> None:
        if self.lost:
            raise OSError("the stream was reset")
        self.written.append((data, end))

    def consumed(self, count: int) -> None:
        self.credit += count

    def abort(self) -> None:
        self.aborted += 1


class Response:
    """The answer to CONNECT."""

    def __init__(self) -> None:
        self.info = {"peer": ("192.0.2.1", 3128), "local": ("192.0.2.2", 5)}
        self.given = Tunnel()
        self.closed = 0

    def tunnel(self, receiver: Any) -> Tunnel:
        return self.given

    def close(self) -> None:
        self.closed += 1


class Above(asyncio.Protocol):
    """The protocol above."""

    def __init__(self, *, stays: bool = False, pauses: bool = False) -> None:
        self.calls: list[Any] = []
        self.stays = stays
        self.pauses = pauses
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)
        if self.pauses:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(f"lost {exc}")


def made(above: Above | None = None) -> tuple[TunnelTransport, Tunnel, Above]:
    response = Response()
    transport = TunnelTransport(cast(Any, response))
    above = above or Above()
    transport.attach(above)
    return transport, response.given, above


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_bytes_wait_while_the_proxy_takes_nothing_and_go_as_one() -> None:
    async def main() -> None:
        transport, tunnel, above = made()
        transport.write(b"one")
        transport.write(b"")
        tunnel.blocked = True
        transport.write(b"two")
        transport.write(bytearray(b"three"))
        assert transport.get_write_buffer_size() == 8
        assert (tunnel.written, above.calls) == ([(b"one", False)], ["pause"])
        transport.on_writable()  # accepted, and blocked by what waited
        assert tunnel.written[1:] == [(b"twothree", False)]
        assert above.calls == ["pause"]
        tunnel.blocked = False
        transport.on_writable()
        transport.on_writable()
        assert above.calls == ["pause", "resume"]

    asyncio.run(main())


def test_the_end_waits_for_the_rest() -> None:
    async def main() -> None:
        transport, tunnel, above = made()
        tunnel.blocked = True
        transport.write(b"rest")
        transport.write_eof()
        transport.write(b"late")
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not transport.is_reading()
        assert (tunnel.written, tunnel.aborted) == ([], 0)
        tunnel.blocked = False
        transport.on_writable()
        await turns()
        assert (tunnel.written, tunnel.aborted) == ([(b"rest", True)], 1)
        assert above.calls == ["pause", "resume", "lost None"]
        transport.on_writable()
        transport.write_eof()
        transport.abort()
        transport.on_lost("again")
        await turns()
        assert above.calls[-1] == "lost None"
        assert above.calls.count("lost None") == 1

    asyncio.run(main())


def test_a_stream_that_was_reset_is_the_end() -> None:
    async def main() -> None:
        transport, tunnel, above = made()
        tunnel.lost = True
        transport.write(b"x")
        await turns()
        assert above.calls == ["lost the stream was reset"]
        transport.on_writable()
        transport.write(b"y")
        assert transport.is_closing()

    asyncio.run(main())


@pytest.mark.parametrize("closes", [True, False])
def test_a_tunnel_that_is_lost_is_an_error_unless_we_were_closing(closes: bool) -> None:
    async def main() -> None:
        transport, tunnel, above = made()
        if closes:
            tunnel.blocked = True
            transport.write(b"rest")
            transport.close()
        transport.on_lost("GOAWAY")
        await turns()
        said = "None" if closes else "the tunnel through the proxy ended: GOAWAY"
        assert above.calls[-1] == f"lost {said}"

    asyncio.run(main())


def test_credit_goes_back_when_the_protocol_has_read() -> None:
    async def main() -> None:
        above = Above(pauses=True)
        transport, tunnel, _ = made(above)
        transport.on_bytes(b"one", 3, False)
        assert (above.calls, tunnel.credit) == ([b"one"], 3)
        transport.on_bytes(b"two", 3, False)
        transport.on_bytes(b"three", 5, True)
        assert (above.calls, tunnel.credit) == ([b"one"], 3)
        above.pauses = False
        transport.resume_reading()
        assert (above.calls, tunnel.credit) == ([b"one", b"twothree", "eof"], 11)
        assert transport.is_closing()

    asyncio.run(main())


def test_a_protocol_that_pauses_in_the_middle_keeps_the_rest_unacknowledged() -> None:
    async def main() -> None:
        class Feeding(Above):
            """Gets more while it reads, as over TLS."""

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                if data == b"one":
                    self.transport.on_bytes(b"two", 3, False)

        above = Feeding(pauses=True)
        transport, tunnel, _ = made(above)
        transport.on_bytes(b"one", 3, False)
        assert (above.calls, tunnel.credit) == ([b"one"], 0)
        transport.resume_reading()
        assert (above.calls, tunnel.credit) == ([b"one", b"two"], 6)

    asyncio.run(main())


def test_bytes_after_the_end_are_not_delivered() -> None:
    async def main() -> None:
        transport, tunnel, above = made(Above(stays=True))
        transport.on_bytes(b"", 0, True)
        assert above.calls == ["eof"]
        assert not transport.is_closing()
        transport.close()
        transport.on_bytes(b"late", 4, False)
        await turns()
        assert above.calls == ["eof", "lost None"]
        assert tunnel.written == [(b"", True)]
        assert tunnel.credit == 4

    asyncio.run(main())


def test_before_it_has_a_protocol() -> None:
    """A handshake that is given up: the response itself is closed."""

    async def main() -> None:
        response = Response()
        transport = TunnelTransport(cast(Any, response))
        transport.write(b"nowhere")
        transport.on_writable()
        transport.on_bytes(b"early", 5, False)
        transport.abort()
        await turns()
        assert (response.closed, response.given.aborted) == (1, 0)

    asyncio.run(main())


def test_the_addresses_are_the_proxys_connections() -> None:
    async def main() -> None:
        transport, _, _ = made()
        assert transport.can_write_eof()
        transport.set_write_buffer_limits(1)
        assert transport.get_extra_info("peername") == ("192.0.2.1", 3128)
        assert transport.get_extra_info("sockname") == ("192.0.2.2", 5)
        assert transport.get_extra_info("ssl_object", "none") == "none"

    asyncio.run(main())
