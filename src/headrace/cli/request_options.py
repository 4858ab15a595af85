"""Options that `headrace get` and `headrace bench` share: content, connections, and trust."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click

from headrace.cli.errors import CommandError, UsageError
from headrace.client.connect.config import NetworkConfig
from headrace.client.errors import InvalidURL
from headrace.client.message.content import CHUNK
from headrace.client.message.url import URL

EXIT_UNREADABLE: Final = 26
FORM: Final = "application/x-www-form-urlencoded"
_FIELD_BYTES_REFUSED: Final = ("\r", "\n", "\0")


class UnreadableFile(CommandError):
    """A file to send cannot be read."""

    exit_code = EXIT_UNREADABLE


@dataclass(frozen=True)
class ConnectOptions:
    """The values of the options about connections."""

    http1: bool = False
    http2: bool = False
    h2c: bool = False
    insecure: bool = False
    cacert: str | None = None
    cert: str | None = None
    key: str | None = None
    resolve: tuple[str, ...] = ()
    connect_to: tuple[str, ...] = ()
    proxy: str | None = None
    unix_socket: str | None = None

    def is_h2_only(self, scheme: str) -> bool:
        """Return True if only HTTP/2 is allowed."""
        return self.http2 or (self.h2c and scheme == "http")

    def protocols(self, scheme: str) -> Literal["any", "h2", "http/1.1"]:
        """Return the protocols for a connection that no pool makes."""
        if self.is_h2_only(scheme):
            return "h2"
        return "http/1.1" if self.http1 or scheme == "http" else "any"

    def network(self, scheme: str, **more: Any) -> NetworkConfig:
        """Return the configuration for URLs of `scheme`. Raises UsageError."""
        if self.http1 + self.http2 + self.h2c > 1:
            raise UsageError("--http1, --http2 and --h2c exclude each other")
        if self.insecure and self.cacert:
            raise UsageError(
                "--insecure and --cacert exclude each other: trust any certificate, or only this authority"
            )
        if self.key and not self.cert:
            raise UsageError("--key is the key of --cert, which is missing")
        for file in (self.cacert, self.cert, self.key):
            if file is not None and not Path(file).exists():
                raise UsageError(f"{file}: no such file or directory")
        try:
            return NetworkConfig(
                http1=not self.is_h2_only(scheme),
                http2=not self.http1,
                verify=False if self.insecure else self.cacert or True,
                cert=None if self.cert is None else self.cert if self.key is None else (self.cert, self.key),
                resolve={**_resolved(self.resolve), **_redirected(self.connect_to)},
                proxy=self.proxy or None,
                trust_env=self.proxy is None,  # "" switches off the proxies of the environment
                uds=self.unix_socket,
                **more,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None


def connect_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ConnectOptions to a command."""
    options = [
        click.option("--http1", is_flag=True, help="Use HTTP/1.1 only."),
        click.option("--http2", is_flag=True, help="Use HTTP/2 only; for http:// URLs by prior knowledge."),
        click.option("--h2c", is_flag=True, help="Use HTTP/2 by prior knowledge for http:// URLs; https:// as usual."),
        click.option("-k", "--insecure", is_flag=True, help="Accept any certificate: anybody can be the server."),
        click.option("--cacert", metavar="FILE", help="Trust the authorities in this PEM file, not the system's."),
        click.option("--cert", metavar="FILE", help="Client certificate in PEM form, with its key or with --key."),
        click.option("--key", metavar="FILE", help="Private key of --cert."),
        click.option("--resolve", multiple=True, metavar="HOST:PORT:ADDRESS", help="Use ADDRESS for HOST. Repeatable."),
        click.option(
            "--connect-to", multiple=True, metavar="HOST1:PORT1:HOST2:PORT2",
            help="Connect to HOST2:PORT2 instead of HOST1:PORT1, without changing names.  Repeatable.",
        ),
        click.option("-x", "--proxy", metavar="URL", help='Use an http://, https:// or socks5:// proxy; "" for none.'),
        click.option("--unix-socket", metavar="PATH", help="Connect to this unix socket."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def take_connect_options(options: dict[str, Any]) -> ConnectOptions:
    """Take them out of a command's options."""
    return ConnectOptions(**{name: options.pop(name) for name in ConnectOptions.__dataclass_fields__})


def parse_url(text: str, *, websocket: bool = False) -> URL:
    """Return a URL from the command line; without a scheme it is http:// (ws:// for a WebSocket). Raises UsageError."""
    if "://" not in text:
        text = ("ws://" if websocket else "http://") + text
    try:
        url = URL(text)
        if websocket and url.scheme in ("http", "https"):
            url = url.copy_with(scheme="ws" if url.scheme == "http" else "wss")
        allowed = ("ws", "wss") if websocket else ("http", "https")
        if url.scheme not in allowed or not url.host:
            raise UsageError(f"{text!r} cannot be fetched: a URL begins with {'://, '.join(allowed)}:// and has a host")
    except InvalidURL as error:
        raise UsageError(str(error)) from None
    return url


def parse_headers(given: Sequence[str]) -> tuple[list[tuple[str, str]], set[str]]:
    """Return fields to send, and names (lowercase) of default fields to leave out, from `-H` as in curl: `Name: value`,
    `Name;` for an empty value, `Name:` to leave it out, `@FILE` for one field per line. Raises UsageError."""
    fields: list[tuple[str, str]] = []
    removed: set[str] = set()
    lines = []
    for each in given:
        if each.startswith("@"):
            lines += [line for line in read_file(each[1:]).decode("utf-8", "replace").splitlines() if line.strip()]
        else:
            lines.append(each)
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon and line.endswith(";"):
            fields.append((line[:-1].strip(), ""))
            continue
        name, value = name.strip(), value.strip()
        if not colon or not name or any(each in line for each in _FIELD_BYTES_REFUSED):
            raise UsageError(f"-H {line!r}: a header is 'Name: value'")
        if value:
            fields.append((name, value))
        else:
            removed.add(name.lower())
    return fields, removed


def read_data(given: Sequence[tuple[str, str]]) -> bytes:
    """Return the content of `-d`, `--data-raw` and `--data-binary` together: pieces joined by `&`. `given` has the kind
    of each, "data", "raw" or "binary". `@FILE` is a file, except for "raw"; "data" removes its line ends."""
    pieces = []
    for kind, text in given:
        if kind != "raw" and text.startswith("@"):
            data = read_file(text[1:])
            if kind == "data":
                data = data.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")
        else:
            data = text.encode("utf-8", "surrogateescape")
        pieces.append(data)
    return b"&".join(pieces)


def read_file(name: str) -> bytes:
    """Return the bytes of a file to send; `-` is stdin. Raises UnreadableFile."""
    try:
        if name == "-":
            return sys.stdin.buffer.read()
        with open(name, "rb") as file:
            pieces = []
            while piece := file.read(CHUNK):
                pieces.append(piece)
            return b"".join(pieces)
    except OSError as error:
        raise UnreadableFile(f"{name}: {(error.strerror or str(error)).lower()}") from None


def _resolved(given: Sequence[str]) -> dict[tuple[str, int], str]:
    found = {}
    for text in given:
        host, port, address = _pieces(text, 3, "--resolve", "HOST:PORT:ADDRESS")
        found[host.lower(), _port(port, text)] = address
    return found


def parse_seconds(option: str, text: str) -> float:
    """Return seconds for `1.5`, `10s`, `2m`, `1h` or `300ms`. Raises UsageError."""
    number, factor = text.strip(), 1.0
    for suffix, each in (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if number.endswith(suffix):
            number, factor = number.removesuffix(suffix), each
            break
    try:
        seconds = float(number) * factor
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e7:
        raise UsageError(f"{option} {text!r} is not a time: write seconds, or 300ms, 10s, 2m and the like")
    return seconds


def _redirected(given: Sequence[str]) -> dict[tuple[str, int], tuple[str, int]]:
    found = {}
    for text in given:
        host, port, other, other_port = _pieces(text, 4, "--connect-to", "HOST1:PORT1:HOST2:PORT2")
        number = _port(port, text)
        found[host.lower(), number] = (other or host, _port(other_port, text) if other_port else number)
    return found


def _pieces(text: str, number: int, option: str, form: str) -> list[str]:
    """Split at colons outside of brackets, in which IPv6 addresses are written; remove the brackets."""
    pieces = [""]
    inside = False
    for each in text:
        if each in "[]":
            inside = each == "["
        elif each == ":" and not inside and len(pieces) < number:
            pieces.append("")
        else:
            pieces[-1] += each
    if len(pieces) != number or not pieces[0]:
        raise UsageError(f"{option} {text!r} is not {form}")
    return pieces


def _port(text: str, whole: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65_536:
        raise UsageError(f"{whole!r}: {text!r} is not a port")
    return int(text)
